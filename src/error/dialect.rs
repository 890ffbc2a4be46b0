//! The body of a refusal in the form that the caller's client library reads.

use serde_json::json;

use super::ErrorResponse;
use crate::route::Dialect;

/// The body of `answer` in this dialect. Its message ends with the request id, because client libraries show the
/// message and hide the headers.
pub fn body(answer: &ErrorResponse, dialect: Dialect, request_id: &str) -> String {
    let message = with_request_id(&answer.message, request_id);
    let status = answer.status.as_u16();
    let body = match dialect {
        Dialect::Aws => json!({ "message": message }),
        Dialect::OpenAi => json!({
            "error": { "message": message, "type": openai(status), "param": null, "code": answer.kind },
        }),
        Dialect::Anthropic => json!({
            "type": "error",
            "error": { "type": anthropic(status), "message": message },
            "request_id": request_id,
        }),
    };
    body.to_string()
}

/// A message of the gateway's own to a caller, with the id under which the operator finds the request in the log.
pub fn with_request_id(message: &str, request_id: &str) -> String {
    format!("{message} Request id: {request_id}")
}

/// The header in which this dialect's libraries look for the request id, beside the two that every answer has.
pub fn request_id_header(dialect: Dialect) -> Option<&'static str> {
    match dialect {
        Dialect::Aws => None,
        Dialect::OpenAi => Some("x-request-id"),
        Dialect::Anthropic => Some("request-id"),
    }
}

/// Error types of the OpenAI API reference.
fn openai(status: u16) -> &'static str {
    match status {
        401 => "authentication_error",
        403 => "permission_error",
        408 => "timeout_error",
        429 => "rate_limit_error",
        500.. => "server_error",
        _ => "invalid_request_error",
    }
}

/// Error types of the Anthropic API reference.
fn anthropic(status: u16) -> &'static str {
    match status {
        401 => "authentication_error",
        403 => "permission_error",
        404 | 501 => "not_found_error",
        408 => "timeout_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        503 => "overloaded_error",
        500.. => "api_error",
        _ => "invalid_request_error",
    }
}
