//! The errors that Bedrock answers.

use std::borrow::Cow;
use std::time::Duration;

use http::{HeaderValue, Response, StatusCode, header};

use super::dialect::Dialect;
use crate::bill::Call;
use crate::clock;
use crate::iam::{Caller, Denial, Need};
use crate::server::{self, Body};
use crate::signature::SignatureFault;

/// The text after the type in `x-amzn-errortype`.
const NAMESPACE: &str = ":http://internal.amazon.com/coral/com.amazon.bedrock/";

const TOLERANCE: Duration = Duration::from_mins(5);

/// An error: status, type, message.
#[derive(Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    kind: Cow<'static, str>,
    message: String,
    type_in_body_only: bool,
}

impl Refusal {
    fn new(status: StatusCode, kind: &'static str, message: impl Into<String>) -> Self {
        Self { status, kind: Cow::Borrowed(kind), message: message.into(), type_in_body_only: false }
    }

    /// Any error. An invalid status becomes 500.
    pub(super) fn any(status: u16, kind: &'static str, message: &str) -> Self {
        Self::new(StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), kind, message)
    }

    pub(super) fn validation(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "ValidationException", message)
    }

    pub(super) fn throttling() -> Self {
        let message = "Too many requests, please wait before trying again.";
        Self::new(StatusCode::TOO_MANY_REQUESTS, "ThrottlingException", message)
    }

    pub(super) fn access_denied(call: &Call) -> Self {
        let Call { principal, model, .. } = call;
        let action = call.operation.iam_action(call.service);
        let message = format!(
            "User: {principal} is not authorized to perform: {action} on resource: {model} because no \
             identity-based policy allows the {action} action"
        );
        Self::new(StatusCode::FORBIDDEN, "AccessDeniedException", message)
    }

    /// A denial by documents.
    pub(super) fn denied(caller: &Caller, need: &Need, denial: &Denial) -> Self {
        let (arn, Need { action, resource, .. }) = (caller.arn(), need);
        let message =
            format!("User: {arn} is not authorized to perform: {action} on resource: {resource} {denial}");
        Self::new(StatusCode::FORBIDDEN, "AccessDeniedException", message)
    }

    pub(super) fn unknown_model() -> Self {
        let message = "Could not resolve the foundation model from the provided model identifier.";
        Self::new(StatusCode::NOT_FOUND, "ResourceNotFoundException", message)
    }

    pub(super) fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "ResourceNotFoundException", message)
    }

    /// An error in `OpenAI`'s words; `what` begins the sentence.
    pub(super) fn no_such_response(what: &str, id: &str) -> Self {
        let message = format!("{what} with id '{id}' not found.");
        Self::new(StatusCode::NOT_FOUND, "response_not_found", message)
    }

    pub(super) fn unknown_operation() -> Self {
        Self::new(StatusCode::NOT_FOUND, "UnknownOperationException", "No such operation.")
    }

    /// The session has expired, was revoked, or is unknown.
    pub(super) fn credentials(kind: &'static str) -> Self {
        let what = if kind.starts_with("Expired") { "expired" } else { "invalid" };
        let message = format!("The security token included in the request is {what}");
        Self::new(StatusCode::FORBIDDEN, kind, message)
    }

    pub(super) fn with_type_in_body_only(mut self, only: bool) -> Self {
        self.type_in_body_only = only;
        self
    }

    pub(super) fn response(self, dialect: Dialect) -> Response<Body> {
        let Self { status, kind, message, type_in_body_only } = self;
        let body = dialect.error(status, &kind, &message, type_in_body_only);
        let mut response = Response::new(server::full(body.to_string()));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if !type_in_body_only {
            let kind = HeaderValue::from_str(&format!("{kind}{NAMESPACE}"));
            headers.insert("x-amzn-errortype", kind.expect("types are words"));
        }
        response
    }
}

impl From<&SignatureFault> for Refusal {
    fn from(fault: &SignatureFault) -> Self {
        use SignatureFault as F;
        let (kind, message) = match fault {
            F::UnknownKey(_) | F::TokenMissing | F::TokenMismatch | F::TokenUnexpected => {
                return Self::credentials("UnrecognizedClientException");
            }
            F::MissingAuthorization => {
                ("MissingAuthenticationTokenException", "Missing Authentication Token".to_owned())
            }
            F::OtherScheme
            | F::QueryAuthentication
            | F::Malformed(_)
            | F::HeaderMissing(_)
            | F::HeaderRepeated(_)
            | F::HeaderNotSigned(_) => ("IncompleteSignatureException", fault.to_string()),
            F::Skewed { signed_at, now } => {
                let (signed, server) = (clock::amz_date(*signed_at), clock::amz_date(*now));
                let message = if signed_at < now {
                    let earliest = clock::amz_date(*now - TOLERANCE);
                    format!("Signature expired: {signed} is now earlier than {earliest} ({server} - 5 min.)")
                } else {
                    let latest = clock::amz_date(*now + TOLERANCE);
                    format!(
                        "Signature not yet current: {signed} is still later than {latest} ({server} + 5 min.)"
                    )
                };
                ("InvalidSignatureException", message)
            }
            F::Scope { .. } | F::PathNotNormal | F::PayloadHash | F::Mismatch { .. } => {
                ("InvalidSignatureException", fault.to_string())
            }
        };
        Self::new(StatusCode::FORBIDDEN, kind, message)
    }
}
