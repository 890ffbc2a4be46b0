//! As whom AWS will see a caller: the operator's mapping over verified claims yields role, session
//! name and tags.
//!
//! Knows no HTTP but header values, and no AWS client. An [`Identity`] is made only here, only from a
//! [`Verified`] caller; an error never means "no" to a condition, so it never moves a caller to a wider
//! rule.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;

use crate::auth::Verified;
use crate::identity::arn::RoleArn;
use crate::identity::decision::{Decision, LONGEST_HEADER, listed};
use crate::identity::mapping::{MappedValue, Requirement};
use crate::identity::outcomes::{Key, Resolved};
use crate::identity::role::Role;
use crate::identity::session_name::SessionName;
use crate::identity::tags::{SessionTags, TagKey};

pub use crate::identity::facts::Facts;
pub use crate::identity::outcomes::Outcomes;
pub use crate::identity::standing::{Denied, Standing};

pub mod arn;
mod decision;
pub mod explain;
pub mod expression;
mod facts;
#[cfg(test)]
mod for_tests;
pub mod mapping;
pub mod models;
mod outcomes;
pub mod role;
pub mod session_name;
mod standing;
mod suffix;
pub mod tags;

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
    standing: Standing,
}

impl Identity {
    /// The only way to an identity: that of a `caller` whose claims `decision` was made of.
    fn of(_caller: &Verified, decision: Decision) -> Self {
        let Decision { session, role, rule, replaced } = decision;
        Self {
            principal: session.principal().into(),
            session: Arc::new(session),
            role,
            rule,
            replaced,
            standing: Standing::default(),
        }
    }

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

    /// Whether the operator has cut them off, as it was last found out.
    pub fn standing(&self) -> &Standing {
        &self.standing
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
    #[error("the value of {target} is {detail}")]
    ValueInvalid { target: String, detail: &'static str },
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
        let decided = self.evaluate(mapping, caller.claims(), &key.headers);
        let resolved = decided.map(|decision| Arc::new(Identity::of(caller, decision)));
        memo.remember(key, resolved.clone());
        resolved
    }
}

#[cfg(test)]
mod tests;
