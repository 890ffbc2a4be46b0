//! What can be wrong with a signature.

use std::fmt;
use std::time::SystemTime;

use crate::clock;

/// Why a signature was refused. Carries no secret: session tokens are blanked out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SignatureFault {
    /// There is no `Authorization` header.
    MissingAuthorization,
    /// `Authorization` is there, but is not `AWS4-HMAC-SHA256`.
    OtherScheme,
    /// `X-Amz-…` authentication in the query: presigned URLs are not for these services.
    QueryAuthentication,
    Malformed(&'static str),
    /// A header that has to be there once is missing.
    HeaderMissing(String),
    /// A header that has to be there once is repeated.
    HeaderRepeated(String),
    /// A header that has to be signed is not.
    HeaderNotSigned(String),
    /// Nobody has this access key id.
    UnknownKey(String),
    TokenMissing,
    TokenMismatch,
    /// A session token beside long-term keys.
    TokenUnexpected,
    Scope {
        expected: String,
        found: String,
    },
    Skewed {
        signed_at: SystemTime,
        now: SystemTime,
    },
    /// The path has empty, `.` or `..` segments, so that normalising would change it.
    PathNotNormal,
    /// `X-Amz-Content-Sha256` is not the hash of the body.
    PayloadHash,
    Mismatch {
        canonical_request: String,
        string_to_sign: String,
    },
}

impl fmt::Display for SignatureFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MissingAuthorization => f.write_str("there is no Authorization header"),
            Self::OtherScheme => f.write_str("Authorization is not AWS4-HMAC-SHA256"),
            Self::QueryAuthentication => f.write_str("authentication in the query"),
            Self::Malformed(what) => f.write_str(what),
            Self::HeaderMissing(name) => write!(f, "header {name} is missing"),
            Self::HeaderRepeated(name) => write!(f, "header {name} is repeated"),
            Self::HeaderNotSigned(name) => write!(f, "header {name} has to be signed"),
            Self::UnknownKey(id) => write!(f, "access key id {id} is not known"),
            Self::TokenMissing => f.write_str("the session token is missing"),
            Self::TokenMismatch => f.write_str("the session token is of another session"),
            Self::TokenUnexpected => f.write_str("a session token beside long-term keys"),
            Self::Scope { expected, found } => {
                write!(f, "scoped to {found}, which should be {expected}")
            }
            Self::Skewed { signed_at, now } => {
                write!(f, "signed at {}, and it is {}", clock::amz_date(*signed_at), clock::amz_date(*now))
            }
            Self::PathNotNormal => f.write_str("the path is not normal"),
            Self::PayloadHash => f.write_str("X-Amz-Content-Sha256 is not the body's"),
            Self::Mismatch { canonical_request, string_to_sign } => write!(
                f,
                "the canonical string should have been {canonical_request:?}, the string to sign \
                 {string_to_sign:?}"
            ),
        }
    }
}

impl std::error::Error for SignatureFault {}
