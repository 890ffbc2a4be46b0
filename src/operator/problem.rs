//! The problems that `/readyz`, the process log and a metric report.

use serde_json::{Value, json};

use crate::sessions::failure_text::FailureText;

/// The kind of a problem, from a closed list. Monitoring can compare the code; the message may change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ProblemCode {
    /// The signing keys of an issuer are not fetched yet, or the last attempt to fetch them failed. Keys that were
    /// fetched before stay in use. The gateway retries by itself.
    IssuerKeys,
    /// The gateway's own AWS credentials are not fetched yet, or the last attempt failed. The gateway retries by
    /// itself.
    OwnCredentials,
    /// STS is unreachable, refuses the gateway itself, or throttles it. The gateway retries by itself.
    Sts,
    /// The gateway cannot connect to one of Bedrock's services in one region. The gateway retries by itself.
    Bedrock,
    /// The certificate of `[listen.tls]` has expired, expires soon, or is not valid yet.
    Certificate,
    /// A log cannot be written. The gateway retries by itself.
    LogFile,
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
    pub const ALL: [Self; 9] = [
        Self::IssuerKeys,
        Self::OwnCredentials,
        Self::Sts,
        Self::Bedrock,
        Self::Certificate,
        Self::LogFile,
        Self::FileRejected,
        Self::RestartRequired,
        Self::ClockSkew,
    ];

    /// The word that `/readyz`, the process log and the metric show.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::IssuerKeys => "issuer_keys",
            Self::OwnCredentials => "own_credentials",
            Self::Sts => "sts",
            Self::Bedrock => "bedrock",
            Self::Certificate => "certificate",
            Self::LogFile => "log_file",
            Self::FileRejected => "file_rejected",
            Self::RestartRequired => "restart_required",
            Self::ClockSkew => "clock_skew",
        }
    }
}

/// A problem that exists now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub code: ProblemCode,
    /// The part that has the problem, for example the name of an issuer. A code and a part are one problem, which
    /// keeps its identity while its message changes.
    pub part: String,
    /// The fault and the next step. Clients of `/readyz` are not authenticated: no secret, no caller, no text of a
    /// file and no answer of AWS.
    pub message: String,
    /// For the log, if that may say more than `message`.
    pub details: Option<String>,
    /// Nothing has failed so far: the gateway has only just begun.
    pub pending: bool,
}

impl Problem {
    pub(super) fn new(code: ProblemCode, part: impl Into<String>, message: impl Into<String>) -> Self {
        Self { code, part: part.into(), message: message.into(), details: None, pending: false }
    }

    /// A failure of `subject`.
    pub(super) fn of(code: ProblemCode, subject: &str, why: &FailureText) -> Self {
        let details = (why.full != why.short).then(|| format!("{subject}: {}", why.full));
        Self { details, ..Self::new(code, "", format!("{subject}: {}", why.short)) }
    }

    /// The text of the log.
    pub(super) fn logged(&self) -> &str {
        self.details.as_deref().unwrap_or(&self.message)
    }

    /// An entry of `problems`.
    pub(super) fn shown(&self) -> Value {
        let more = if self.details.is_some() { "; the process log has the cause" } else { "" };
        json!({ "code": self.code.as_str(), "message": format!("{}{more}", self.message) })
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
