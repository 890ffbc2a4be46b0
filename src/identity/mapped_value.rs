//! Mapped values: an expression or several tried in order, a default, or a constant.

use std::sync::Arc;

use crate::expression::{Expression, Input, InputError};

/// The treatment of a value that STS would reject.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OnInvalid {
    /// The gateway replaces it by its legal characters and a hash.
    #[default]
    Replace,
    /// The gateway refuses the request.
    Reject,
}

/// The rule for one name or tag.
#[derive(Debug, PartialEq)]
pub struct MappedValue {
    /// Tried in order. The first value that is not missing is used.
    pub from: Vec<Expression>,
    /// Used if the value of every expression is missing.
    pub default: Option<String>,
    /// Used instead of expressions.
    pub constant: Option<String>,
    /// Whether the gateway refuses the request if the value is missing. Otherwise it leaves the tag out.
    pub required: bool,
    pub on_invalid: OnInvalid,
}

/// A condition that every caller of an issuer must meet.
#[derive(Debug, PartialEq)]
pub struct Requirement {
    pub expression: Expression,
    /// The text for the log.
    pub message: String,
    /// The operator's text for a caller who does not meet it.
    pub tell: Option<Arc<str>>,
}

impl MappedValue {
    /// The text of a tag; `None` if it is missing.
    pub(super) fn text(&self, input: &Input<'_>) -> Result<Option<String>, InputError> {
        self.first(|expression| input.text(expression))
    }

    /// The string of a name; `None` if it is missing.
    pub(super) fn string(&self, input: &Input<'_>) -> Result<Option<String>, InputError> {
        self.first(|expression| input.string(expression))
    }

    fn first(
        &self,
        of: impl Fn(&Expression) -> Result<Option<String>, InputError>,
    ) -> Result<Option<String>, InputError> {
        if let Some(constant) = &self.constant {
            return Ok(Some(constant.clone()));
        }
        for expression in &self.from {
            if let Some(text) = of(expression)? {
                return Ok(Some(text));
            }
        }
        Ok(self.default.clone())
    }
}
