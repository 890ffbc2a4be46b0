//! What a value becomes where a name or a tag is made of it.

use std::fmt::Write as _;

use cel::Value;

use super::EvaluationError;

/// A value as text; "" is missing. A list or an object is an error: which member was meant is for the
/// operator to say.
pub(super) fn text(value: &Value) -> Result<Option<String>, EvaluationError> {
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
pub(super) fn string(value: &Value) -> Result<Option<String>, &'static str> {
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
