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
    /// The text of a tag; `None` where it is missing.
    pub(super) fn text(&self, facts: &Facts<'_>) -> Result<Option<String>, Fault> {
        self.first(facts, |value| text(value).map_err(Fault::Evaluation))
    }

    /// The string of a name; `None` where it is missing.
    pub(super) fn string(&self, facts: &Facts<'_>) -> Result<Option<String>, Fault> {
        self.first(facts, |value| string(value).map_err(Fault::Invalid))
    }

    fn first(
        &self,
        facts: &Facts<'_>,
        of: impl Fn(&Value) -> Result<Option<String>, Fault>,
    ) -> Result<Option<String>, Fault> {
        if let Some(constant) = &self.constant {
            return Ok(Some(constant.clone()));
        }
        for expression in &self.from {
            if let Outcome::Value(value) = facts.evaluate(expression)?
                && let Some(text) = of(&value)?
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

/// A value that is a string; "" is missing. 123 and "123" would be one name if a number became its text without a
/// word of the operator. The error says what the value is, and the remedy.
fn string(value: &Value) -> Result<Option<String>, &'static str> {
    match value {
        Value::String(value) => Ok((!value.is_empty()).then(|| value.to_string())),
        Value::Null => Ok(None),
        Value::Int(_) | Value::UInt(_) => {
            Err("a number and no string; write, for example, string(claims.uid)")
        }
        Value::Float(_) => {
            Err("a number that is no 64-bit integer; have the identity provider write it as a string")
        }
        Value::Bool(_) => Err("a boolean and no string; write, for example, string(claims.uid)"),
        Value::List(_) => Err("a list and no string; take [0] of it, or join it"),
        Value::Map(_) => Err("an object and no string; take a member of it"),
        _ => Err("no string"),
    }
}
