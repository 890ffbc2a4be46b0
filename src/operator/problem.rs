//! The problems that `/readyz` reports.

use serde_json::{Value, json};

/// The kind of a problem, from a closed list. Monitoring can compare the code; the message may change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProblemCode {
    /// The signing keys of an issuer are not fetched yet, or the last attempt to fetch them failed. Keys that were
    /// fetched before stay in use. The gateway retries by itself.
    IssuerKeys,
    /// The gateway's own AWS credentials are not fetched yet, or the last attempt failed. The gateway retries by
    /// itself.
    OwnCredentials,
    /// The configuration file, the certificate or the deny file is invalid, or cannot be read. Its last valid version
    /// stays in use until the operator fixes it.
    FileRejected,
    /// Keys of the configuration have changed that take effect only after a restart.
    RestartRequired,
    /// This machine's clock and AWS's clock differ. The gateway signs by AWS's clock, but checks tokens by this
    /// machine's.
    ClockSkew,
}

impl ProblemCode {
    pub const ALL: [Self; 5] =
        [Self::IssuerKeys, Self::OwnCredentials, Self::FileRejected, Self::RestartRequired, Self::ClockSkew];

    /// The word that `/readyz` shows.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::IssuerKeys => "issuer_keys",
            Self::OwnCredentials => "own_credentials",
            Self::FileRejected => "file_rejected",
            Self::RestartRequired => "restart_required",
            Self::ClockSkew => "clock_skew",
        }
    }

    /// An entry of `problems`.
    pub(super) fn with(self, message: impl AsRef<str>) -> Value {
        json!({ "code": self.as_str(), "message": message.as_ref() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_words_in_snake_case() {
        let codes: std::collections::BTreeSet<_> = ProblemCode::ALL.map(ProblemCode::as_str).into();
        assert_eq!(codes.len(), ProblemCode::ALL.len());
        for code in codes {
            assert!(code.chars().all(|c| c.is_ascii_lowercase() || c == '_'), "{code}");
        }
    }
}
