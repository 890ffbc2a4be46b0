//! Canary sessions: the `AssumeRole` calls that a configuration causes, with made-up values in place of a caller's.
//! A reload tries those that it changes, so that a role that STS denies is noticed before a caller needs it.
//!
//! A canary belongs to no caller, so no bill may show it: only an [`Identity`](super::Identity), which a verified
//! caller has, leads to a session that signs calls to Bedrock.

use std::collections::HashSet;
use std::sync::Arc;

use super::mapped_value::MappedValue;
use super::role::Role;
use super::{IssuerMapping, Mapping, SessionIdentity};
use crate::attribution::session_name::SessionName;
use crate::attribution::tags::{SessionTags, TagValue};

/// The made-up session name, source identity and tag value. `CloudTrail` shows it.
const CANARY: &str = "bedrock-gateway-canary";

/// The parameters of a canary session, and the role rule that they belong to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Canary {
    session: Arc<SessionIdentity>,
    rule: usize,
}

impl Canary {
    pub fn session(&self) -> &Arc<SessionIdentity> {
        &self.session
    }

    /// The index of the first role rule with these parameters.
    pub fn rule(&self) -> usize {
        self.rule
    }
}

impl Mapping {
    /// The canary sessions that `old` does not have, each once: those of new roles, and of roles whose parameters
    /// changed. All tag keys of an issuer are tried at once, those of optional tags included.
    pub fn canaries_since(&self, old: &Self) -> Vec<Canary> {
        let mut known: HashSet<_> = old.canaries().map(|canary| canary.session).collect();
        self.canaries().filter(|canary| known.insert(Arc::clone(&canary.session))).collect()
    }

    fn canaries(&self) -> impl Iterator<Item = Canary> {
        self.roles.iter().enumerate().flat_map(move |(rule, role)| {
            let issuers = self.issuers.iter().filter(|mapping| role.is_for(&mapping.issuer));
            issuers.filter_map(move |mapping| {
                Some(Canary { session: Arc::new(self.canary(role, mapping)?), rule })
            })
        })
    }

    /// `None`: STS would accept no session of this role and issuer, which a valid configuration excludes.
    fn canary(&self, role: &Role, mapping: &IssuerMapping) -> Option<SessionIdentity> {
        let tags =
            mapping.tags.iter().map(|(key, mapped)| (key.clone(), TagValue::from_value(value(mapped)).0));
        let tags = SessionTags::new(tags).ok()?;
        let transitive = role.transitive_tags.iter().filter(|key| tags.iter().any(|(tag, _)| tag == *key));
        let source = mapping.source_identity.as_ref();
        Some(SessionIdentity {
            role_arn: role.arn.clone(),
            name: SessionName::exact(CANARY).ok()?,
            transitive_tags: transitive.cloned().collect(),
            source_identity: source.map(|mapped| SessionName::from_value(value(mapped)).0),
            external_id: role.external_id.clone(),
            duration: role.duration.unwrap_or(self.default_duration),
            policy: role.policy.clone(),
            policy_arns: Arc::clone(&role.policy_arns),
            tags,
        })
    }
}

/// A value that callers' sessions can have, if the configuration has one: a trust policy may require certain values.
fn value(mapped: &MappedValue) -> &str {
    mapped.constant.as_deref().or(mapped.default.as_deref()).unwrap_or(CANARY)
}
