//! A failure in words for the operator, with and without its cause.

/// The failure and the next step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailureText {
    /// For `/readyz`, which needs no token: only words of the gateway. No answer of AWS, which may contain account ids
    /// and the ARNs of roles, and no text of a file.
    pub short: String,
    /// For the process log: with the cause.
    pub full: String,
}

impl FailureText {
    /// A text that every client of the probe port may read.
    pub(crate) fn public(text: impl Into<String>) -> Self {
        let short = text.into();
        Self { full: short.clone(), short }
    }

    /// A public text, and its cause for the log.
    pub(super) fn with_cause(text: impl Into<String>, cause: &str) -> Self {
        let short = text.into();
        let full = if cause.is_empty() { short.clone() } else { format!("{short}: {cause}") };
        Self { short, full }
    }
}
