//! The role table: which IAM role a caller's calls are signed by, and what it may be used for here.

use std::sync::Arc;
use std::time::Duration;

use crate::attribution::arn::RoleArn;
use crate::attribution::tags::TagKey;
use crate::expression::Expression;
use crate::identity::models::ModelPattern;
use crate::route::Operation;

/// One rule of the table. The first whose issuer and `when` match is the caller's; none: refused.
#[derive(Debug, PartialEq)]
pub struct Role {
    /// Absent: everyone of its issuers.
    pub when: Option<Expression>,
    /// Names of issuers; absent: the only one.
    pub issuers: Option<Vec<Arc<str>>>,
    pub arn: RoleArn,
    pub external_id: Option<String>,
    /// Of its sessions, where it is not the general one.
    pub duration: Option<Duration>,
    /// A session policy, JSON, that narrows the role.
    pub policy: Option<Arc<str>>,
    pub policy_arns: Arc<[String]>,
    /// Session tags that roles assumed further down keep.
    pub transitive_tags: Vec<TagKey>,
    /// Absent: all but those of state that an account's users share.
    pub operations: Option<Vec<Operation>>,
    /// Absent: all.
    pub models: Option<Vec<ModelPattern>>,
    /// Absent: all that are configured.
    pub regions: Option<Vec<String>>,
    /// Projects and workspaces that its callers may name.
    pub projects: Vec<String>,
    /// Equal names of different issuers mean the same person.
    pub shared_names: bool,
}
