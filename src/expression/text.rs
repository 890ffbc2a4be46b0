//! The conversion of values to text, for names and tags.

use std::fmt::Write as _;

use cel::Value;

use super::EvaluationError;

/// A value as text; "" counts as missing. A list or an object is an error, since the operator must choose a member.
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
        Value::List(_) => {
            return Err(EvaluationError(
                "the value is a list; use one member, for example [0], or join it".to_owned(),
            ));
        }
        Value::Map(_) => {
            return Err(EvaluationError("the value is an object; use one member of it".to_owned()));
        }
        _ => return Err(EvaluationError("a value of this type cannot become text".to_owned())),
    };
    Ok(Some(text))
}

/// A value that is a string; "" counts as missing. A number is an error: if it became text by itself, 123 and "123"
/// would be one name. The error says what the value is, and what to write.
pub(super) fn string(value: &Value) -> Result<Option<String>, &'static str> {
    match value {
        Value::String(value) => Ok((!value.is_empty()).then(|| value.to_string())),
        Value::Null => Ok(None),
        Value::Int(_) | Value::UInt(_) => {
            Err("a number, not a string; convert it, for example string(claims.uid)")
        }
        Value::Float(_) => {
            Err("a number that is not a 64-bit integer; have the identity provider send it as a string")
        }
        Value::Bool(_) => Err("a boolean, not a string; convert it, for example string(claims.uid)"),
        Value::List(_) => Err("a list, not a string; use one member, for example [0], or join it"),
        Value::Map(_) => Err("an object, not a string; use one member of it"),
        _ => Err("not a string"),
    }
}
