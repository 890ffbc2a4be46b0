//! Identities out of thin air, for the tests of the stages behind.

use std::time::Duration;

use super::SessionIdentity;
use super::arn::RoleArn;
use super::session_name::SessionName;
use super::tags::{SessionTags, TagKey, TagValue};

impl SessionIdentity {
    /// `duration` and nothing but role, name and tags.
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
