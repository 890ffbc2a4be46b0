//! The decision from all policies that apply to a request.
//!
//! The IAM User Guide: `reference_policies_evaluation-logic_policy-eval-denyallow` (within an account),
//! `reference_policies_evaluation-logic-cross-account` (two accounts), `troubleshoot_access-denied` (the words).

use std::fmt;

use super::document::{Kind, Named, PolicyDocument};
use super::{Caller, Context, Need};

/// The policies that apply to a request. A list or policy that is `None` does not apply.
#[derive(Debug, Clone, Copy, Default)]
pub struct Policies<'p> {
    /// The service control policies of the caller's account. One must allow the request.
    pub scps: Option<&'p [PolicyDocument]>,
    /// The policy of the VPC endpoint.
    pub endpoint: Option<&'p PolicyDocument>,
    /// The permissions of the role or user. `None`: they allow everything.
    pub identity: Option<&'p [PolicyDocument]>,
    /// The session policies of the caller's session.
    pub session: Option<&'p [PolicyDocument]>,
    /// The policy of the resource. `None`: the resource has none, so only the caller's account decides.
    pub resource: Option<&'p PolicyDocument>,
    /// The account of the resource, for requests whose resource has a policy.
    pub resource_account: Option<&'p str>,
}

/// The policy that denied a request, and how. Its text has AWS's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denial {
    pub action: String,
    pub by: By,
    /// Whether a statement denies the request, and not only none allows it.
    pub explicit: bool,
    /// The statement that denies it.
    pub sid: Option<String>,
}

/// A kind of policy, in the order in which AWS names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    Scp,
    Endpoint,
    Resource,
    Identity,
    Session,
}

impl By {
    fn words(self) -> &'static str {
        match self {
            Self::Scp => "service control policy",
            Self::Endpoint => "VPC endpoint policy",
            Self::Resource => "resource-based policy",
            Self::Identity => "identity-based policy",
            Self::Session => "session policy",
        }
    }
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (action, words) = (&self.action, self.by.words());
        if self.explicit {
            let article = if self.by == By::Identity { "an" } else { "a" };
            write!(f, "with an explicit deny in {article} {words}")
        } else {
            write!(f, "because no {words} allows the {action} action")
        }
    }
}

/// Decides as AWS documents it: an explicit deny wins, and each kind of policy that applies must allow the request.
/// Within an account, a resource's policy that names the caller is enough without one of the caller's own.
///
/// # Errors
/// The denial.
///
/// # Panics
/// If a document is of another kind than its place.
pub fn decide(policies: &Policies<'_>, caller: &Caller, need: &Need) -> Result<(), Denial> {
    let context = caller.context().and(&need.context);
    let request = Request { caller, need, context: &context };
    let scp = request.verdict(By::Scp, Kind::Scp, policies.scps)?;
    let endpoint =
        request.verdict(By::Endpoint, Kind::Endpoint, policies.endpoint.map(std::slice::from_ref))?;
    let by_resource =
        request.verdict(By::Resource, Kind::Trust, policies.resource.map(std::slice::from_ref))?;
    let identity = request.verdict(By::Identity, Kind::Identity, policies.identity)?;
    let session = request.verdict(By::Session, Kind::Identity, policies.session)?;

    let allows = |by, verdict| if verdict == Named::No { Err(request.implicit(by)) } else { Ok(()) };
    allows(By::Scp, scp)?;
    allows(By::Endpoint, endpoint)?;
    if policies.resource.is_some() {
        allows(By::Resource, by_resource)?;
        let is_same_account = policies.resource_account == Some(caller.account());
        match by_resource {
            Named::BySession if is_same_account => return Ok(()),
            Named::Directly if is_same_account => return allows(By::Session, session),
            _ => {}
        }
    }
    allows(By::Identity, identity)?;
    allows(By::Session, session)
}

struct Request<'r> {
    caller: &'r Caller,
    need: &'r Need,
    context: &'r Context,
}

impl Request<'_> {
    /// The strongest allowance of some policies. Policies that do not apply allow everything.
    fn verdict(&self, by: By, kind: Kind, policies: Option<&[PolicyDocument]>) -> Result<Named, Denial> {
        let Some(policies) = policies else { return Ok(Named::Directly) };
        let mut strongest = Named::No;
        for policy in policies {
            assert_eq!(policy.kind(), kind, "a policy in the wrong place");
            for (statement, named) in policy.matching(self.caller, self.need, self.context) {
                if statement.denies {
                    let sid = statement.sid.clone();
                    return Err(Denial { explicit: true, sid, ..self.implicit(by) });
                }
                strongest = strongest.max(named);
            }
        }
        Ok(strongest)
    }

    fn implicit(&self, by: By) -> Denial {
        Denial { action: self.need.action.clone(), by, explicit: false, sid: None }
    }
}
