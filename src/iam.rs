//! The IAM side of a configuration: the policies of the gateway's role and of each invocation role, guards against
//! calls around the gateway, and the steps of an administrator. Everything is made from the configuration alone, without
//! I/O.
//!
//! No policy here allows a model or an operation that the gateway refuses. Where IAM cannot express what the gateway
//! decides, the policy is narrower, or a note or `docs/IAM.md` says so.

use std::fmt;
use std::sync::Arc;

use crate::attribution::arn::RoleArn;
use crate::config::Config;
use crate::identity::IssuerMapping;
use crate::identity::role::Role;

pub use crate::iam::document::{Condition, Effect, Operator, Policy, Principal, Statement};
pub use crate::iam::format::Format;
pub use crate::iam::guards::Guard;
pub use crate::iam::options::{
    IllegalOption, Options, OutputLocation, PrincipalPattern, RunsOn, ServiceAccount,
};
pub use crate::iam::trust::EKS_TAGS;

mod document;
pub mod form;
mod format;
mod gateway_role;
mod guards;
mod models;
mod options;
mod pattern;
mod permissions;
mod size;
mod steps;
#[cfg(test)]
mod tests;
mod trust;

/// The name of the gateway's role if no option names it.
pub const GATEWAY_ROLE: &str = "BedrockGateway";

/// Everything that a configuration needs in IAM.
#[derive(Debug, Clone)]
pub struct Bundle {
    /// The gateway's account first, then the others in the order of the role rules.
    pub accounts: Vec<Account>,
    /// The role that the gateway runs as.
    pub gateway_role: RoleArn,
    /// The operator's options besides the configuration.
    pub options: Options,
    /// Parts of the configuration that the policies do not allow, and guards that are missing: for the operator.
    pub notes: Vec<String>,
}

/// The policies of one account.
#[derive(Debug, Clone)]
pub struct Account {
    /// 12 digits.
    pub id: String,
    /// For example `aws` or `aws-us-gov`.
    pub partition: String,
    /// The gateway's role first, since a trust policy cannot name a role that does not exist.
    pub files: Vec<PolicyFile>,
    /// The invocation roles of the account.
    pub roles: Vec<InvocationRole>,
}

/// A role that callers get.
#[derive(Debug, Clone)]
pub struct InvocationRole {
    pub arn: RoleArn,
    /// Seconds: the longest session that the configuration requests, and at least one hour.
    pub longest_session: u64,
}

/// One policy document.
#[derive(Debug, Clone)]
pub struct PolicyFile {
    pub kind: Kind,
    pub policy: Policy,
}

/// The use of a policy document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// The trust policy of the gateway's own role. Only if the options say where the gateway runs.
    GatewayTrust,
    /// The permissions of the gateway's own role.
    GatewayRole,
    /// The trust policy of an invocation role.
    Trust {
        role: RoleArn,
    },
    /// The permissions of an invocation role. `part` counts from 1.
    Permissions {
        role: RoleArn,
        part: usize,
    },
    Guard(Guard),
}

/// The error for a configuration or options that nothing can be generated for. The text names the remedy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IamError {
    #[error("the configuration has no role, so there is nothing to generate; add a [[role]] with an arn")]
    NothingToDo,
    #[error(
        "the roles are in several accounts ({accounts}), so the account of the gateway's own role is not known; \
         pass --gateway-role, for example {example}"
    )]
    GatewayRoleUnknown { accounts: String, example: String },
    #[error("{arn} is the gateway's own role and the arn of a [[role]]; create another role for the callers")]
    GatewayRoleIsInvoked { arn: String },
    #[error("{first} and {second} have one name, and IAM accepts a name once in an account; rename one")]
    NameTwice { first: String, second: String },
    #[error("{arn} has a character that a policy reads as a pattern; rename the role, or its path")]
    NotPlain { arn: String },
    #[error("{what} {arn} is not in the partition {partition} of the roles; write arn:{partition}:…")]
    Partition { what: &'static str, arn: String, partition: String },
    #[error(
        "[[role]] number {rule}: the model pattern \"{pattern}\" matches nothing that can be invoked in {regions}; write an id as \
         Bedrock lists it, for example \"anthropic.claude-*\" or \"eu.*\", or remove the pattern"
    )]
    NoModel { rule: usize, pattern: String, regions: String },
    #[error("{what} would contain {character:?}, which IAM does not accept in a policy; rename the tag key")]
    Character { what: String, character: char },
    #[error("{what} would have {size} characters without white space, and {limit} are the most; {remedy}")]
    TooLarge { what: String, size: usize, limit: usize, remedy: &'static str },
}

