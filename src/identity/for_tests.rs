//! Identities without verified claims, for the tests of later stages.

use std::sync::Arc;
use std::time::Duration;

use super::role::Role;
use super::{Identified, Identity, SessionIdentity};
use crate::attribution::arn::RoleArn;
use crate::attribution::session_name::SessionName;
use crate::attribution::tags::{SessionTags, TagKey, TagValue};
use crate::auth::Caller;
use crate::verdict::CachedVerdict;

impl SessionIdentity {
    /// A session with this role, name, tags and duration, and nothing else.
    pub(crate) fn for_tests(role_arn: &str, name: &str, tags: &[(&str, &str)], duration: Duration) -> Self {
        let tags =
            tags.iter().map(|(key, value)| (TagKey::parse(key).unwrap(), TagValue::exact(value).unwrap()));
        Self {
            role_arn: RoleArn::parse(role_arn).unwrap(),
            name: SessionName::exact(name).unwrap(),
            tags: SessionTags::new(tags).unwrap(),
            transitive_tags: Vec::new(),
            source_identity: None,
            external_id: None,
            duration,
            policy: None,
            policy_arns: [].into(),
        }
    }
}

impl Identity {
    /// An identity whose role rule has no limits except those that `change` sets.
    pub(crate) fn for_tests(name: &str, change: impl FnOnce(&mut Role)) -> Self {
        let arn = "arn:aws:iam::123456789012:role/BedrockUser";
        let session = Arc::new(SessionIdentity::for_tests(arn, name, &[], Duration::from_hours(1)));
        let mut role = Role {
            when: None,
            issuers: None,
            arn: RoleArn::parse(arn).unwrap(),
            external_id: None,
            session_names: None,
            duration: None,
            policy: None,
            policy_arns: [].into(),
            transitive_tags: Vec::new(),
            operations: None,
            models: None,
            regions: None,
            projects: Vec::new(),
            tell: None,
            concurrency: None,
            shared_names: false,
        };
        change(&mut role);
        let principal = session.principal().into();
        Self {
            session,
            role: Arc::new(role),
            rule: 0,
            principal,
            replaced: Vec::new(),
            verdict: CachedVerdict::default(),
        }
    }
}

impl Identified {
    /// A caller without claims, paired with this identity.
    pub(crate) fn for_tests(identity: Arc<Identity>) -> Self {
        let caller = Arc::new(Caller::for_tests("acme", serde_json::Map::new()));
        Self { caller, identity }
    }
}
