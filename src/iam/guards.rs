//! Guards against calls around the gateway: policies that an organization or a VPC endpoint puts around all accounts or
//! all calls. Each is a file of its own, because another person applies it elsewhere.

use crate::iam::document::{Operator, Policy, Principal, Statement};
use crate::iam::size::{self, ENDPOINT, SCP};
use crate::iam::{IamError, World, permissions};
use crate::identity::models::ModelPattern;
use crate::route::Operation;

/// A guard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guard {
    /// A service control policy: only the listed principals call models.
    OnlyThroughTheGateway,
    /// A service control policy: only break-glass principals change the roles.
    RolesStayAsTheyAre,
    /// The policy of the VPC endpoints of Bedrock: only the listed principals, and only their actions.
    Endpoint,
}

impl Guard {
    /// The file's name, without its ending.
    pub fn file_stem(self) -> &'static str {
        match self {
            Self::OnlyThroughTheGateway => "scp-around",
            Self::RolesStayAsTheyAre => "scp-protect",
            Self::Endpoint => "vpc-endpoint",
        }
    }

    pub(super) fn title(self) -> &'static str {
        match self {
            Self::OnlyThroughTheGateway => "the service control policy against calls around the gateway",
            Self::RolesStayAsTheyAre => "the service control policy that protects the roles",
            Self::Endpoint => "the policy of the VPC endpoints",
        }
    }

    /// Where it is applied, in Markdown.
    pub(super) fn use_of_it(self) -> &'static str {
        match self {
            Self::OnlyThroughTheGateway => {
                "a service control policy. In the management account, attach it to the account, or to the root or an \
                 organizational unit: it names the roles of all accounts. No other principal then calls models, agents \
                 or flows, starts batch jobs or uses API keys of Bedrock."
            }
            Self::RolesStayAsTheyAre => {
                "a service control policy. Attach it last: from then on only break-glass principals change the roles, \
                 their trust and their policies."
            }
            Self::Endpoint => {
                "the policy of the interface endpoints `bedrock-runtime`, `bedrock` and `bedrock-mantle` of the VPC, if \
                 there are any."
            }
        }
    }

    /// The calls and changes that it does not stop, in Markdown.
    pub(super) fn gaps(self) -> &'static [&'static str] {
        match self {
            Self::OnlyThroughTheGateway => &[
                "principals of the management account, and service-linked roles: no service control policy applies to \
                 them;",
                "accounts outside the organization, and accounts that it is not attached to;",
                "a stolen session of an invocation role, until it expires: revoke it (SECURITY.md);",
                "break-glass principals and service roles: alert on their calls in CloudTrail;",
                "agents, flows and knowledge bases that call models with a service role of the list.",
            ],
            Self::RolesStayAsTheyAre => &[
                "principals of the management account, and service-linked roles;",
                "a break-glass principal;",
                "a principal that may pass the gateway's role to a task or an instance, or run pods with its service \
                 account: limit `iam:PassRole`, and the access to the cluster;",
                "principals that may change or detach service control policies;",
                "new roles with names of their own: they cannot call models while the other guard is attached.",
            ],
            Self::Endpoint => &[
                "calls that reach Bedrock over the internet or another endpoint: close those by routes, a proxy or the \
                 service control policy;",
                "a stolen session of an invocation role that calls through this VPC.",
            ],
        }
    }
}

/// The actions that reach a model without the gateway.
const AROUND: [&str; 5] = [
    "bedrock:Invoke*",
    "bedrock:CreateModelInvocationJob",
    "bedrock:CallWithBearerToken",
    "bedrock-mantle:CreateInference",
    "bedrock-mantle:CallWithBearerToken",
];

/// The actions that change what a role may do, or who may assume it.
const OF_ROLES: [&str; 11] = [
    "iam:AttachRolePolicy",
    "iam:CreateRole",
    "iam:DeleteRole",
    "iam:DeleteRolePermissionsBoundary",
    "iam:DeleteRolePolicy",
    "iam:DetachRolePolicy",
    "iam:PutRolePermissionsBoundary",
    "iam:PutRolePolicy",
    "iam:UpdateAssumeRolePolicy",
    "iam:UpdateRole",
    "iam:UpdateRoleDescription",
];

