//! Checks of everything that must be true outside the configuration file: identity providers, the clock, the gateway's
//! own credentials, roles, Bedrock and the bill. No check changes anything, unless the operator asks for it.
//!
//! The checks run in the order of their dependencies. A check that depends on a failed one is skipped, and says so.

use std::path::Path;
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::config::{self, Config, ConfigError, counted};
use crate::identity::sample::SampleSession;
use crate::preflight;
use crate::proxy::Proxy;
use crate::route::ModelId;
use crate::sessions::Issued;
use crate::sessions::trial::Trial;

pub use self::bedrock::BedrockSetupError;
pub use self::bill::Bill;
pub use self::report::Findings;

mod aws_clock;
mod bedrock;
mod bill;
mod billing;
mod gateway_credentials;
mod invoke;
pub mod issuers;
mod models;
mod report;
mod roles;
mod sample;
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

impl Status {
    /// The word in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
            Self::Skip => "skip",
        }
    }
}

/// A check and its outcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    pub name: String,
    pub status: Status,
    /// The finding.
    pub message: String,
    /// The next step. It may have several lines; a line that begins with a space keeps its form.
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

/// The claims of a caller, for a canary session in the caller's name.
#[derive(Debug, Clone)]
pub enum Sample {
    /// A token, which is verified. `file` is for messages.
    Token { file: String, token: String },
    /// Claims that nothing verifies, of the issuer with this configured name.
    Claims { file: String, issuer: Arc<str>, claims: Map<String, Value> },
}

/// The operator's wishes besides the ordinary checks.
#[derive(Debug, Default, Clone)]
pub struct Plan {
    /// The callers whose roles are tried.
    pub samples: Vec<Sample>,
    /// Models to look at, besides those that the role rules name exactly.
    pub models: Vec<ModelId>,
    /// A model for one small call, which costs money.
    pub invoke: Option<ModelId>,
}

/// A session that STS granted to try a role rule.
#[derive(Debug, Clone)]
struct CanarySession {
    sample: SampleSession,
    issued: Issued,
}

/// The first check: the configuration and the files that it names.
pub fn configuration(path: &Path) -> (Check, Option<Config>) {
    let name = "configuration";
    let shown = if path == Path::new(config::STANDARD_INPUT) {
        "<stdin>".to_owned()
    } else {
        path.display().to_string()
    };
    let opened = config::load(path).and_then(|config| {
        let warnings = preflight::check(&config)?;
        Ok((config, warnings))
    });
    match opened {
        Err(ConfigError(problems)) => {
            let check = "run bedrock-gateway check, which shows every problem and its place";
            let (message, fix) = match problems.first() {
                Some(first) => {
                    let place = format!("{}:{}", first.file, first.line);
                    let others = problems.len() - 1;
                    let more = if others == 0 {
                        String::new()
                    } else {
                        format!(" (and {})", counted(others, "further problem"))
                    };
                    (format!("{place}: {}{more}", first.message), format!("{}; {check}", first.help))
                }
                None => (format!("{shown} is invalid"), check.to_owned()),
            };
            (Check::fail(name, message, fix), None)
        }
        Ok((config, others)) => {
            let sizes = format!(
                "{shown} is valid ({}, {})",
                counted(config.issuers.len(), "issuer"),
                counted(config.mapping.roles.len(), "role")
            );
            let check = match config.warnings.iter().chain(&others).next() {
                None => Check::ok(name, sizes),
                Some(first) => Check::warn(
                    name,
                    format!("{sizes}, with warnings: line {}: {}", first.line, first.message),
                    format!("{}; run bedrock-gateway check for all warnings", first.help),
                ),
            };
            (check, Some(config))
        }
    }
}

/// Runs the checks after [`configuration`], and passes each to `note` as soon as it is done.
pub async fn examine(config: &Config, plan: &Plan, note: &mut (dyn FnMut(Check) + Send)) -> Findings {
    let mut findings = Findings::default();
    let proxy = match Proxy::from_environment() {
        Ok(proxy) => proxy,
        Err(error) => {
            note(Check::fail(
                "proxy",
                error.to_string(),
                "correct HTTPS_PROXY and NO_PROXY in the environment",
            ));
            return findings;
        }
    };
    issuers::check(config, &proxy, &mut findings, note).await;
    let samples = sample::check(config, &plan.samples, &proxy, note).await;
    let settings = config.aws.sts_settings(proxy.clone());
    if !aws_clock::check(&config.aws, &settings, note).await {
        for name in ["own credentials", "roles", "Bedrock"] {
            note(Check::skip(name, "not tried: STS cannot be reached"));
        }
        return findings;
    }
    let Some(own) = gateway_credentials::check(&settings, note).await else {
        for name in ["roles", "Bedrock"] {
            note(Check::skip(name, "not tried: the gateway cannot call STS"));
        }
        return findings;
    };
    let gateway = roles::Gateway { role: own.role.clone(), is_session: own.is_session };
    let trial = Trial::of(own.sts);
    let canaries = roles::check(config, &samples, (&trial, &gateway), note).await;
    if canaries.is_empty() {
        note(Check::skip("Bedrock", "not tried: there is no canary session to call it with"));
        return findings;
    }
    match bedrock::Bedrock::of(&config.aws, &proxy).await {
        Ok(bedrock) => {
            bedrock.check(&canaries, &mut findings, note).await;
            models::check(&bedrock, &canaries, &plan.models, &mut findings, note).await;
            if let Some(model) = &plan.invoke {
                invoke::check(&bedrock, &config.aws, &canaries, model, note).await;
            }
        }
        Err(error) => {
            note(Check::fail("Bedrock", error.to_string(), "check [aws] in the configuration"));
        }
    }
    findings
}
