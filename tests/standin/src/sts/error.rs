//! STS's errors: statuses, codes and messages.

use http::StatusCode;

use crate::clock;
use crate::signature::SignatureFault;

/// An error that STS answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StsError {
    pub status: StatusCode,
    pub code: &'static str,
    pub message: String,
}

impl StsError {
    fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into() }
    }

    pub(super) fn validation(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "ValidationError", message)
    }

    /// An error in the words of AWS's own validation.
    pub(super) fn constraint(parameter: &str, value: &str, constraint: &str) -> Self {
        Self::validation(format!(
            "1 validation error detected: Value '{value}' at '{parameter}' failed to satisfy \
             constraint: {constraint}"
        ))
    }

    pub(super) fn access_denied(caller: &str, action: &str, role_arn: &str) -> Self {
        let message =
            format!("User: {caller} is not authorized to perform: {action} on resource: {role_arn}");
        Self::new(StatusCode::FORBIDDEN, "AccessDenied", message)
    }

    pub(super) fn malformed_policy() -> Self {
        let message = "Syntax errors in policy.";
        Self::new(StatusCode::BAD_REQUEST, "MalformedPolicyDocument", message)
    }

    /// The call sets a tag that the gateway's own session passes on.
    pub(super) fn inherited_tag() -> Self {
        let message = "One of the specified transitive tag keys can't be set because it conflicts with a \
                       transitive tag key from the calling session.";
        Self::new(StatusCode::BAD_REQUEST, "InvalidParameterValue", message)
    }

    pub(super) fn packed_policy_too_large(percent: usize) -> Self {
        let message = format!("Packed size of session tags consumes {percent}% of allotted space.");
        Self::new(StatusCode::BAD_REQUEST, "PackedPolicyTooLarge", message)
    }

    /// The status is 400, not 429.
    pub(super) fn throttling() -> Self {
        Self::new(StatusCode::BAD_REQUEST, "Throttling", "Rate exceeded")
    }

    pub(super) fn unavailable() -> Self {
        let message = "Service is temporarily unavailable.";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable", message)
    }

    pub(super) fn expired_token() -> Self {
        let message = "The security token included in the request is expired";
        Self::new(StatusCode::FORBIDDEN, "ExpiredToken", message)
    }

    pub(super) fn invalid_client_token_id() -> Self {
        let message = "The security token included in the request is invalid.";
        Self::new(StatusCode::FORBIDDEN, "InvalidClientTokenId", message)
    }

    pub(super) fn region_disabled(region: &str) -> Self {
        let message = format!("STS is not activated in this region ({region}) for this account.");
        Self::new(StatusCode::FORBIDDEN, "RegionDisabledException", message)
    }

    pub(super) fn unknown_action(action: &str) -> Self {
        let message = format!("Could not find operation {action} for version 2011-06-15");
        Self::new(StatusCode::BAD_REQUEST, "InvalidAction", message)
    }
}

impl From<SignatureFault> for StsError {
    fn from(fault: SignatureFault) -> Self {
        use SignatureFault as F;
        let (status, code) = match &fault {
            F::MissingAuthorization => (StatusCode::FORBIDDEN, "MissingAuthenticationToken"),
            F::OtherScheme
            | F::QueryAuthentication
            | F::Malformed(_)
            | F::HeaderMissing(_)
            | F::HeaderRepeated(_)
            | F::HeaderNotSigned(_) => (StatusCode::BAD_REQUEST, "IncompleteSignature"),
            F::UnknownKey(_) | F::TokenMissing | F::TokenMismatch | F::TokenUnexpected => {
                return Self::invalid_client_token_id();
            }
            F::Skewed { signed_at, now } => {
                let message = format!(
                    "Signature expired: {} is now earlier than {} (5 min.)",
                    clock::amz_date(*signed_at),
                    clock::amz_date(*now)
                );
                return Self::new(StatusCode::FORBIDDEN, "SignatureDoesNotMatch", message);
            }
            F::Scope { .. } | F::PathNotNormal | F::PayloadHash | F::Mismatch { .. } => {
                (StatusCode::FORBIDDEN, "SignatureDoesNotMatch")
            }
        };
        Self::new(status, code, fault.to_string())
    }
}
