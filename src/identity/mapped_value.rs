//! Mapped values: an expression or several tried in order, a default, or a constant.

use crate::expression::{Expression, Input, InputError};

/// What becomes of a value that STS would not take.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OnInvalid {
    /// It is replaced by its legal characters and a hash.
    #[default]
    Replace,
    /// The request is refused.
    Reject,
}

/// How one name or tag is made.
#[derive(Debug, PartialEq)]
pub struct MappedValue {
    /// Tried in order; the first that is not missing.
    pub from: Vec<Expression>,
    /// Where all are missing.
    pub default: Option<String>,
    /// Instead of any expression.
    pub constant: Option<String>,
    /// Whether a missing value refuses the request; a tag is left out otherwise.
    pub required: bool,
    pub on_invalid: OnInvalid,
}

/// A condition that every caller of an issuer must meet.
#[derive(Debug, PartialEq)]
pub struct Requirement {
    pub expression: Expression,
    /// For the log.
    pub message: String,
}

impl MappedValue {
    /// The text of a tag; `None` where it is missing.
    pub(super) fn text(&self, input: &Input<'_>) -> Result<Option<String>, InputError> {
        self.first(|expression| input.text(expression))
    }

    /// The string of a name; `None` where it is missing.
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
