//! Mapped values: an expression or several tried in order, a default, or a constant.

use std::fmt::Write as _;

use cel::Value;

use crate::identity::expression::{EvaluationError, Expression, Inputs, Outcome};

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

/// Why a mapped value could not be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ValueError {
    /// The claim that the identity provider left out of the token.
    LeftOut,
    Evaluation(EvaluationError),
}

impl MappedValue {
    /// The value's text; `None` where it is missing. `left_out` tells which claims the token says
    /// were too many to put in.
    pub(super) fn text(
        &self,
        inputs: &Inputs<'_>,
        left_out: impl Fn(&Expression) -> bool,
    ) -> Result<Option<String>, ValueError> {
        if let Some(constant) = &self.constant {
            return Ok(Some(constant.clone()));
        }
        for expression in &self.from {
            if left_out(expression) {
                return Err(ValueError::LeftOut);
            }
            let outcome = expression.evaluate(inputs).map_err(ValueError::Evaluation)?;
            if let Outcome::Value(value) = outcome
                && let Some(text) = text(&value).map_err(ValueError::Evaluation)?
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
        Value::Float(number) => write!(text, "{number}"),
        Value::Bool(truth) => write!(text, "{truth}"),
        Value::Null => return Ok(None),
        Value::List(_) => return Err(EvaluationError("a list; take [0] of it, or join it".to_owned())),
        _ => return Err(EvaluationError("a value that has no text".to_owned())),
    };
    Ok(Some(text))
}