const OF_POLICIES: [&str; 4] =
    ["iam:CreatePolicyVersion", "iam:DeletePolicy", "iam:DeletePolicyVersion", "iam:SetDefaultPolicyVersion"];

/// The guards of the configuration. They are the same in each account, so they may be attached above all of them.
///
/// # Errors
/// When one is larger than AWS accepts.
pub(super) fn all(world: &World<'_>) -> Result<Vec<(Guard, Policy)>, IamError> {
    let mut guards = vec![(Guard::OnlyThroughTheGateway, only_through_the_gateway(world))];
    if !world.options.break_glass.is_empty() {
        guards.push((Guard::RolesStayAsTheyAre, roles_stay_as_they_are(world)));
    }
    guards.push((Guard::Endpoint, endpoint(world)));
    for (guard, policy) in &guards {
        let limit = if *guard == Guard::Endpoint { &ENDPOINT } else { &SCP };
        size::check(policy, limit, || guard.title().to_owned())?;
    }
    Ok(guards)
}

/// The ARNs of the invocation roles.
fn invoked(world: &World<'_>) -> Vec<String> {
    world.roles.iter().map(|role| role.arn.as_str().to_owned()).collect()
}

fn break_glass(world: &World<'_>) -> Vec<String> {
    world.options.break_glass.iter().map(|pattern| pattern.as_str().to_owned()).collect()
}

/// Everyone who may call models: the invocation roles, break-glass principals and service roles.
fn callers(world: &World<'_>) -> Vec<String> {
    let services = world.options.service_roles.iter().map(|pattern| pattern.as_str().to_owned());
    invoked(world).into_iter().chain(break_glass(world)).chain(services).collect()
}

fn only_through_the_gateway(world: &World<'_>) -> Policy {
    Policy::new(vec![Statement::deny("OnlyThroughTheGateway", AROUND).on(["*"]).when(
        Operator::ArnNotLike,
        "aws:PrincipalArn",
        callers(world),
    )])
}

/// Protects every role that [`only_through_the_gateway`] lets through: to change one of them, or to create one that is
/// missing, is a way around it.
fn roles_stay_as_they_are(world: &World<'_>) -> Policy {
    let exempt =
        |statement: Statement| statement.when(Operator::ArnNotLike, "aws:PrincipalArn", break_glass(world));
    let patterns = world.options.break_glass.iter().chain(&world.options.service_roles);
    let others = patterns.map(|pattern| pattern.as_str().to_owned());
    let gateway = world.gateway.as_str().to_owned();
    let roles: Vec<String> = std::iter::once(gateway).chain(invoked(world)).chain(others).collect();
    let policies: Vec<String> =
        world.roles.iter().map(|role| permissions::policy_arn(role.arn, "*")).collect();
    Policy::new(vec![
        exempt(Statement::deny("RolesStayAsTheyAre", OF_ROLES).on(roles)),
        exempt(Statement::deny("PoliciesStayAsTheyAre", OF_POLICIES).on(policies)),
    ])
}

/// Allows the actions that the roles need, and nothing else: in particular no API keys.
fn endpoint(world: &World<'_>) -> Policy {
    let mut actions: Vec<String> = Vec::new();
    for role in &world.roles {
        for rule in &role.rules {
            let of_operations = permissions::operations(rule).into_iter().flat_map(Operation::iam_actions);
            actions.extend(of_operations.map(|action| (*action).to_owned()));
            // The permissions have it for application profiles, whatever the operations are.
            let patterns = rule.role.models.iter().flatten();
            if patterns.map(ModelPattern::as_str).any(|pattern| pattern.starts_with("arn:")) {
                actions.push("bedrock:GetInferenceProfile".to_owned());
            }
        }
    }
    actions.sort_unstable();
    actions.dedup();
    Policy::new(vec![
        Statement::allow("OnlyTheListedPrincipals", actions).of(Principal::Anyone).on(["*"]).when(
            Operator::ArnLike,
            "aws:PrincipalArn",
            callers(world),
        ),
    ])
}
