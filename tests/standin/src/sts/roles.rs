//! The roles that can be assumed, and their trust policies.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::{StsCall, StsError};
use crate::iam::{Caller, Context, Denial, Directory, Need, Policies, PolicyDocument};

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
    /// The trust policy as a document, besides the fields above. `None`: they are all of it.
    pub trust: Option<PolicyDocument>,
    /// The permissions of the role. `None`: everything.
    pub permissions: Option<Vec<PolicyDocument>>,
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
            trust: None,
            permissions: None,
        }
    }
}

/// The caller of `AssumeRole`, and all that decides about it besides the roles.
#[derive(Debug)]
pub(super) struct Asker<'a> {
    pub(super) caller: Caller,
    pub(super) directory: &'a Directory,
    pub(super) region: &'a str,
    /// The transitive tags of the caller's own session.
    pub(super) inherited: &'a BTreeMap<String, String>,
    /// Whether those are in `aws:TagKeys` and `aws:RequestTag`.
    pub(super) counts_inherited: bool,
    pub(super) chained: bool,
}

impl Asker<'_> {
    /// Decides by the documents of the caller, the role and the caller's account. Each action of the call is decided
    /// by itself.
    fn decide(&self, call: &StsCall, role: &RoleSpec) -> Result<(), StsError> {
        let resource_account = role.trust.as_ref().and_then(|_| account(&role.arn));
        let others = Policies { resource: role.trust.as_ref(), resource_account, ..Policies::default() };
        for need in self.needs(call) {
            self.directory.decide_with(&self.caller, &need, &others).map_err(|denial| {
                // AWS gives no reason if the role is in another account.
                let is_same = account(&role.arn) == Some(self.caller.account());
                self.denied(&need, is_same.then_some(denial))
            })?;
        }
        Ok(())
    }

    fn denied(&self, need: &Need, denial: Option<Denial>) -> StsError {
        let mut error = StsError::access_denied(self.caller.arn(), &need.action, &need.resource);
        if let Some(denial) = denial {
            error.message = format!("{} {denial}", error.message);
        }
        error
    }

    /// The actions of the call, each with the context keys that the Service Authorization Reference lists for it
    /// (`list_awssecuritytokenservice`). Whether AWS gives an action further keys is not known.
    fn needs(&self, call: &StsCall) -> Vec<Need> {
        let counted = if self.counts_inherited { Some(self.inherited) } else { None };
        let tags: BTreeMap<_, _> = counted.into_iter().flatten().chain(&call.tags).collect();
        let transitive = counted.into_iter().flat_map(BTreeMap::keys).chain(&call.transitive);
        let mut of_tags = Context::default()
            .with("aws:RequestedRegion", self.region)
            .with_all("aws:TagKeys", tags.keys().map(|key| key.as_str()))
            .with_all("sts:TransitiveTagKeys", transitive.map(String::as_str));
        for (key, value) in &tags {
            of_tags = of_tags.with(&format!("aws:RequestTag/{key}"), value);
        }
        let mut of_source = Context::default().with("aws:RequestedRegion", self.region);
        if let Some(source) = &call.source_identity {
            of_source = of_source.with("sts:SourceIdentity", source);
        }
        let mut of_role = of_tags.clone().and(&of_source).with("sts:RoleSessionName", &call.session_name);
        if let Some(id) = &call.external_id {
            of_role = of_role.with("sts:ExternalId", id);
        }
        let mut needs = vec![Need::new("sts:AssumeRole", &call.role_arn, of_role)];
        if !tags.is_empty() {
            needs.push(Need::new("sts:TagSession", &call.role_arn, of_tags));
        }
        if call.source_identity.is_some() {
            needs.push(Need::new("sts:SetSourceIdentity", &call.role_arn, of_source));
        }
        needs
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

    /// Decides about the call as IAM would.
    pub(super) fn authorize(&self, call: &StsCall, asker: &Asker<'_>) -> Result<(), StsError> {
        let inherited = asker.inherited;
        let denied = |action| Err(StsError::access_denied(asker.caller.arn(), action, &call.role_arn));
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
        asker.decide(call, &role)?;
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
        if asker.chained && duration > CHAINED_MAX {
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
