//! The decision about one call: its operation, model and region, checked against the role as serving does it. `explain`
//! takes them as options, a case of `check --cases` has them as members.

use clap::Args;
use serde::{Deserialize, Serialize};

use crate::authorize::{Asked, Forbidden};
use crate::config::Config;
use crate::identity::explain::Becomes;
use crate::reason::Reason;
use crate::route::{ModelId, Operation};

/// A call to decide. A part that is not named is not checked, except the region: a call without one goes to
/// `aws.region`.
#[derive(Debug, Clone, Args)]
pub(super) struct Call {
    /// Also decide whether the role allows this operation, for example `converse`.
    #[arg(long, value_name = "NAME", value_parser = operation)]
    operation: Option<Operation>,
    /// Also decide whether the role allows this model: a model id, the id of an inference profile, or an ARN.
    #[arg(long, value_name = "ID", value_parser = model)]
    model: Option<ModelId>,
    /// Also decide whether the role allows this region.
    #[arg(long, value_name = "REGION")]
    region: Option<String>,
}

/// A call of a case, with the words of the access log. A part that is missing is not decided, except the region: a call
/// without one goes to `aws.region`.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CaseCall {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) operation: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) model: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) region: Option<String>,
}

impl CaseCall {
    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

fn operation(text: &str) -> Result<Operation, String> {
    let known = || Operation::ALL.map(Operation::as_str).join(", ");
    text.parse().map_err(|_| format!("the operations are {}", known()))
}

fn model(text: &str) -> Result<ModelId, String> {
    ModelId::parse(text).map_err(|error| error.to_string())
}

/// The refusal of a call by the role of the caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CallRefusal {
    pub(super) reason: Reason,
    /// In words for the operator.
    pub(super) detail: String,
}

impl Call {
    /// The call that a case names.
    ///
    /// # Errors
    /// When the gateway has no such operation, or the model's id is malformed.
    pub(super) fn of(asked: &CaseCall) -> Result<Self, String> {
        Ok(Self {
            operation: asked.operation.as_deref().map(operation).transpose()?,
            model: asked.model.as_deref().map(model).transpose()?,
            region: asked.region.clone(),
        })
    }

    /// The members of a case for this call.
    pub(super) fn case(&self) -> CaseCall {
        CaseCall {
            operation: self.operation.map(|operation| operation.as_str().to_owned()),
            model: self.model.as_ref().map(|model| model.as_str().to_owned()),
            region: self.region.clone(),
        }
    }

    /// Whether the command line names a part of a call.
    pub(super) fn is_named(&self) -> bool {
        self.operation.is_some() || self.model.is_some() || self.region.is_some()
    }

    /// Checks that the gateway serves the region.
    ///
    /// # Errors
    /// The configured regions.
    pub(super) fn check_region(&self, config: &Config) -> Result<(), String> {
        let known: Vec<&str> = config.aws.all_regions().collect();
        match &self.region {
            Some(region) if !known.contains(&region.as_str()) => {
                Err(format!("{region} is not a region of [aws]; the regions are {}", known.join(", ")))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Decides the call for the role that the caller gets. `None`: the role allows it, or there is nothing to decide.
    pub(super) fn refusal(&self, becomes: &Becomes, config: &Config) -> Option<CallRefusal> {
        if !self.is_named() {
            return None;
        }
        let role = config.mapping.roles.get(becomes.rule)?;
        let region = Some(self.region.as_deref().unwrap_or(&config.aws.region));
        let asked = Asked { operation: self.operation, model: self.model.as_ref(), region };
        let forbidden: Forbidden = asked.check(role).err()?;
        let limits = forbidden.limits(role);
        let detail = format!("role[{}] ({}) allows {limits}", becomes.rule, becomes.role_arn);
        Some(CallRefusal { reason: forbidden.reason(), detail })
    }
}
