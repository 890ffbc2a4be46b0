//! Mapped values: an expression or several tried in order, a default, or a constant.

use std::fmt::Write as _;

use cel::Value;

use crate::identity::expression::{EvaluationError, Expression, Outcome};
use crate::identity::facts::{Facts, Fault};

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
    /// The value's text; `None` where it is missing.
    pub(super) fn text(&self, facts: &Facts<'_>) -> Result<Option<String>, Fault> {
        if let Some(constant) = &self.constant {
            return Ok(Some(constant.clone()));
        }
        for expression in &self.from {
            if let Outcome::Value(value) = facts.evaluate(expression)?
                && let Some(text) = text(&value).map_err(Fault::Evaluation)?
            {
                return Ok(Some(text));
            }
        }
        Ok(self.default.clone())
    }
}

/// A value as text; "" is missing. A list or an object is an error: which member was meant is for the
/// operator to say.
fn text(value: &Value) -> Result<Option<String>, EvaluationError> {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _written = match value {
        Value::String(value) => return Ok((!value.is_empty()).then(|| value.to_string())),
        Value::Int(number) => write!(text, "{number}"),
        Value::UInt(number) => write!(text, "{number}"),
        Value::Float(_) => return Err(EvaluationError::inexact()),
        Value::Bool(truth) => write!(text, "{truth}"),
        Value::Null => return Ok(None),
        Value::List(_) => return Err(EvaluationError("a list; take [0] of it, or join it".to_owned())),
        _ => return Err(EvaluationError("a value that has no text".to_owned())),
    };
    Ok(Some(text))
}
