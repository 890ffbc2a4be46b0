//! The one table of failures: status, type, message for the caller, reason for the log.
//!
//! A message says what failed and what the caller or the operator does next. [`dialect::body`] ends it with the
//! request id. It never contains a role ARN, a text of STS or an expression: the operator finds those in the access
//! log, under that id. A `tell` of the configuration takes the place of the advice at the end.

use std::borrow::Cow;

use http::StatusCode;

use crate::auth::{AuthError, InvalidReason};
use crate::authorize::body::BodyError;
use crate::authorize::inspect::InspectError;
use crate::authorize::{Refused, RoleRefusal};
use crate::endpoint::NoEndpoint;
use crate::headers::NotAscii;
use crate::identity::{ClaimsRead, IdentityError, IdentityRefusal};
use crate::limits::requests::Busy;
use crate::reason::Reason;
use crate::revoke::Revoked;
use crate::route::{ModelId, RouteError};
use crate::sessions::SessionError;
use crate::sign::SignError;
use crate::upstream::UpstreamError;

pub mod dialect;

/// A failure that ends a request before Bedrock answers, by the stage that reports it.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    #[error(transparent)]
    Busy(#[from] Busy),
    #[error(transparent)]
    Route(#[from] RouteError),
    #[error(transparent)]
    Auth(#[from] AuthError),
    #[error(transparent)]
    Identity(#[from] IdentityRefusal),
    #[error(transparent)]
    Revoked(#[from] Revoked),
    #[error(transparent)]
    Forbidden(#[from] RoleRefusal),
    #[error(transparent)]
    Header(#[from] NotAscii),
    #[error(transparent)]
    Refused(#[from] Refused),
    #[error(transparent)]
    Session(#[from] SessionError),
    #[error(transparent)]
    Sign(#[from] SignError),
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
}

/// The answer to a failed request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorResponse {
    pub status: StatusCode,
    /// The AWS error type, for `x-amzn-errortype`.
    pub kind: &'static str,
    /// The text for the caller, without the request id.
    pub message: Cow<'static, str>,
    /// The word in the access log and in metrics.
    pub reason: Reason,
    /// The value of `Retry-After`, seconds.
    pub retry_after: Option<u32>,
    /// Whether the answer asks the client not to retry (`x-should-retry: false`).
    pub is_final: bool,
}

impl Failure {
    /// The failure's row of the table.
    pub fn answer(&self) -> ErrorResponse {
        match self {
            Self::Busy(Busy::Gateway { limit }) => unavailable(
                format!("The gateway is at its limit of {limit} concurrent requests. Retry in one second."),
                Reason::BusyGateway,
                1,
            ),
            Self::Busy(Busy::Caller { limit, .. }) => throttled(
                format!("You have too many concurrent requests (limit {limit}). Retry with backoff."),
                Reason::BusyCaller,
                1,
            ),
            Self::Route(RouteError::Unknown { instead }) => answer(
                404,
                "UnknownOperationException",
                match instead {
                    Some(path) => format!("The gateway has no such operation. Did you mean {path}?").into(),
                    None => Cow::from(
                        "The gateway has no operation for this method and path. \
                         Check the base URL of your client.",
                    ),
                },
                Reason::RouteUnknown,
            ),
            Self::Route(RouteError::Bidirectional) => answer(
                501,
                "UnknownOperationException",
                "The gateway does not support bidirectional streams. Use another operation, for example ConverseStream.",
                Reason::RouteBidirectional,
            ),
            Self::Route(RouteError::Malformed(fault)) => answer(
                400,
                "ValidationException",
                format!("The request is malformed: {fault}. Correct it, then retry."),
                Reason::RouteMalformed,
            ),
            Self::Auth(error) => token(error),
            Self::Identity(error) => identity(error),
            Self::Revoked(_) => answer(
                403,
                "AccessDeniedException",
                "Access denied: your access was revoked. Contact the gateway's operator.",
                Reason::Revoked,
            ),
            Self::Header(_) => answer(
                400,
                "ValidationException",
                "A request header contains a tab or a character that is not ASCII. Remove it, then retry.",
                Reason::HeaderMalformed,
            ),
            Self::Refused(Refused::Body(error)) => body(error),
            Self::Refused(Refused::Inspect(error)) => inspect(*error),
            Self::Forbidden(error) | Self::Refused(Refused::Forbidden(error)) => forbidden(error),
            Self::Session(error) => session(error),
            Self::Sign(SignError::WrongSession) => internal(Reason::SessionMismatch),
            Self::Sign(SignError::Unsignable(_)) => internal(Reason::Unsignable),
            Self::Refused(Refused::Endpoint(NoEndpoint)) => answer(
                404,
                "UnknownOperationException",
                "This service is not available in this region. Use another region.",
                Reason::NoEndpoint,
            ),
            Self::Upstream(UpstreamError::Connect(_)) => unavailable(
                "The gateway could not connect to Bedrock. Retry in one second.",
                Reason::UpstreamConnect,
                1,
            ),
            Self::Upstream(UpstreamError::NotAnswered(_)) => ErrorResponse {
                is_final: true,
                ..answer(
                    408,
                    "ModelTimeoutException",
                    "Bedrock did not answer the request. It may have processed and billed it, so the gateway did not retry.",
                    Reason::UpstreamNotAnswered,
                )
            },
        }
    }

    /// The text for the access log only: the error of the stage.
    pub fn detail(&self) -> String {
        self.to_string()
    }

    /// The model of a call that the caller's role refuses.
    pub fn model(&self) -> Option<&ModelId> {
        match self {
            Self::Forbidden(refusal) | Self::Refused(Refused::Forbidden(refusal)) => refusal.model(),
            _ => None,
        }
    }

    /// The role rule that had matched before the mapping refused the caller.
    pub fn role_rule(&self) -> Option<usize> {
        match self {
            Self::Identity(refusal) => refusal.rule,
            _ => None,
        }
    }

    /// The claims that decided, for the access log only.
    pub fn claims(&self) -> Option<&ClaimsRead> {
        match self {
            Self::Identity(refusal) => Some(&refusal.claims),
            _ => None,
        }
    }
}

fn answer(
    status: u16,
    kind: &'static str,
    message: impl Into<Cow<'static, str>>,
    reason: Reason,
) -> ErrorResponse {
    ErrorResponse {
        status: StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
        kind,
        message: message.into(),
        reason,
        retry_after: None,
        is_final: false,
    }
}

fn unavailable(message: impl Into<Cow<'static, str>>, reason: Reason, retry_after: u32) -> ErrorResponse {
    ErrorResponse {
        retry_after: Some(retry_after),
        ..answer(503, "ServiceUnavailableException", message, reason)
    }
}

fn throttled(message: impl Into<Cow<'static, str>>, reason: Reason, retry_after: u32) -> ErrorResponse {
    ErrorResponse { retry_after: Some(retry_after), ..answer(429, "ThrottlingException", message, reason) }
}

fn denied(message: &str, reason: Reason) -> ErrorResponse {
    answer(403, "AccessDeniedException", format!("Access denied: {message}"), reason)
}

fn internal(reason: Reason) -> ErrorResponse {
    answer(
        500,
        "InternalServerException",
        "The gateway failed because of a fault of its own. Contact its operator.",
        reason,
    )
}

/// A denial with the operator's text for the caller, otherwise with the general advice.
fn advised(message: &str, advice: &str, tell: Option<&str>, reason: Reason) -> ErrorResponse {
    denied(&format!("{message} {}", tell.unwrap_or(advice)), reason)
}

const ASK: &str = "Ask the gateway's operator for access.";
const CONTACT: &str = "Contact the gateway's operator.";

fn forbidden(refusal: &RoleRefusal) -> ErrorResponse {
    advised(&format!("{}.", refusal.forbidden), ASK, refusal.tell(), refusal.forbidden.reason())
}

fn inspect(error: InspectError) -> ErrorResponse {
    let message = format!("The request body is invalid: {error}. Correct it, then retry.");
    answer(400, "ValidationException", message, Reason::BodyMalformed)
}

fn body(error: &BodyError) -> ErrorResponse {
    match error {
        BodyError::TooLarge { max } => answer(
            413,
            "ValidationException",
            format!("The request body is larger than the limit of {max} bytes. Send a smaller one."),
            Reason::BodyTooLarge,
        ),
        BodyError::NoMemory { limit } => unavailable(
            format!(
                "The gateway is at its limit of memory for request bodies ({limit}). Retry in one second."
            ),
            Reason::BusyBodies,
            1,
        ),
        BodyError::NoMemoryForCaller { limit } => throttled(
            format!(
                "Your concurrent requests are at the limit of memory for one caller ({limit}). Retry with backoff."
            ),
            Reason::BusyCallerBodies,
            1,
        ),
        BodyError::TooSlow => answer(
            400,
            "ValidationException",
            "The request body did not arrive in time. Check your network, then retry.",
            Reason::BodyTooSlow,
        ),
        BodyError::Broken(_) => answer(
            400,
            "ValidationException",
            "The connection ended before the request body was complete. Retry.",
            Reason::BodyBroken,
        ),
    }
}

fn token(error: &AuthError) -> ErrorResponse {
    let (kind, message) = match error {
        AuthError::KeysUnavailable { .. } => {
            return unavailable(
                "The signing keys of your identity provider are temporarily unavailable. \
                 Retry in five seconds.",
                error.reason(),
                5,
            );
        }
        AuthError::Missing => (
            "MissingAuthenticationTokenException",
            "The request has no token. Send your OIDC token as a bearer token, as x-api-key, \
             or as the session token of your AWS credentials.",
        ),
        AuthError::Expired { .. } => {
            ("ExpiredTokenException", "Your token has expired. Get a new one, then retry.")
        }
        AuthError::TokensDiffer => (UNRECOGNIZED, "The request carries two different tokens. Send one."),
        AuthError::HeaderRepeated => {
            (UNRECOGNIZED, "A header that carries the token appears twice. Send it once.")
        }
        AuthError::Oversized => {
            (UNRECOGNIZED, "Your token is longer than 32 KiB. Get one with fewer claims, for example groups.")
        }
        AuthError::Invalid { reason, .. } => (UNRECOGNIZED, rejected(*reason)),
    };
    answer(401, kind, message, error.reason())
}

const UNRECOGNIZED: &str = "UnrecognizedClientException";

fn rejected(reason: InvalidReason) -> &'static str {
    match reason {
        InvalidReason::Malformed => {
            "Your token is not a JWT. Check what your client sends as its token or API key."
        }
        InvalidReason::Algorithm => {
            "Your token is signed with an algorithm that is not allowed. Contact the gateway's operator."
        }
        InvalidReason::CriticalHeader => {
            "Your token has a `crit` header, which is not supported. Contact the gateway's operator."
        }
        InvalidReason::Type => "Your token has a type that is not allowed. Contact the gateway's operator.",
        InvalidReason::Issuer => {
            "Your token comes from an unknown issuer. Check that you signed in to the right identity provider."
        }
        InvalidReason::Audience => {
            "Your token is for another audience. Get one that is issued for this gateway."
        }
        InvalidReason::NotYetValid => "Your token is not valid yet. Retry in a minute.",
        InvalidReason::TooOld => "Your token was issued too long ago. Get a new one, then retry.",
        InvalidReason::KeyUnknown => {
            "Your token is signed with a key that its issuer does not publish. Get a new one, then retry."
        }
        InvalidReason::Signature => "The signature of your token is invalid. Get a new one, then retry.",
        InvalidReason::Claims => {
            "A time in your token is missing or not a number. Contact the gateway's operator."
        }
    }
}

fn identity(refusal: &IdentityRefusal) -> ErrorResponse {
    let (message, advice) = match &refusal.error {
        IdentityError::RequirementFailed { undecided: false, .. } => {
            ("your token does not meet a requirement.", CONTACT)
        }
        IdentityError::RequirementFailed { undecided: true, .. } => {
            ("your token lacks a claim that a requirement reads.", CONTACT)
        }
        IdentityError::NoRole { .. } => ("no role matches your token.", ASK),
        IdentityError::ValueMissing { .. } => ("your token lacks a claim that billing needs.", CONTACT),
        IdentityError::ValueInvalid { .. } => {
            ("a claim of your token has a value that billing cannot use.", CONTACT)
        }
        IdentityError::NameForbidden { .. } => ("your role does not allow your session name.", ASK),
        IdentityError::Evaluation { .. } => {
            ("the gateway could not evaluate the claims of your token.", "Contact its operator.")
        }
        IdentityError::GroupsOverage { .. } => {
            ("your token lists no groups, because you are in too many.", CONTACT)
        }
        IdentityError::ClaimsTooLarge => {
            ("your token has too many claims.", "Get one with fewer, for example fewer groups.")
        }
        IdentityError::HeaderRepeated(_) => {
            ("a request header that selects who pays appears twice.", "Send it once.")
        }
        IdentityError::HeaderIllegal(_) => {
            ("a request header that selects who pays is longer than 256 bytes or not UTF-8.", "Correct it.")
        }
    };
    advised(message, advice, refusal.tell.as_deref(), refusal.error.reason())
}

fn session(error: &SessionError) -> ErrorResponse {
    match error {
        SessionError::Denied { .. } => denied(
            "AWS refused to issue credentials for you. Contact the gateway's operator.",
            error.reason(),
        ),
        SessionError::Unavailable { .. } | SessionError::GatewayRefused { .. } | SessionError::Overloaded => {
            unavailable(
                "The gateway cannot get AWS credentials at the moment. Retry in two seconds.",
                error.reason(),
                2,
            )
        }
        SessionError::WrongClearance => internal(error.reason()),
        SessionError::TooManySessions => throttled(
            "Your requests started too many sessions with different tags within a minute. \
             Retry in one minute.",
            error.reason(),
            60,
        ),
    }
}

#[cfg(test)]
mod tests;
