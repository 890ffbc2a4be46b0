//! The identity of a caller in AWS: the operator's mapping turns verified claims into role, session name and tags.
//!
//! This module uses header values but no other HTTP, and no AWS client. Only this module makes an [`Identity`], and
//! only from a [`Verified`] caller. An error in a condition never counts as "no", so it never moves a caller to a
//! wider role rule.

use std::iter;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use http::HeaderMap;
use tokio::sync::Semaphore;

use crate::attribution::arn::RoleArn;
use crate::attribution::session_name::SessionName;
use crate::attribution::tags::{SessionTags, TagKey};
use crate::auth::{Caller, Verified};
use crate::expression::{ClaimsTooLarge, EvaluationError, Expression, InputError, at_once};
use crate::identity::evaluate::{Evaluated, LONGEST_HEADER, listed};
use crate::identity::mapped_value::{MappedValue, Requirement};
use crate::identity::memo::{Key, Resolved};
use crate::identity::role::Role;
use crate::reason::Reason;
use crate::verdict::CachedVerdict;
use crate::workers;

pub use crate::identity::claims_read::ClaimsRead;
pub use crate::identity::memo::IdentityMemo;

pub mod canary;
mod claims_read;
mod evaluate;
pub mod explain;
#[cfg(test)]
mod for_tests;
pub mod mapped_value;
mod memo;
pub mod models;
pub mod name_pattern;
pub mod role;
pub mod sample;

/// The mapping of one issuer's table.
#[derive(Debug, PartialEq)]
pub struct IssuerMapping {
    pub issuer: Arc<str>,
    /// The headers that expressions can read, in lower case. Expressions see nothing else of a request.
    pub request_headers: Vec<String>,
    pub require: Vec<Requirement>,
    pub name: MappedValue,
    pub source_identity: Option<MappedValue>,
    pub tags: Vec<(TagKey, MappedValue)>,
}

impl IssuerMapping {
    /// All expressions of the table.
    fn expressions(&self) -> impl Iterator<Item = &Expression> {
        let values = iter::once(&self.name).chain(&self.source_identity);
        let values = values.chain(self.tags.iter().map(|(_, value)| value));
        let requirements = self.require.iter().map(|requirement| &requirement.expression);
        requirements.chain(values.flat_map(|value| &value.from))
    }
}

/// The long evaluations at the same time, one for each core: more would only take the cores from the workers.
static LONG_EVALUATIONS: LazyLock<Semaphore> = LazyLock::new(|| Semaphore::new(workers::cores().get()));

/// The operator's whole mapping: all issuers and the role table.
#[derive(Debug)]
pub struct Mapping {
    pub issuers: Vec<IssuerMapping>,
    pub roles: Vec<Arc<Role>>,
    /// The operator's text for a caller that no role rule matches.
    pub no_role_tell: Option<Arc<str>>,
    /// The duration of sessions whose role rule sets none.
    pub default_duration: Duration,
    /// The number of this configuration. A remembered outcome is valid for one configuration only.
    pub generation: u64,
}

/// The parameters of one `AssumeRole` call, and nothing else. Callers with equal parameters share a session.
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

    /// The ARN of the session.
    pub fn principal(&self) -> String {
        self.role_arn.principal(&self.name)
    }
}

/// A caller's identity in AWS, and the role rule that limits its use.
#[derive(Debug)]
pub struct Identity {
    session: Arc<SessionIdentity>,
    role: Arc<Role>,
    rule: usize,
    principal: Arc<str>,
    replaced: Vec<String>,
    verdict: CachedVerdict,
}

/// A verified caller and their identity. Only [`Mapping`] makes one, so a caller is never paired with the identity of
/// another caller.
#[derive(Debug, Clone)]
pub struct Identified {
    caller: Arc<Caller<IdentityMemo>>,
    identity: Arc<Identity>,
}

impl Identified {
    pub fn caller(&self) -> &Arc<Caller<IdentityMemo>> {
        &self.caller
    }

    pub fn identity(&self) -> &Arc<Identity> {
        &self.identity
    }
}

impl Identity {
    /// The only constructor of an identity. `evaluated` must come from the claims of `caller`.
    fn of(_caller: &Verified, evaluated: Evaluated) -> Self {
        let Evaluated { session, role, rule, replaced } = evaluated;
        Self {
            principal: session.principal().into(),
            session: Arc::new(session),
            role,
            rule,
            replaced,
            verdict: CachedVerdict::default(),
        }
    }

