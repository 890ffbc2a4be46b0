//! As whom AWS will see a caller: the operator's mapping over verified claims yields role, session
//! name and tags.
//!
//! Knows no HTTP but header values, and no AWS client. An [`Identity`] is made only here, only from a
//! [`Verified`] caller; an error never means "no" to a condition, so it never moves a caller to a wider
//! rule.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use serde_json::{Map, Value};

use crate::auth::Verified;
use crate::identity::arn::RoleArn;
use crate::identity::facts::Facts;
use crate::identity::mapping::{MappedValue, OnInvalid, Requirement};
use crate::identity::outcomes::{Key, Resolved};
use crate::identity::role::Role;
use crate::identity::session_name::SessionName;
use crate::identity::tags::{SessionTags, TagKey, TagValue};

pub use crate::identity::outcomes::Outcomes;

pub mod arn;
pub mod expression;
mod facts;
#[cfg(test)]
mod for_tests;
pub mod mapping;
pub mod models;
mod outcomes;
pub mod role;
pub mod session_name;
mod suffix;
pub mod tags;

/// Longest value of a listed request header, bytes.
const LONGEST_HEADER: usize = 256;

/// What one issuer's callers become.
#[derive(Debug, PartialEq)]
pub struct IssuerMapping {
    pub issuer: Arc<str>,
    /// Lower case; all that expressions see of a request.
    pub request_headers: Vec<String>,
    pub require: Vec<Requirement>,
    pub name: MappedValue,
    pub source_identity: Option<MappedValue>,
    pub tags: Vec<(TagKey, MappedValue)>,
}

/// The operator's mapping, whole.
#[derive(Debug)]
pub struct Mapping {
    pub issuers: Vec<IssuerMapping>,
    pub roles: Vec<Arc<Role>>,
    /// Of sessions whose role says nothing else.
    pub default_duration: Duration,
    /// Counts configurations; an outcome is good for the one it was made by.
    pub generation: u64,
}

/// Everything that changes the `AssumeRole` call, and nothing else: equal ones share a session.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SessionIdentity {
    role_arn: RoleArn,
    name: SessionName,
    tags: SessionTags,
    transitive_tags: Vec<TagKey>,
    source_identity: Option<SessionName>,
    external_id: Option<String>,
    duration: Duration,
    policy: Option<Arc<str>>,
    policy_arns: Arc<[String]>,
}

impl SessionIdentity {
    pub fn role_arn(&self) -> &RoleArn {
        &self.role_arn
    }

    pub fn name(&self) -> &SessionName {
        &self.name
    }

    pub fn tags(&self) -> &SessionTags {
        &self.tags
    }

    pub fn transitive_tags(&self) -> &[TagKey] {
        &self.transitive_tags
    }

    pub fn source_identity(&self) -> Option<&str> {
        self.source_identity.as_ref().map(SessionName::as_str)
    }

    pub fn external_id(&self) -> Option<&str> {
        self.external_id.as_deref()
    }

    pub fn duration(&self) -> Duration {
        self.duration
    }

    pub fn policy(&self) -> Option<&str> {
        self.policy.as_deref()
    }

    pub fn policy_arns(&self) -> &[String] {
        &self.policy_arns
    }

    /// The ARN that the session will have.
    pub fn principal(&self) -> String {
        self.role_arn.principal(&self.name)
    }
}

/// A caller as AWS will see them, and what their role may be used for.
#[derive(Debug)]
pub struct Identity {
    session: Arc<SessionIdentity>,
    role: Arc<Role>,
    rule: usize,
    principal: Arc<str>,
    replaced: Vec<String>,
}

impl Identity {
    pub fn session(&self) -> &Arc<SessionIdentity> {
        &self.session
    }

    pub fn role(&self) -> &Arc<Role> {
        &self.role
    }

    /// The index of the rule that matched.
    pub fn rule(&self) -> usize {
        self.rule
    }

