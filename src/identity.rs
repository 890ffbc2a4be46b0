//! As whom AWS will see a caller: the operator's mapping over verified claims yields role, session
//! name and tags.
//!
//! Knows no HTTP but header values, and no AWS client. An [`Identity`] is made only here, only from a
//! [`Verified`] caller; an error never means "no" to a condition, so it never moves a caller to a wider
//! rule.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::HeaderMap;
use serde_json::{Map, Value};

use crate::auth::Verified;
use crate::identity::arn::RoleArn;
use crate::identity::expression::{Expression, Inputs};
use crate::identity::mapping::{MappedValue, OnInvalid, Requirement, ValueError};
use crate::identity::role::Role;
use crate::identity::session_name::SessionName;
use crate::identity::tags::{SessionTags, TagKey, TagValue};

pub mod arn;
pub mod expression;
#[cfg(test)]
mod for_tests;
pub mod mapping;
pub mod models;
pub mod role;
pub mod session_name;
mod suffix;
pub mod tags;

/// Most nodes of one token's claims; more are refused, as evaluation could take long.
const MOST_NODES: usize = 1_000;
/// Longest value of a listed request header, bytes.
const LONGEST_HEADER: usize = 256;
/// Outcomes remembered beside one caller.
const OUTCOMES: usize = 8;

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
    policy: Option<String>,
    policy_arns: Vec<String>,
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
    principal: String,
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

    pub fn principal(&self) -> &str {
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
    #[error("the token has more than {MOST_NODES} nodes")]
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

type Resolved = Result<Arc<Identity>, IdentityError>;

/// What was made of one verified caller so far, by the headers its mapping sees and the configuration.
#[derive(Debug, Default)]
pub struct Outcomes(Mutex<Vec<(Key, Resolved)>>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Key {
    generation: u64,
    /// In the order that the issuer lists them; absent and empty told apart.
    headers: Vec<Option<String>>,
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
        let mut outcomes = memo.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, resolved)) = outcomes.iter().find(|(known, _)| *known == key) {
            return resolved.clone();
        }
        drop(outcomes);
        let resolved = self.evaluate(mapping, caller.claims(), &key.headers).map(Arc::new);
        outcomes = memo.0.lock().unwrap_or_else(PoisonError::into_inner);
        if outcomes.len() >= OUTCOMES {
            drop(outcomes.remove(0));
        }
        outcomes.push((key, resolved.clone()));
        resolved
    }

    fn evaluate(
        &self,
        mapping: &IssuerMapping,
        claims: &Map<String, Value>,
        headers: &[Option<String>],
    ) -> Result<Identity, IdentityError> {
        let mut nodes = MOST_NODES;
        let claims =
            present(&Value::Object(claims.clone()), &mut nodes).ok_or(IdentityError::ClaimsTooLarge)?;
        let left_out = claims_left_out(&claims);
        let lacks = |expression: &Expression| left_out.iter().any(|claim| expression.reads(claim));
        let header_values = mapping
            .request_headers
            .iter()
            .zip(headers)
            .filter_map(|(name, value)| Some((name.clone(), Value::String(value.clone()?))))
            .collect::<Map<_, _>>();
        let failed =
            |target: &str, detail: String| IdentityError::Evaluation { target: target.to_owned(), detail };
        let inputs = Inputs::new(&claims, &mapping.issuer, &Value::Object(header_values))
            .map_err(|error| failed("claims", error.to_string()))?;

        for (index, requirement) in mapping.require.iter().enumerate() {
            let target = format!("requirement {index}");
            if !holds(&requirement.expression, &inputs, &lacks, &target)? {
                return Err(IdentityError::RequirementFailed { index, message: requirement.message.clone() });
            }
        }
        let (rule, role) = self.role(&mapping.issuer, &inputs, &lacks)?;
        let mut values = Values { inputs: &inputs, lacks: &lacks, replaced: Vec::new() };
        let name = values.name("name", &mapping.name)?;
        let name = name.ok_or_else(|| IdentityError::ValueMissing { target: "name".to_owned() })?;
        let source_identity = match &mapping.source_identity {
            Some(source) => values.name("source_identity", source)?,
            None => None,
        };
        let mut tags = Vec::with_capacity(mapping.tags.len());
        for (key, mapped) in &mapping.tags {
            if let Some(value) = values.tag(key, mapped)? {
                tags.push((key.clone(), value));
            }
        }
        let replaced = values.replaced;
        let tags = SessionTags::new(tags).map_err(|error| failed("tags", error.to_string()))?;
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
            policy_arns: role.policy_arns.clone(),
        };
        let principal = session.principal();
        Ok(Identity { session: Arc::new(session), role: Arc::clone(role), rule, principal, replaced })
    }

    fn role(
        &self,
        issuer: &Arc<str>,
        inputs: &Inputs<'_>,
        lacks: &dyn Fn(&Expression) -> bool,
    ) -> Result<(usize, &Arc<Role>), IdentityError> {
        for (index, role) in self.roles.iter().enumerate() {
            if role.issuers.as_ref().is_some_and(|issuers| !issuers.contains(issuer)) {
                continue;
            }
            let matches = match &role.when {
                Some(when) => holds(when, inputs, lacks, &format!("role {index}"))?,
                None => true,
            };
            if matches {
                return Ok((index, role));
            }
        }
        Err(IdentityError::NoRole)
    }
}