    pub fn session(&self) -> &Arc<SessionIdentity> {
        &self.session
    }

    pub fn role(&self) -> &Arc<Role> {
        &self.role
    }

    /// The index of the role rule that matched.
    pub fn rule(&self) -> usize {
        self.rule
    }

    pub fn principal(&self) -> &Arc<str> {
        &self.principal
    }

    /// The replaced values: `name`, `source_identity` or tag keys.
    pub fn replaced(&self) -> &[String] {
        &self.replaced
    }

    /// The cached result of the last revocation check.
    pub fn verdict(&self) -> &CachedVerdict {
        &self.verdict
    }
}

/// A refusal by the mapping: the error, and facts for the operator and the caller.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{error}")]
pub struct IdentityRefusal {
    pub error: IdentityError,
    /// The claims that the deciding expressions read.
    pub claims: ClaimsRead,
    /// The operator's text for the caller.
    pub tell: Option<Arc<str>>,
    /// The role rule that had matched, for example when a tag's value is missing.
    pub rule: Option<usize>,
}

impl From<IdentityError> for IdentityRefusal {
    fn from(error: IdentityError) -> Self {
        Self { error, claims: ClaimsRead::default(), tell: None, rule: None }
    }
}

/// Why a verified caller has no identity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// `missing`: see [`ValueMissing`](Self::ValueMissing). `undecided`: the condition is neither true nor false,
    /// because a value that it reads is missing.
    #[error("require[{index}] is not met: {message}{missing}")]
    RequirementFailed { index: usize, message: String, undecided: bool, missing: String },
    /// `read` names the claims that the role table reads, and those that are missing, behind a "; ".
    #[error("no role matches: no `when` is true for these claims{read}")]
    NoRole { read: String },
    /// `missing` names the claims that the expressions read and the token does not have, behind a "; ". It is empty
    /// where the token has them all.
    #[error("the value of {target} is missing{missing}")]
    ValueMissing { target: String, missing: String },
    #[error("the value of {target} is {detail}")]
    ValueInvalid { target: String, detail: &'static str },
    /// `replaced`: the name has a hash instead of what AWS would reject. The patterns apply to the value before that.
    #[error(
        "the session name {name} is not among the role's session_names{}",
        if *replaced { "; it is a replaced value, and a pattern must match the original value" } else { "" }
    )]
    NameForbidden { name: String, replaced: bool },
    #[error("{target} cannot be evaluated: {detail}")]
    Evaluation { target: String, detail: String },
    #[error(
        "{target} reads a claim that the identity provider left out of the token, for example because the caller is \
         in too many groups; have it send fewer"
    )]
    GroupsOverage { target: String },
    #[error("{ClaimsTooLarge}")]
    ClaimsTooLarge,
    #[error("the request header {0} appears twice; the client must send it once")]
    HeaderRepeated(String),
    #[error(
        "the request header {0} is longer than {LONGEST_HEADER} bytes or not UTF-8; the client must shorten it"
    )]
    HeaderIllegal(String),
}

impl IdentityError {
    /// The error of the expression for `target`.
    fn of(error: InputError, target: String) -> Self {
        match error {
            InputError::LeftOut => Self::GroupsOverage { target },
            InputError::Evaluation(EvaluationError(detail)) => Self::Evaluation { target, detail },
            InputError::NotAString(detail) => Self::ValueInvalid { target, detail },
        }
    }

    /// The reason, for log and metrics.
    pub fn reason(&self) -> Reason {
        match self {
            Self::RequirementFailed { .. } => Reason::RequirementFailed,
            Self::NoRole { .. } => Reason::NoRole,
            Self::ValueMissing { .. } => Reason::ValueMissing,
            Self::ValueInvalid { .. } => Reason::ValueInvalid,
            Self::NameForbidden { .. } => Reason::SessionNameForbidden,
            Self::Evaluation { .. } => Reason::EvaluationFailed,
            Self::GroupsOverage { .. } => Reason::GroupsOverage,
            Self::ClaimsTooLarge => Reason::ClaimsTooLarge,
            Self::HeaderRepeated(_) => Reason::RequestHeaderRepeated,
            Self::HeaderIllegal(_) => Reason::RequestHeaderIllegal,
        }
    }
}

