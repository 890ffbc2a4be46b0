//! The decision: what a role rule allows, and how a refusal is reported. `explain` uses the same functions.

use std::fmt::{self, Display};
use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::identity::Identity;
use crate::identity::models::ModelPattern;
use crate::identity::role::Role;
use crate::reason::Reason;
use crate::route::{ModelId, Operation};
use crate::style::listed;

/// The part of a call that the caller's role refuses. The words are for the caller, and contain nothing of the role.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Forbidden {
    #[error("your role does not allow this operation")]
    Operation,
    #[error("your role does not allow this model")]
    Model,
    #[error("your role does not allow this region")]
    Region,
    #[error("your role does not allow this project or workspace")]
    Project,
    #[error(
        "your role does not allow responses, files or other objects that the account stores for all its users"
    )]
    Stored,
}

/// The refusal of a call by the caller's role. Its text is for the operator: it names the role rule and its limits.
#[derive(Debug, thiserror::Error)]
pub struct RoleRefusal {
    pub forbidden: Forbidden,
    identity: Arc<Identity>,
    model: Option<ModelId>,
}

impl RoleRefusal {
    /// `model` is the model of the call, if the decision knew it.
    pub(super) fn new(forbidden: Forbidden, identity: &Arc<Identity>, model: Option<&ModelId>) -> Self {
        Self { forbidden, identity: Arc::clone(identity), model: model.cloned() }
    }

    #[cfg(test)]
    pub(crate) fn for_tests(forbidden: Forbidden, identity: Identity) -> Self {
        Self::new(forbidden, &Arc::new(identity), None)
    }

    /// The operator's text for the caller.
    pub fn tell(&self) -> Option<&str> {
        self.identity.role().tell.as_deref()
    }

    /// The model of the call, if the decision knew it.
    pub fn model(&self) -> Option<&ModelId> {
        self.model.as_ref()
    }
}

impl Display for RoleRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let role = self.identity.role();
        let limits = self.forbidden.limits(role);
        write!(f, "role[{}] ({}) allows {limits}", self.identity.rule(), role.arn.as_str())
    }
}

impl Forbidden {
    /// The reason, for log and metrics.
    pub fn reason(self) -> Reason {
        match self {
            Self::Operation => Reason::OperationForbidden,
            Self::Model => Reason::ModelForbidden,
            Self::Region => Reason::RegionForbidden,
            Self::Project => Reason::ProjectForbidden,
            Self::Stored => Reason::StoredForbidden,
        }
    }

    /// The limits of `role` that the call exceeds, in words for the operator.
    pub fn limits(self, role: &Role) -> String {
        match self {
            Self::Operation | Self::Stored => match &role.operations {
                Some(operations) => {
                    format!(
                        "the operations {}",
                        joined(operations.iter().map(|operation| operation.as_str()))
                    )
                }
                None => "all operations except the shared ones".to_owned(),
            },
            Self::Model => {
                let patterns = role.models.iter().flatten().map(ModelPattern::as_str);
                format!("the models {}", joined(patterns))
            }
            Self::Region => {
                format!("the regions {}", joined(role.regions.iter().flatten().map(String::as_str)))
            }
            Self::Project if role.projects.is_empty() => "no projects or workspaces".to_owned(),
            Self::Project => {
                let projects = joined(role.projects.iter().map(String::as_str));
                format!("the projects and workspaces {projects}, each named once")
            }
        }
    }
}

/// The names that a refusal lists at most: it is one line of a log, and a role may have hundreds of patterns.
const MOST_NAMES: usize = 20;

fn joined<'a>(names: impl Iterator<Item = &'a str>) -> String {
    listed(names, MOST_NAMES)
}

/// The parts of a call that the role decides about. A part that is `None` is not checked.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    pub operation: Option<Operation>,
    pub model: Option<&'a ModelId>,
    pub region: Option<&'a str>,
}

impl Asked<'_> {
    /// Checks the call against `role`.
    ///
    /// # Errors
    /// [`Forbidden`] is the first part that the role refuses.
    pub fn check(self, role: &Role) -> Result<(), Forbidden> {
        if self.operation.is_some_and(|operation| !allows(role, operation)) {
            return Err(Forbidden::Operation);
        }
        if let Some(model) = self.model {
            check_model(role, model)?;
        }
        let is_allowed = |region: &str| {
            role.regions.as_ref().is_none_or(|allowed| allowed.iter().any(|allowed| allowed == region))
        };
        if self.region.is_none_or(is_allowed) { Ok(()) } else { Err(Forbidden::Region) }
    }
}

/// Whether the role allows an operation. It must name an operation that reaches what the account's users share.
pub(super) fn allows(role: &Role, operation: Operation) -> bool {
    match &role.operations {
        Some(allowed) => allowed.contains(&operation),
        None => !operation.is_shared(),
    }
}

pub(super) fn check_model(role: &Role, model: &ModelId) -> Result<(), Forbidden> {
    let allowed =
        role.models.as_ref().is_none_or(|allowed| allowed.iter().any(|pattern| pattern.matches(model)));
    if allowed { Ok(()) } else { Err(Forbidden::Model) }
}

/// Headers that name the project or workspace which is billed within the account (user guide, projects and workspaces).
// Assumption A28.
pub(super) static PROJECTS: [HeaderName; 2] =
    [HeaderName::from_static("openai-project"), HeaderName::from_static("anthropic-workspace-id")];

/// Checks the headers that name a project or workspace.
pub(super) fn check_projects(role: &Role, headers: &HeaderMap) -> Result<(), Forbidden> {
    for name in &PROJECTS {
        let mut named = headers.get_all(name).iter();
        let allowed =
            |value: &HeaderValue| role.projects.iter().any(|project| project.as_bytes() == value.as_bytes());
        if named.next().is_some_and(|value| !allowed(value)) || named.next().is_some() {
            return Err(Forbidden::Project);
        }
    }
    Ok(())
}
