//! The permissions of roles and the service control policies of accounts.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::decision::{Denial, Policies, decide};
use super::{Caller, Need, PolicyDocument};

/// The policies that a test has attached. Changes apply at once, also to sessions that exist.
#[derive(Debug, Default)]
pub struct Directory {
    attached: Mutex<Attached>,
}

#[derive(Debug, Default)]
struct Attached {
    /// By the ARN of the role or user.
    permissions: BTreeMap<String, Vec<PolicyDocument>>,
    /// By account.
    scps: BTreeMap<String, Vec<PolicyDocument>>,
    /// By access key id.
    sessions: BTreeMap<String, Vec<PolicyDocument>>,
}

impl Directory {
    /// Sets all permissions of a role or user. A principal for which this was not called can do everything.
    pub fn set_permissions(&self, arn: &str, documents: Vec<PolicyDocument>) {
        self.lock().permissions.insert(arn.to_owned(), documents);
    }

    /// Sets all service control policies of an account, which must include
    /// [`full_aws_access`](PolicyDocument::full_aws_access) or others that allow something. An account for which this
    /// was not called has none, like the management account.
    pub fn set_scps(&self, account: &str, documents: Vec<PolicyDocument>) {
        self.lock().scps.insert(account.to_owned(), documents);
    }

    /// Sets the session policies of a session.
    pub fn set_session_policies(&self, access_key_id: &str, documents: Vec<PolicyDocument>) {
        self.lock().sessions.insert(access_key_id.to_owned(), documents);
    }

    /// Whether a role or user has permissions of its own here.
    pub fn has_permissions(&self, arn: &str) -> bool {
        self.lock().permissions.contains_key(arn)
    }

    /// Decides about a request to a service without policies of its own, such as Bedrock.
    ///
    /// # Errors
    /// The denial.
    pub fn decide(
        &self,
        caller: &Caller,
        need: &Need,
        endpoint: Option<&PolicyDocument>,
    ) -> Result<(), Denial> {
        self.decide_with(caller, need, &Policies { endpoint, ..Policies::default() })
    }

    /// Decides about a request with the policies of `others` besides those of the caller.
    ///
    /// # Errors
    /// The denial.
    pub fn decide_with(&self, caller: &Caller, need: &Need, others: &Policies<'_>) -> Result<(), Denial> {
        let attached = self.lock();
        let session = caller.access_key_id().and_then(|id| attached.sessions.get(id));
        let policies = Policies {
            scps: attached.scps.get(caller.account()).map(Vec::as_slice),
            identity: attached.permissions.get(caller.principal_arn()).map(Vec::as_slice),
            session: session.map(Vec::as_slice),
            ..*others
        };
        decide(&policies, caller, need)
    }

    fn lock(&self) -> MutexGuard<'_, Attached> {
        self.attached.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
