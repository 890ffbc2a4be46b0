//! The dialect of errors: AWS's, `OpenAI`'s or Anthropic's, depending on the interface.

use bytes::Bytes;
use http::StatusCode;
use serde_json::{Value, json};

use crate::bill::Service;
use crate::frames;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    Aws,
    OpenAi,
    Anthropic,
}

impl Dialect {
    pub(super) fn of(service: Service, path: &str) -> Self {
        match path.split('/').nth(1) {
            Some("openai") => Self::OpenAi,
            Some("anthropic") => Self::Anthropic,
            _ if service == Service::Mantle => Self::OpenAi,
            _ => Self::Aws,
        }
    }

    /// The body of an error. AWS's body contains the type only if `typed`; otherwise the type is in a header.
    pub(super) fn error(self, status: StatusCode, kind: &str, message: &str, typed: bool) -> Value {
        match self {
            Self::Aws if typed => {
                json!({ "__type": format!("com.amazon.coral.service#{kind}"), "message": message })
            }
            Self::Aws => json!({ "message": message }),
            Self::OpenAi => {
                let kinds = if status.is_server_error() { "server_error" } else { "invalid_request_error" };
                json!({ "error": { "message": message, "type": kinds, "code": kind } })
            }
            Self::Anthropic => {
                let kind = if typed { kind } else { anthropic_kind(status) };
                json!({ "type": "error", "error": { "type": kind, "message": message } })
            }
        }
    }

    /// The error that ends a stream.
    pub(super) fn exception(self, kind: &str, message: &str) -> Bytes {
        if self == Self::Aws {
            return frames::exception(kind, message);
        }
        let error = self.error(StatusCode::INTERNAL_SERVER_ERROR, kind, message, true);
        let event = if self == Self::Anthropic { "event: error\n" } else { "" };
        format!("{event}data: {error}\n\n").into()
    }
}

fn anthropic_kind(status: StatusCode) -> &'static str {
    match status.as_u16() {
        401 => "authentication_error",
        403 => "permission_error",
        404 => "not_found_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        529 => "overloaded_error",
        500.. => "api_error",
        _ => "invalid_request_error",
    }
}
