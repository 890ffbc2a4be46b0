//! Checks of everything that must be true outside the configuration file: identity providers, AWS's credentials, roles,
//! Bedrock and the bill. No check changes anything, unless the operator asks for it.

mod billing;
mod signed_call;

/// The outcome of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    Ok,
    Warn,
    Fail,
    /// Not tried, because an earlier check failed, or the operator gave nothing to try it with.
    Skip,
}

/// A check and its outcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    pub name: String,
    pub status: Status,
    /// What was found.
    pub message: String,
    /// The next step.
    pub fix: Option<String>,
}

impl Check {
    pub fn ok(name: impl Into<String>, message: impl Into<String>) -> Self {
        Self { name: name.into(), status: Status::Ok, message: message.into(), fix: None }
    }

    pub fn warn(name: impl Into<String>, message: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { status: Status::Warn, fix: Some(fix.into()), ..Self::ok(name, message) }
    }

    pub fn fail(name: impl Into<String>, message: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { status: Status::Fail, ..Self::warn(name, message, fix) }
    }

    pub fn skip(name: impl Into<String>, message: impl Into<String>) -> Self {
        Self { status: Status::Skip, ..Self::ok(name, message) }
    }
}