/// A role rule with what the generators need of it.
struct RoleRule<'a> {
    /// The number of the `[[role]]` table, from 1.
    place: usize,
    role: &'a Role,
    /// The issuers whose callers can match.
    issuers: Vec<&'a IssuerMapping>,
    regions: Vec<&'a str>,
}

/// A role with all rules that name it.
struct Invoked<'a> {
    arn: &'a RoleArn,
    rules: Vec<RoleRule<'a>>,
    longest_session: u64,
}

/// Everything that the generators read.
struct World<'a> {
    roles: Vec<Invoked<'a>>,
    gateway: RoleArn,
    options: &'a Options,
}

impl Bundle {
    /// Generates everything for a configuration.
    ///
    /// # Errors
    /// [`IamError`]: there is nothing to generate, an option does not fit the configuration, or a policy is larger than
    /// IAM accepts.
    pub fn generate(config: &Config, options: &Options) -> Result<Self, IamError> {
        let roles = invoked(config);
        let gateway = gateway_role(&roles, options)?;
        check_names(&roles, &gateway)?;
        options.check_partition(gateway.partition())?;
        let world = World { roles, gateway, options };
        let mut notes = Vec::new();
        let mut accounts: Vec<Account> = Vec::new();
        let ids =
            std::iter::once(world.gateway.account()).chain(world.roles.iter().map(|role| role.arn.account()));
        for id in ids {
            if !accounts.iter().any(|account| account.id == id) {
                accounts.push(world.account(id, &mut notes)?);
            }
        }
        notes.extend(world.guard_notes());
        Ok(Self { accounts, gateway_role: world.gateway, options: options.clone(), notes })
    }

    /// The files of all accounts.
    pub fn files(&self) -> impl Iterator<Item = &PolicyFile> {
        self.accounts.iter().flat_map(|account| &account.files)
    }

    /// The trust policy of an invocation role.
    pub fn trust_of(&self, arn: &RoleArn) -> Option<&Policy> {
        let is_it = |file: &&PolicyFile| matches!(&file.kind, Kind::Trust { role } if role == arn);
        self.files().find(is_it).map(|file| &file.policy)
    }

    /// The parts of the permissions of an invocation role.
    pub fn permissions_of(&self, arn: &RoleArn) -> impl Iterator<Item = &Policy> {
        self.files()
            .filter(move |file| matches!(&file.kind, Kind::Permissions { role, .. } if role == arn))
            .map(|file| &file.policy)
    }

    /// The permissions of the gateway's own role.
    pub fn gateway_permissions(&self) -> Option<&Policy> {
        self.files().find(|file| file.kind == Kind::GatewayRole).map(|file| &file.policy)
    }
}

impl World<'_> {
    fn account(&self, id: &str, notes: &mut Vec<String>) -> Result<Account, IamError> {
        let mut files = Vec::new();
        let mut add = |kind: Kind, policy: Policy| files.push(PolicyFile { kind, policy });
        if self.gateway.account() == id {
            if let Some(policy) = gateway_role::trust(&self.gateway, self.options) {
                add(Kind::GatewayTrust, policy);
            }
            add(Kind::GatewayRole, gateway_role::permissions(self)?);
        }
        let mut roles = Vec::new();
        for role in self.roles.iter().filter(|role| role.arn.account() == id) {
            add(Kind::Trust { role: role.arn.clone() }, trust::of(role, self)?);
            for (index, policy) in permissions::of(role, self.options, notes)?.into_iter().enumerate() {
                add(Kind::Permissions { role: role.arn.clone(), part: index + 1 }, policy);
            }
            roles.push(InvocationRole { arn: role.arn.clone(), longest_session: role.longest_session });
        }
        for (guard, policy) in guards::all(self)? {
            add(Kind::Guard(guard), policy);
        }
        Ok(Account { id: id.to_owned(), partition: self.gateway.partition().to_owned(), files, roles })
    }

    fn guard_notes(&self) -> Option<String> {
        self.options.break_glass.is_empty().then(|| {
            "there is no guard of the roles' own policies, because it would lock out everyone; pass \
             --break-glass with the role of your administrators"
                .to_owned()
        })
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::GatewayTrust => f.write_str("the trust policy of the gateway's role"),
            Self::GatewayRole => f.write_str("the policy of the gateway's role"),
            Self::Trust { role } => write!(f, "the trust policy of {}", role.as_str()),
            Self::Permissions { role, .. } => write!(f, "the permissions of {}", role.as_str()),
            Self::Guard(guard) => f.write_str(guard.title()),
        }
    }
}

