//! The faults of a signature.

use std::fmt;
use std::time::SystemTime;

use crate::clock;

/// The reason why a signature was rejected. It contains no secret: session tokens are replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SignatureFault {
    /// There is no `Authorization` header.
    MissingAuthorization,
    /// The `Authorization` header is not `AWS4-HMAC-SHA256`.
    OtherScheme,
    /// `X-Amz-…` authentication in the query. These services do not use presigned URLs.
    QueryAuthentication,
    Malformed(&'static str),
    /// A required header is missing.
    HeaderMissing(String),
    /// A header that must appear once is repeated.
    HeaderRepeated(String),
    /// A header that must be signed is not signed.
    HeaderNotSigned(String),
    /// The access key id is unknown.
    UnknownKey(String),
    TokenMissing,
    TokenMismatch,
    /// A session token together with long-term keys.
    TokenUnexpected,
    Scope {
        expected: String,
        found: String,
    },
    Skewed {
        signed_at: SystemTime,
        now: SystemTime,
    },
    /// The path has empty, `.` or `..` segments, so normalizing would change it.
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
            Self::HeaderNotSigned(name) => write!(f, "header {name} must be signed"),
            Self::UnknownKey(id) => write!(f, "access key id {id} is unknown"),
            Self::TokenMissing => f.write_str("the session token is missing"),
            Self::TokenMismatch => f.write_str("the session token belongs to another session"),
            Self::TokenUnexpected => f.write_str("a session token together with long-term keys"),
            Self::Scope { expected, found } => {
                write!(f, "the scope is {found}, but must be {expected}")
            }
            Self::Skewed { signed_at, now } => {
                write!(
                    f,
                    "signed at {}, but the time is {}",
                    clock::amz_date(*signed_at),
                    clock::amz_date(*now)
                )
            }
            Self::PathNotNormal => f.write_str("the path is not normalized"),
            Self::PayloadHash => f.write_str("X-Amz-Content-Sha256 is not the hash of the body"),
            Self::Mismatch { canonical_request, string_to_sign } => write!(
                f,
                "the canonical request must be {canonical_request:?}, the string to sign \
                 {string_to_sign:?}"
            ),
        }
    }
}

impl std::error::Error for SignatureFault {}
