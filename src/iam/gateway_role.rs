//! The gateway's own role: it may assume the invocation roles, and nothing else.

use crate::attribution::arn::RoleArn;
use crate::iam::document::{Operator, Policy, Principal, Statement};
use crate::iam::size::{self, INLINE};
use crate::iam::{IamError, Invoked, Options, RunsOn, World, trust};

/// The permissions of the gateway: a statement for each of the three actions of `AssumeRole`, on the roles that need it.
///
/// # Errors
/// When it is larger than IAM accepts.
pub(super) fn permissions(world: &World<'_>) -> Result<Policy, IamError> {
    let roles = |needs: &dyn Fn(&Invoked<'_>) -> bool| -> Vec<String> {
        world.roles.iter().filter(|role| needs(role)).map(|role| role.arn.as_str().to_owned()).collect()
    };
    let statements = [
        ("AssumeTheRolesOfCallers", "sts:AssumeRole", roles(&|_| true)),
        ("TagTheirSessions", "sts:TagSession", roles(&|role| trust::has_tags(role, world.options))),
        ("SetTheirSourceIdentity", "sts:SetSourceIdentity", roles(&trust::has_source_identity)),
    ]
    .into_iter()
    .filter(|(_, _, roles)| !roles.is_empty())
    .map(|(sid, action, roles)| Statement::allow(sid, [action]).on(roles));
    let policy = Policy::new(statements.collect());
    size::check(&policy, &INLINE, || "the policy of the gateway's role".to_owned())?;
    Ok(policy)
}

/// The trust policy of the gateway's role; `None` if the options do not say where the gateway runs.
pub(super) fn trust(gateway: &RoleArn, options: &Options) -> Option<Policy> {
    let (partition, account) = (gateway.partition(), gateway.account());
    let service = |name: &str| Principal::Service(name.to_owned());
    let statement = match options.runs_on.as_ref()? {
        RunsOn::PodIdentity => {
            // EKS tags the session unless the association disables it, and asks for TagSession in either case.
            Statement::allow("PodIdentity", ["sts:AssumeRole", "sts:TagSession"])
                .of(service("pods.eks.amazonaws.com"))
        }
        RunsOn::Irsa { provider, account: service_account } => {
            let arn = format!("arn:{partition}:iam::{account}:oidc-provider/{provider}");
            Statement::allow("ServiceAccount", ["sts:AssumeRoleWithWebIdentity"])
                .of(Principal::Federated(arn))
                .when(Operator::StringEquals, format!("{provider}:aud"), ["sts.amazonaws.com"])
                .when(Operator::StringEquals, format!("{provider}:sub"), [service_account.subject()])
        }
        RunsOn::Ecs => Statement::allow("EcsTasks", ["sts:AssumeRole"])
            .of(service("ecs-tasks.amazonaws.com"))
            .when(Operator::StringEquals, "aws:SourceAccount", [account]),
        RunsOn::Ec2 => {
            let name = if partition == "aws-cn" { "ec2.amazonaws.com.cn" } else { "ec2.amazonaws.com" };
            Statement::allow("Ec2Instances", ["sts:AssumeRole"]).of(service(name))
        }
    };
    Some(Policy::new(vec![statement]))
}
