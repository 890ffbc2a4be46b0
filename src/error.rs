//! Every failure's answer: status, type, words for the caller, words for the log. The one table.
//!
//! What the caller reads never holds a role ARN, an STS text or an expression; the operator finds
//! those in the access log under the request's id.

use std::borrow::Cow;

use http::StatusCode;

use crate::auth::AuthError;
use crate::authorize::body::BodyError;
use crate::authorize::inspect::InspectError;
use crate::authorize::{Forbidden, Refused};
use crate::endpoint::NoEndpoint;
use crate::headers::NotAscii;
use crate::identity::IdentityError;
use crate::limits::requests::Busy;
use crate::reason::Reason;
use crate::revoke::Revoked;
use crate::route::RouteError;
use crate::sessions::SessionError;
use crate::sign::SignError;
use crate::upstream::UpstreamError;

pub mod dialect;

/// What can end a request before Bedrock's answer does, by the stage that says so.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    #[error(transparent)]
    Busy(#[from] Busy),
    #[error(transparent)]
    Route(#[from] RouteError),
    #[error(transparent)]
    Auth(#[from] AuthError),
    #[error(transparent)]
    Identity(#[from] IdentityError),
    #[error(transparent)]
    Revoked(#[from] Revoked),
    #[error(transparent)]
    Forbidden(#[from] Forbidden),
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
    /// For the caller.
    pub message: Cow<'static, str>,
    /// For log and metrics.
    pub reason: Reason,
    /// `Retry-After`, seconds.
    pub retry_after: Option<u32>,
    /// Whether clients are told that sending again is wrong (`x-should-retry: false`).
    pub is_final: bool,
}

impl Failure {
    /// The failure's row of the table.
    pub fn answer(&self) -> ErrorResponse {
        match self {
            Self::Busy(Busy::Gateway) => {
                unavailable("The gateway has too many requests under way.", Reason::BusyGateway, 1)
            }
            Self::Busy(Busy::Caller) => ErrorResponse {
                retry_after: Some(1),
                ..answer(
                    429,
                    "ThrottlingException",
                    "You have too many requests under way at once.",
                    Reason::BusyCaller,
                )
            },
            Self::Route(RouteError::Unknown) => answer(
                404,
                "UnknownOperationException",
                "This gateway serves no such operation.",
                Reason::RouteUnknown,
            ),
            Self::Route(RouteError::Bidirectional) => answer(
                501,
                "UnknownOperationException",
                "Bidirectional streams are not supported by this gateway.",
                Reason::RouteBidirectional,
            ),
            Self::Route(RouteError::Malformed(what)) => ErrorResponse {
                message: format!("The request target is refused: {what}.").into(),
                ..answer(400, "ValidationException", "", Reason::RouteMalformed)
            },
            Self::Auth(error) => token(error),
            Self::Identity(error) => identity(error),
            Self::Revoked(_) => answer(
                403,
                "AccessDeniedException",
                "Access denied: your access was revoked.",
                Reason::Revoked,
            ),
            Self::Header(_) => answer(
                400,
                "ValidationException",
                "A request header has a value that is not ASCII, or has a tab in it.",
                Reason::HeaderMalformed,
            ),
            Self::Refused(Refused::Body(error)) => body(error),
            Self::Refused(Refused::Inspect(error)) => inspect(*error),
            Self::Forbidden(error) | Self::Refused(Refused::Forbidden(error)) => forbidden(*error),
            Self::Session(error) => session(error),
            Self::Sign(SignError::WrongSession) => internal(Reason::SessionMismatch),
            Self::Sign(SignError::Unsignable(_)) => internal(Reason::Unsignable),
            Self::Refused(Refused::Endpoint(NoEndpoint)) => answer(
                404,
                "UnknownOperationException",
                "This service is not to be had in this region.",
                Reason::NoEndpoint,
            ),
            Self::Upstream(UpstreamError::Connect(_)) => {
                unavailable("Bedrock could not be reached.", Reason::UpstreamConnect, 1)
            }
            Self::Upstream(UpstreamError::NotAnswered(_)) => ErrorResponse {
                is_final: true,
                ..answer(
                    408,
                    "ModelTimeoutException",
                    "Bedrock took the request and did not answer. It may have been processed, so it was not sent again.",
                    Reason::UpstreamNotAnswered,
                )
            },
        }
    }

    /// For the log only: what the stage said.
    pub fn detail(&self) -> String {
        self.to_string()
    }
}

fn answer(status: u16, kind: &'static str, message: &'static str, reason: Reason) -> ErrorResponse {
    ErrorResponse {
        status: StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
        kind,
        message: message.into(),
        reason,
        retry_after: None,
        is_final: false,
    }
}

fn unavailable(message: &'static str, reason: Reason, retry_after: u32) -> ErrorResponse {
    ErrorResponse {
        retry_after: Some(retry_after),
        ..answer(503, "ServiceUnavailableException", message, reason)
    }
}

fn internal(reason: Reason) -> ErrorResponse {
    answer(500, "InternalServerException", "The gateway failed at this request.", reason)
}

fn forbidden(error: Forbidden) -> ErrorResponse {
    let reason = match error {
        Forbidden::Operation => Reason::OperationForbidden,
        Forbidden::Model => Reason::ModelForbidden,
        Forbidden::Region => Reason::RegionForbidden,
        Forbidden::Project => Reason::ProjectForbidden,
        Forbidden::Stored => Reason::StoredForbidden,
    };
    ErrorResponse {
        message: format!("Access denied: {error}.").into(),
        ..answer(403, "AccessDeniedException", "", reason)
    }
}

fn inspect(error: InspectError) -> ErrorResponse {
    ErrorResponse {
        message: format!("The request body is refused: {error}.").into(),
        ..answer(400, "ValidationException", "", Reason::BodyMalformed)
    }
}

fn body(error: &BodyError) -> ErrorResponse {
    match error {
        BodyError::TooLarge { max } => ErrorResponse {
            message: format!("The request body is larger than {max} bytes.").into(),
            ..answer(413, "ValidationException", "", Reason::BodyTooLarge)
        },
        BodyError::NoMemory => {
            unavailable("The gateway holds too many request bodies at once.", Reason::BusyBodies, 1)
        }
        BodyError::NoMemoryForCaller => ErrorResponse {
            retry_after: Some(1),
            ..answer(
                429,
                "ThrottlingException",
                "You have too many large requests under way at once.",
                Reason::BusyCallerBodies,
            )
        },
        BodyError::TooSlow => answer(
            400,
            "ValidationException",
            "The request body did not arrive in time.",
            Reason::BodyTooSlow,
        ),
        BodyError::Broken(_) => {
            answer(400, "ValidationException", "The request body broke off.", Reason::BodyBroken)
        }
    }
}

fn token(error: &AuthError) -> ErrorResponse {
    match error {
        AuthError::Missing => answer(
            401,
            "MissingAuthenticationTokenException",
            "Send your OIDC token: as a bearer token, as x-api-key, or as the session token of your credentials.",
            error.reason(),
        ),
        AuthError::Expired { .. } => {
            answer(401, "ExpiredTokenException", "Your token has expired.", error.reason())
        }
        AuthError::KeysUnavailable { .. } => {
            unavailable("The keys of your identity provider are not to be had right now.", error.reason(), 5)
        }
        AuthError::TokensDiffer => answer(
            401,
            "UnrecognizedClientException",
            "The request carries two tokens that differ.",
            error.reason(),
        ),
        AuthError::HeaderRepeated => answer(
            401,
            "UnrecognizedClientException",
            "A header that carries the token is sent twice.",
            error.reason(),
        ),
        AuthError::Oversized => {
            answer(401, "UnrecognizedClientException", "Your token is longer than 32 KiB.", error.reason())
        }
        AuthError::Invalid { .. } => {
            answer(401, "UnrecognizedClientException", "Your token is not accepted here.", error.reason())
        }
    }
}

fn identity(error: &IdentityError) -> ErrorResponse {
    let message = match error {
        IdentityError::RequirementFailed { .. } => "Access denied: your token does not meet a requirement.",
        IdentityError::NoRole => "Access denied: no role is meant for you.",
        IdentityError::ValueMissing { .. }
        | IdentityError::ValueInvalid { .. }
        | IdentityError::Evaluation { .. }
        | IdentityError::GroupsOverage { .. }
        | IdentityError::ClaimsTooLarge => {
            "Access denied: your token's claims do not say who pays for this call."
        }
        IdentityError::HeaderRepeated(_) | IdentityError::HeaderIllegal(_) => {
            "Access denied: a request header that says who pays is sent twice or too long."
        }
    };
    answer(403, "AccessDeniedException", message, error.reason())
}

fn session(error: &SessionError) -> ErrorResponse {
    match error {
        SessionError::Denied { .. } => answer(
            403,
            "AccessDeniedException",
            "Access denied: AWS gives no credentials for you. Tell the gateway's operator the request id.",
            error.reason(),
        ),
        SessionError::Unavailable { .. } | SessionError::GatewayRefused { .. } | SessionError::Overloaded => {
            unavailable("AWS gives no credentials right now.", error.reason(), 2)
        }
        SessionError::WrongClearance => internal(error.reason()),
        SessionError::TooManySessions => ErrorResponse {
            retry_after: Some(60),
            ..answer(
                429,
                "ThrottlingException",
                "Too many different sessions of yours within a minute.",
                error.reason(),
            )
        },
    }
}

#[cfg(test)]
mod tests;