    pub fn principal(&self) -> &Arc<str> {
        &self.principal
    }

    /// `name`, `source_identity` or tag keys whose value STS would not have taken.
    pub fn replaced(&self) -> &[String] {
        &self.replaced
    }
}

/// Why a verified caller has no identity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    #[error("requirement {index} failed: {message}")]
    RequirementFailed { index: usize, message: String },
    #[error("no role matches")]
    NoRole,
    #[error("the value of {target} is missing")]
    ValueMissing { target: String },
    #[error("the value of {target} is not legal and on_invalid is reject")]
    ValueInvalid { target: String },
    #[error("{target} cannot be evaluated: {detail}")]
    Evaluation { target: String, detail: String },
    #[error("the token says that it leaves out claims which {target} reads")]
    GroupsOverage { target: String },
    #[error("the claims have more nodes than are evaluated")]
    ClaimsTooLarge,
    #[error("the request header {0} is sent twice")]
    HeaderRepeated(String),
    #[error("the request header {0} is longer than {LONGEST_HEADER} bytes or not UTF-8")]
    HeaderIllegal(String),
}

impl IdentityError {
    /// One word of a closed list, for log and metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::RequirementFailed { .. } => "requirement_failed",
            Self::NoRole => "no_role",
            Self::ValueMissing { .. } => "value_missing",
            Self::ValueInvalid { .. } => "value_invalid",
            Self::Evaluation { .. } => "evaluation_failed",
            Self::GroupsOverage { .. } => "groups_overage",
            Self::ClaimsTooLarge => "claims_too_large",
            Self::HeaderRepeated(_) => "request_header_repeated",
            Self::HeaderIllegal(_) => "request_header_illegal",
        }
    }
}

impl Mapping {
    /// Makes `caller` an identity, or remembers what was made of it before.
    ///
    /// # Errors
    /// [`IdentityError`]; remembered as well, since the same token will fail again.
    pub fn resolve(&self, caller: &Verified, memo: &Outcomes, headers: &HeaderMap) -> Resolved {
        let mapping = self.issuers.iter().find(|mapping| *mapping.issuer == *caller.issuer());
        let Some(mapping) = mapping else { return Err(IdentityError::NoRole) };
        let key = Key { generation: self.generation, headers: listed(&mapping.request_headers, headers)? };
        if let Some(resolved) = memo.get(&key) {
            return resolved;
        }
        let resolved = self.evaluate(mapping, caller.claims(), &key.headers).map(Arc::new);
        memo.remember(key, resolved.clone());
        resolved
    }

    fn evaluate(
        &self,
        mapping: &IssuerMapping,
        claims: &Map<String, Value>,
        headers: &[Option<String>],
    ) -> Result<Identity, IdentityError> {
        let headers = mapping.request_headers.iter().zip(headers);
        let headers = headers.filter_map(|(name, value)| Some((name.clone(), value.clone()?.into())));
        let facts = Facts::new(claims, &mapping.issuer, headers.collect())?;

        for (index, Requirement { expression, message }) in mapping.require.iter().enumerate() {
            if !facts.hold(expression).map_err(|fault| fault.of(&format!("requirement {index}")))? {
                return Err(IdentityError::RequirementFailed { index, message: message.clone() });
            }
        }
        let (rule, role) = self.role(&mapping.issuer, &facts)?;
        let mut replaced = Vec::new();
        let mut legal = Legal { facts: &facts, replaced: &mut replaced };
        let name = legal.name("name", &mapping.name)?;
        let name = name.ok_or_else(|| IdentityError::ValueMissing { target: "name".to_owned() })?;
        let source_identity = match &mapping.source_identity {
            Some(source) => legal.name("source_identity", source)?,
            None => None,
        };
        let mut tags = Vec::with_capacity(mapping.tags.len());
        for (key, mapped) in &mapping.tags {
            if let Some(value) = legal.tag(key, mapped)? {
                tags.push((key.clone(), value));
            }
        }
        let tags = SessionTags::new(tags).map_err(|error| IdentityError::Evaluation {
            target: "tags".to_owned(),
            detail: error.to_string(),
        })?;
        // STS refuses to hand on what is not there.
        let transitive = role.transitive_tags.iter().filter(|key| tags.iter().any(|(tag, _)| tag == *key));
        let session = SessionIdentity {
            role_arn: role.arn.clone(),
            transitive_tags: transitive.cloned().collect(),
            name,
            tags,
            source_identity,
            external_id: role.external_id.clone(),
            duration: role.duration.unwrap_or(self.default_duration),
            policy: role.policy.clone(),
            policy_arns: Arc::clone(&role.policy_arns),
        };
        let principal = session.principal().into();
        Ok(Identity { session: Arc::new(session), role: Arc::clone(role), rule, principal, replaced })
    }