impl Mapping {
    /// Resolves the identity of `caller`, or finds it in the caller's own memo.
    ///
    /// A memo cannot be passed separately, so a caller never gets an identity from the memo of another caller:
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use bedrock_gateway::auth::Caller;
    /// # use bedrock_gateway::identity::{IdentityMemo, Mapping};
    /// # type Callers = Arc<Caller<IdentityMemo>>;
    /// fn of_the_caller(mapping: &Mapping, alice: &Callers, bob: &Callers, headers: &http::HeaderMap) {
    ///     let _identified = mapping.resolve(alice, headers);
    /// }
    /// ```
    /// ```compile_fail,E0061
    /// # use std::sync::Arc;
    /// # use bedrock_gateway::auth::Caller;
    /// # use bedrock_gateway::identity::{IdentityMemo, Mapping};
    /// # type Callers = Arc<Caller<IdentityMemo>>;
    /// fn of_the_caller(mapping: &Mapping, alice: &Callers, bob: &Callers, headers: &http::HeaderMap) {
    ///     let _identified = mapping.resolve(alice, bob.memo(), headers);
    /// }
    /// ```
    ///
    /// # Errors
    /// [`IdentityRefusal`]. The memo keeps errors too, since the same token will fail again.
    pub fn resolve(
        &self,
        caller: &Arc<Caller<IdentityMemo>>,
        headers: &HeaderMap,
    ) -> Result<Identified, IdentityRefusal> {
        let identity = self.identity(caller, headers)?;
        Ok(Identified { caller: Arc::clone(caller), identity })
    }

    /// [`Mapping::resolve`] for a thread that serves other callers as well. It evaluates on a blocking thread what
    /// takes more than about a millisecond.
    ///
    /// # Errors
    /// Those of [`Mapping::resolve`].
    pub async fn resolve_soon(
        self: &Arc<Self>,
        caller: &Arc<Caller<IdentityMemo>>,
        headers: &HeaderMap,
    ) -> Result<Identified, IdentityRefusal> {
        let key = self.key(caller.verified(), headers)?;
        let resolved = match caller.memo().get(&key) {
            Some(resolved) => resolved,
            None => match at_once(|| self.evaluated(caller.verified(), &key)) {
                Some(resolved) => {
                    caller.memo().remember(key, resolved.clone());
                    resolved
                }
                None => self.evaluated_elsewhere(caller, key).await,
            },
        };
        Ok(Identified { caller: Arc::clone(caller), identity: resolved? })
    }

    async fn evaluated_elsewhere(self: &Arc<Self>, caller: &Arc<Caller<IdentityMemo>>, key: Key) -> Resolved {
        let (mapping, caller) = (Arc::clone(self), Arc::clone(caller));
        // An error would mean that the semaphore is closed, which it never is.
        let turn = LONG_EVALUATIONS.acquire().await.ok();
        let evaluation = move || {
            let _turn = turn;
            mapping.evaluated_and_remembered(&caller, key)
        };
        tokio::task::spawn_blocking(evaluation).await.unwrap_or_else(|_| {
            let (target, detail) = ("the mapping".to_owned(), "the evaluation was interrupted".to_owned());
            Err(IdentityError::Evaluation { target, detail }.into())
        })
    }

    fn identity(&self, caller: &Caller<IdentityMemo>, headers: &HeaderMap) -> Resolved {
        let key = self.key(caller.verified(), headers)?;
        caller.memo().get(&key).unwrap_or_else(|| self.evaluated_and_remembered(caller, key))
    }

    fn evaluated_and_remembered(&self, caller: &Caller<IdentityMemo>, key: Key) -> Resolved {
        let resolved = self.evaluated(caller.verified(), &key);
        caller.memo().remember(key, resolved.clone());
        resolved
    }

    /// Everything except the claims that the outcome for `caller` depends on.
    fn key(&self, caller: &Verified, headers: &HeaderMap) -> Result<Key, IdentityError> {
        let mapping = self.of(caller)?;
        Ok(Key { generation: self.generation, headers: listed(&mapping.request_headers, headers)? })
    }

    /// The mapping of the caller's issuer.
    fn of(&self, caller: &Verified) -> Result<&IssuerMapping, IdentityError> {
        let mapping = self.issuers.iter().find(|mapping| *mapping.issuer == *caller.issuer());
        mapping.ok_or_else(Self::no_mapping)
    }

    /// The outcome of an evaluation.
    fn evaluated(&self, caller: &Verified, key: &Key) -> Resolved {
        let evaluated = self.evaluate(self.of(caller)?, caller.claims(), &key.headers)?;
        Ok(Arc::new(Identity::of(caller, evaluated)))
    }
}

#[cfg(test)]
mod tests;