/// The roles in the order of the role table, each with all of its rules.
fn invoked(config: &Config) -> Vec<Invoked<'_>> {
    let mut roles: Vec<Invoked<'_>> = Vec::new();
    for (index, role) in config.mapping.roles.iter().enumerate() {
        let role: &Role = Arc::as_ref(role);
        let rule = RoleRule {
            place: index + 1,
            role,
            issuers: config.mapping.issuers.iter().filter(|issuer| role.is_for(&issuer.issuer)).collect(),
            regions: match &role.regions {
                Some(regions) => regions.iter().map(String::as_str).collect(),
                None => config.aws.all_regions().collect(),
            },
        };
        // IAM accepts no maximum below one hour.
        let longest = role.duration.unwrap_or(config.mapping.default_duration).as_secs().max(3600);
        match roles.iter_mut().find(|known| known.arn == &role.arn) {
            Some(known) => {
                known.rules.push(rule);
                known.longest_session = known.longest_session.max(longest);
            }
            None => roles.push(Invoked { arn: &role.arn, rules: vec![rule], longest_session: longest }),
        }
    }
    roles
}

/// The role that the gateway runs as: the one of the options, or the usual one in the only account.
fn gateway_role(roles: &[Invoked<'_>], options: &Options) -> Result<RoleArn, IamError> {
    let Some(first) = roles.first() else { return Err(IamError::NothingToDo) };
    if let Some(arn) = &options.gateway_role {
        if arn.partition() != first.arn.partition() {
            return Err(IamError::Partition {
                what: "--gateway-role",
                arn: arn.as_str().to_owned(),
                partition: first.arn.partition().to_owned(),
            });
        }
        return Ok(arn.clone());
    }
    let usual = format!("arn:{}:iam::{}:role/{GATEWAY_ROLE}", first.arn.partition(), first.arn.account());
    let mut accounts: Vec<&str> = roles.iter().map(|role| role.arn.account()).collect();
    accounts.sort_unstable();
    accounts.dedup();
    match RoleArn::parse(&usual) {
        Ok(arn) if accounts.len() == 1 => Ok(arn),
        _ => Err(IamError::GatewayRoleUnknown { accounts: accounts.join(", "), example: usual }),
    }
}

/// IAM's names are unique in an account, whatever the path and the case.
fn check_names(roles: &[Invoked<'_>], gateway: &RoleArn) -> Result<(), IamError> {
    let mut seen: Vec<&RoleArn> = vec![gateway];
    for Invoked { arn, .. } in roles {
        let is_plain = !arn.as_str().contains(['*', '?', '$']) && !matches!(arn.role_name(), "." | "..");
        if !is_plain {
            return Err(IamError::NotPlain { arn: arn.as_str().to_owned() });
        }
        let (first, second) = (arn.as_str().to_owned(), arn.as_str().to_owned());
        if *arn == gateway {
            return Err(IamError::GatewayRoleIsInvoked { arn: first });
        }
        let clash = seen.iter().find(|other| {
            other.account() == arn.account() && other.role_name().eq_ignore_ascii_case(arn.role_name())
        });
        if let Some(other) = clash {
            return Err(IamError::NameTwice { first: other.as_str().to_owned(), second });
        }
        seen.push(arn);
    }
    Ok(())
}