    /// The first rule that matches. One that cannot be evaluated ends the search, so that no error
    /// leads to a wider rule behind it.
    fn role(&self, issuer: &Arc<str>, facts: &Facts<'_>) -> Result<(usize, &Arc<Role>), IdentityError> {
        for (index, role) in self.roles.iter().enumerate() {
            if role.issuers.as_ref().is_some_and(|issuers| !issuers.contains(issuer)) {
                continue;
            }
            let matches = match &role.when {
                Some(when) => facts.hold(when).map_err(|fault| fault.of(&format!("role {index}")))?,
                None => true,
            };
            if matches {
                return Ok((index, role));
            }
        }
        Err(IdentityError::NoRole)
    }
}

/// Makes mapped values legal ones, and notes which had to be replaced.
struct Legal<'a> {
    facts: &'a Facts<'a>,
    replaced: &'a mut Vec<String>,
}

impl Legal<'_> {
    fn name(&mut self, target: &str, mapped: &MappedValue) -> Result<Option<SessionName>, IdentityError> {
        let Some(text) = self.text(target, mapped)? else { return Ok(None) };
        let (name, replaced) = SessionName::from_value(&text);
        self.note(target, replaced, mapped)?;
        Ok(Some(name))
    }

    fn tag(&mut self, key: &TagKey, mapped: &MappedValue) -> Result<Option<TagValue>, IdentityError> {
        let Some(text) = self.text(key.as_str(), mapped)? else { return Ok(None) };
        let (value, replaced) = TagValue::from_value(&text);
        self.note(key.as_str(), replaced, mapped)?;
        Ok(Some(value))
    }

    fn text(&self, target: &str, mapped: &MappedValue) -> Result<Option<String>, IdentityError> {
        let text = mapped.text(self.facts).map_err(|fault| fault.of(target))?;
        if text.is_none() && mapped.required {
            return Err(IdentityError::ValueMissing { target: target.to_owned() });
        }
        Ok(text)
    }

    fn note(&mut self, target: &str, replaced: bool, mapped: &MappedValue) -> Result<(), IdentityError> {
        if replaced && mapped.on_invalid == OnInvalid::Reject {
            return Err(IdentityError::ValueInvalid { target: target.to_owned() });
        }
        if replaced {
            self.replaced.push(target.to_owned());
        }
        Ok(())
    }
}

/// The listed headers' values, in the list's order.
fn listed(names: &[String], headers: &HeaderMap) -> Result<Vec<Option<String>>, IdentityError> {
    names
        .iter()
        .map(|name| {
            let mut values = headers.get_all(name.as_str()).iter();
            let Some(value) = values.next() else { return Ok(None) };
            if values.next().is_some() {
                return Err(IdentityError::HeaderRepeated(name.clone()));
            }
            let text = std::str::from_utf8(value.as_bytes()).ok().filter(|text| text.len() <= LONGEST_HEADER);
            text.map(|text| Some(text.to_owned())).ok_or_else(|| IdentityError::HeaderIllegal(name.clone()))
        })
        .collect()
}

#[cfg(test)]
mod tests;
