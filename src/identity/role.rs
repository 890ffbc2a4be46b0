//! The role table: the IAM role of a caller's session, and the calls that the gateway permits with it.

use std::sync::Arc;
use std::time::Duration;

use crate::attribution::arn::RoleArn;
use crate::attribution::tags::TagKey;
use crate::expression::Expression;
use crate::identity::models::ModelPattern;
use crate::identity::name_pattern::NamePattern;
use crate::route::Operation;

/// One role rule. The first rule whose `issuers` and `when` match decides; if none matches, the gateway refuses the
/// request.
#[derive(Debug, PartialEq)]
pub struct Role {
    /// Absent: the rule matches every caller of its issuers.
    pub when: Option<Expression>,
    /// The names of its issuers. Absent: the only issuer.
    pub issuers: Option<Vec<Arc<str>>>,
    pub arn: RoleArn,
    pub external_id: Option<String>,
    /// The session names that the rule permits. Absent: all.
    pub session_names: Option<Vec<NamePattern>>,
    /// The duration of its sessions, if it differs from the general one.
    pub duration: Option<Duration>,
    /// A session policy in JSON, which narrows the role's permissions.
    pub policy: Option<Arc<str>>,
    pub policy_arns: Arc<[String]>,
    /// Session tags that are kept when a session of this role assumes another role.
    pub transitive_tags: Vec<TagKey>,
    /// Absent: all except those on stored state that the users of an account share.
    pub operations: Option<Vec<Operation>>,
    /// Absent: all models.
    pub models: Option<Vec<ModelPattern>>,
    /// Absent: all regions of the configuration.
    pub regions: Option<Vec<String>>,
    /// The projects and workspaces that its callers may name.
    pub projects: Vec<String>,
    /// The operator's text for a caller whose call the rule refuses.
    pub tell: Option<Arc<str>>,
    /// The most concurrent requests of one principal of this role, if it differs from the general limit.
    pub concurrency: Option<usize>,
    /// Whether equal session names from different issuers mean the same person.
    pub shared_names: bool,
}

impl Role {
    /// Whether callers of `issuer` can match the rule.
    pub fn is_for(&self, issuer: &str) -> bool {
        self.issuers.as_ref().is_none_or(|issuers| issuers.iter().any(|name| **name == *issuer))
    }
}
