//! The roles that can be assumed, and their trust policies.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::{StsCall, StsError};

/// The accounts in which the gateway can assume every role. A test need not add those.
pub const OPEN_ACCOUNTS: [&str; 2] = ["123456789012", "210987654321"];

/// The limit of role chaining.
const CHAINED_MAX: Duration = Duration::from_hours(1);

/// A role and its trust policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleSpec {
    pub arn: String,
    /// The `sts:ExternalId` that the trust policy requires; `None`: any or none.
    pub external_id: Option<String>,
    pub max_duration: Duration,
    /// Whether it allows `sts:TagSession`.
    pub trusts_tag_session: bool,
    /// Whether it allows `sts:SetSourceIdentity`.
    pub trusts_source_identity: bool,
}

impl RoleSpec {
    /// A role with IAM's default duration (an hour at most) and a trust policy that allows the gateway everything.
    pub fn new(arn: &str) -> Self {
        Self {
            arn: arn.to_owned(),
            external_id: None,
            max_duration: Duration::from_hours(1),
            trusts_tag_session: true,
            trusts_source_identity: true,
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Roles {
    known: BTreeMap<String, RoleSpec>,
    denied_names: BTreeSet<String>,
}

impl Roles {
    pub(super) fn add(&mut self, role: RoleSpec) {
        self.known.insert(role.arn.clone(), role);
    }

    pub(super) fn deny(&mut self, session_name: &str) {
        self.denied_names.insert(session_name.to_owned());
    }

    pub(super) fn allow(&mut self, session_name: &str) {
        self.denied_names.remove(session_name);
    }

    /// Decides about the call as IAM would. `caller` is an ARN, and `inherited` are its transitive tags.
    pub(super) fn authorize(
        &self,
        call: &StsCall,
        inherited: &BTreeMap<String, String>,
        caller: &str,
        chained: bool,
    ) -> Result<(), StsError> {
        let denied = |action| Err(StsError::access_denied(caller, action, &call.role_arn));
        let Some(role) = self.find(&call.role_arn) else {
            return denied("sts:AssumeRole");
        };
        if self.denied_names.contains(&call.session_name)
            || (role.external_id.is_some() && role.external_id != call.external_id)
        {
            return denied("sts:AssumeRole");
        }
        // Inherited tags need the permission too.
        let tagged = !call.tags.is_empty() || !inherited.is_empty();
        if tagged && !role.trusts_tag_session {
            return denied("sts:TagSession");
        }
        if call.source_identity.is_some() && !role.trusts_source_identity {
            return denied("sts:SetSourceIdentity");
        }
        let is_inherited =
            |key: &String| inherited.keys().any(|own| own.to_lowercase() == key.to_lowercase());
        if call.tags.keys().any(is_inherited) {
            return Err(StsError::inherited_tag());
        }
        let duration = call.duration_or_default();
        if duration > role.max_duration {
            return Err(StsError::validation(
                "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.",
            ));
        }
        if chained && duration > CHAINED_MAX {
            return Err(StsError::validation(
                "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed \
                 by role chaining.",
            ));
        }
        Ok(())
    }

    fn find(&self, arn: &str) -> Option<RoleSpec> {
        let open = || account(arn).is_some_and(|account| OPEN_ACCOUNTS.contains(&account));
        self.known.get(arn).cloned().or_else(|| open().then(|| RoleSpec::new(arn)))
    }
}

pub(super) fn account(role_arn: &str) -> Option<&str> {
    role_arn.split(':').nth(4)
}