/// Whether a condition is true; missing is false, and everything else that is no boolean an error.
fn holds(
    condition: &Expression,
    inputs: &Inputs<'_>,
    lacks: &dyn Fn(&Expression) -> bool,
    target: &str,
) -> Result<bool, IdentityError> {
    let failed = |detail: String| IdentityError::Evaluation { target: target.to_owned(), detail };
    if lacks(condition) {
        return Err(IdentityError::GroupsOverage { target: target.to_owned() });
    }
    let truth = condition.truth(inputs).map_err(|error| failed(error.to_string()))?;
    Ok(truth.unwrap_or(false))
}

/// Mapped values on their way to legal ones.
struct Values<'a> {
    inputs: &'a Inputs<'a>,
    lacks: &'a dyn Fn(&Expression) -> bool,
    replaced: Vec<String>,
}

impl Values<'_> {
    fn text(&self, target: &str, mapped: &MappedValue) -> Result<Option<String>, IdentityError> {
        let text = mapped.text(self.inputs, self.lacks).map_err(|error| match error {
            ValueError::LeftOut => IdentityError::GroupsOverage { target: target.to_owned() },
            ValueError::Evaluation(error) => {
                IdentityError::Evaluation { target: target.to_owned(), detail: error.to_string() }
            }
        })?;
        if text.is_none() && mapped.required {
            return Err(IdentityError::ValueMissing { target: target.to_owned() });
        }
        Ok(text)
    }

    fn name(&mut self, target: &str, mapped: &MappedValue) -> Result<Option<SessionName>, IdentityError> {
        let Some(text) = self.text(target, mapped)? else { return Ok(None) };
        let (name, replaced) = SessionName::from_value(&text);
        self.note(target, replaced, mapped)?;
        Ok(Some(name))
    }

    fn tag(&mut self, key: &TagKey, mapped: &MappedValue) -> Result<Option<TagValue>, IdentityError> {
        let target = format!("tag {}", key.as_str());
        let Some(text) = self.text(&target, mapped)? else { return Ok(None) };
        let (value, replaced) = TagValue::from_value(&text);
        self.note(key.as_str(), replaced, mapped)?;
        Ok(Some(value))
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

/// `value` without null members; `None` when it has more than `nodes` nodes.
fn present(value: &Value, nodes: &mut usize) -> Option<Value> {
    *nodes = nodes.checked_sub(1)?;
    Some(match value {
        Value::Object(members) => {
            let mut kept = Map::new();
            for (name, member) in members {
                if !member.is_null() {
                    kept.insert(name.clone(), present(member, nodes)?);
                }
            }
            Value::Object(kept)
        }
        Value::Array(items) => {
            Value::Array(items.iter().map(|item| present(item, nodes)).collect::<Option<Vec<_>>>()?)
        }
        other => other.clone(),
    })
}

/// Claims that the token says were left out of it: distributed claims (`OpenID` Connect Core 5.6.2), as
/// Entra writes them for people in many groups, and its `hasgroups`.
fn claims_left_out(claims: &Value) -> Vec<String> {
    let mut left_out: Vec<String> = claims
        .get("_claim_names")
        .and_then(Value::as_object)
        .map_or_else(Vec::new, |names| names.keys().cloned().collect());
    if claims.get("hasgroups").is_some_and(|has| has.as_bool() == Some(true) || has.as_str() == Some("true"))
    {
        left_out.push("groups".to_owned());
    }
    left_out.retain(|name| claims.get(name).is_none());
    left_out
}

#[cfg(test)]
mod tests;
