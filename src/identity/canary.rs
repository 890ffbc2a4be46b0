//! Canary sessions: the `AssumeRole` calls that a configuration causes, with made-up values in place of a caller's.
//! A reload tries those that it changes, so that a role that STS denies is noticed before a caller needs it.
//!
//! A canary belongs to no caller, so no bill may show it: only an [`Identity`](super::Identity), which a verified
//! caller has, leads to a session that signs calls to Bedrock.

use std::collections::HashSet;
use std::sync::Arc;

use super::mapped_value::MappedValue;
use super::name_pattern::{LONGEST, NamePattern};
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
            issuers.flat_map(move |mapping| {
                names(role).into_iter().filter_map(move |name| {
                    Some(Canary { session: Arc::new(self.canary(role, mapping, name)?), rule })
                })
            })
        })
    }

    /// `None`: STS would accept no session of this role and issuer, which a valid configuration excludes.
    fn canary(&self, role: &Role, mapping: &IssuerMapping, name: SessionName) -> Option<SessionIdentity> {
        let tags =
            mapping.tags.iter().map(|(key, mapped)| (key.clone(), TagValue::from_value(value(mapped)).0));
        let tags = SessionTags::new(tags).ok()?;
        let transitive = role.transitive_tags.iter().filter(|key| tags.iter().any(|(tag, _)| tag == *key));
        // A source identity that is made like the session name is equal to it, and obeys the same patterns.
        let source = mapping.source_identity.as_ref().map(|mapped| {
            if *mapped == mapping.name { name.clone() } else { SessionName::from_value(value(mapped)).0 }
        });
        Some(SessionIdentity {
            role_arn: role.arn.clone(),
            name,
            transitive_tags: transitive.cloned().collect(),
            source_identity: source,
            external_id: role.external_id.clone(),
            duration: role.duration.unwrap_or(self.default_duration),
            policy: role.policy.clone(),
            policy_arns: Arc::clone(&role.policy_arns),
            tags,
        })
    }
}

/// The session names to try: one for each name pattern with a `*`, because the trust policy may lack a pattern. A role
/// whose patterns have no `*` accepts only names of callers, so its canary has the first of them.
fn names(role: &Role) -> Vec<SessionName> {
    let Some(patterns) = &role.session_names else { return SessionName::exact(CANARY).into_iter().collect() };
    let (wild, fixed): (Vec<_>, Vec<_>) =
        patterns.iter().map(NamePattern::as_str).partition(|text| text.contains('*'));
    let names: Vec<_> = wild.into_iter().filter_map(matched_by).collect();
    if names.is_empty() { fixed.into_iter().find_map(matched_by).into_iter().collect() } else { names }
}

/// A name that the pattern matches: the first `*` becomes as much of the made-up name as there is room for. `None`: AWS
/// accepts no name of this form.
fn matched_by(pattern: &str) -> Option<SessionName> {
    let room = LONGEST.saturating_sub(pattern.len() - pattern.matches('*').count());
    let made_up: String = CANARY.chars().take(room).collect();
    SessionName::exact(&pattern.replacen('*', &made_up, 1).replace('*', "")).ok()
}

/// A value that callers' sessions can have, if the configuration has one: a trust policy may require certain values.
fn value(mapped: &MappedValue) -> &str {
    mapped.constant.as_deref().or(mapped.default.as_deref()).unwrap_or(CANARY)
}
