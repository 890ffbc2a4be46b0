//! `explain`: shows what a token, or claims from a file, become under a configuration, and why. It fetches signing
//! keys as `serve` does, and sends nothing to AWS.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr;

use clap::Args;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use serde_json::error::Category;
use serde_json::{Map, Value};

use crate::auth::{AuthError, Authenticator, CacheLimits, UnverifiedToken, Verified};
use crate::cli::call::{Call, CallRefusal};
use crate::cli::{ConfigFile, EXIT_USAGE, claims, print, problems, read_file};
use crate::config::{self, Config, ConfigError};
use crate::identity::IdentityMemo;
use crate::identity::explain::Explanation;
use crate::proxy::Proxy;
use crate::style;
use crate::telemetry::metrics::Metrics;

mod json;
mod refusal;
mod save;
mod text;

#[derive(Debug, Args)]
pub(super) struct Explain {
    #[command(flatten)]
    config: ConfigFile,
    #[command(flatten)]
    source: TokenOrClaims,
    /// The configured name of the issuer to explain the claims for. Default: the one whose url is their `iss`.
    #[arg(long, value_name = "NAME", conflicts_with = "token_file")]
    issuer: Option<String>,
    /// A header of the request, for expressions that read one. Repeat the option for several headers.
    #[arg(long, value_name = "NAME=VALUE")]
    header: Vec<Header>,
    #[command(flatten)]
    call: Call,
    /// Also write a case for `check --cases`: the claims and what they become, never the token.
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
    /// Print one JSON object, with the field names of the access log.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct TokenOrClaims {
    /// A file with the token, or - for standard input. The signature and the claims are verified.
    #[arg(long, alias = "token", value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// A file with the claims as a JSON object, or - for standard input. Nothing is verified.
    #[arg(long, value_name = "FILE")]
    claims: Option<PathBuf>,
}

/// One `--header` of the command line.
#[derive(Debug, Clone)]
struct Header {
    name: HeaderName,
    value: HeaderValue,
}

impl FromStr for Header {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        let (name, value) = text.split_once('=').ok_or("write it as name=value")?;
        let name =
            name.trim().parse().map_err(|_| "the name contains characters that a header cannot have")?;
        let value = HeaderValue::from_bytes(value.as_bytes())
            .map_err(|_| "the value contains characters that a header cannot have")?;
        Ok(Self { name, value })
    }
}

/// The caller that the token or the claims name, as far as known.
struct Holder {
    /// The issuer's configured name; for a rejected token, the `iss` that it claims.
    issuer: Option<String>,
    subject: Option<String>,
    jti: Option<String>,
    basis: Basis,
}

/// How far the claims can be trusted.
enum Basis {
    /// The gateway would accept the token.
    Verified,
    /// The claims come from a file.
    Unchecked,
    /// The gateway would reject the token.
    Refused {
        error: AuthError,
        /// The cause, in detail.
        why: String,
    },
}

/// Everything that is printed.
struct Report<'a> {
    holder: Holder,
    /// Empty for a rejected token.
    claims: Map<String, Value>,
    /// Absent only for a rejected token.
    explanation: Option<Explanation>,
    config: &'a Config,
    notes: Vec<String>,
    /// Set if the caller's role refuses the call of the command line.
    refusal: Option<CallRefusal>,
}

impl Report<'_> {
    fn accepted(&self) -> bool {
        self.refusal.is_none()
            && self.explanation.as_ref().is_some_and(|explanation| explanation.outcome.is_ok())
    }

    /// Decides the call of the command line for the role that the caller gets.
    fn decide(mut self, call: &Call) -> Self {
        let becomes = self.explanation.as_ref().and_then(|explanation| explanation.outcome.as_ref().ok());
        self.refusal = becomes.and_then(|becomes| call.refusal(becomes, self.config));
        self
    }
}

pub(super) fn run(arguments: &Explain) -> ExitCode {
    let config = match config::load(&arguments.config.config) {
        Ok(config) => config,
        Err(rejected) => {
            if arguments.json {
                return failed(&rejected);
            }
            problems::print_rejected(&rejected.0);
            return ExitCode::FAILURE;
        }
    };
    let mut headers = HeaderMap::new();
    for Header { name, value } in &arguments.header {
        headers.append(name, value.clone());
    }
    let report = match (&arguments.source.token_file, &arguments.source.claims, &arguments.issuer) {
        (Some(file), _, _) => of_token(file, &headers, &config),
        (None, Some(file), issuer) => of_claims(file, issuer.as_deref(), &headers, &config),
        (None, None, _) => Err("pass --token-file or --claims".to_owned()),
    };
    let report = match arguments.call.check_region(&config).and(report) {
        Ok(report) => report.decide(&arguments.call),
        Err(fault) => {
            eprintln!("error: {fault}");
            return ExitCode::from(EXIT_USAGE);
        }
    };
    let text = if arguments.json {
        format!("{:#}\n", json::of(&report))
    } else {
        text::of(&report, style::stdout_has_colour())
    };
    let printed = print(&text);
    if let Some(file) = &arguments.save
        && let Err(fault) = save::write(file, &report, &headers, &arguments.call)
    {
        eprintln!("error: {fault}");
        return ExitCode::FAILURE;
    }
    if report.accepted() { printed } else { ExitCode::FAILURE }
}

/// Prints the problems of an invalid configuration as JSON.
fn failed(rejected: &ConfigError) -> ExitCode {
    let problems = serde_json::json!({ "problems": problems::json(&rejected.0) });
    let _printed = print(&format!("{problems:#}\n"));
    ExitCode::FAILURE
}
fn of_claims<'a>(
    file: &Path,
    issuer: Option<&str>,
    headers: &HeaderMap,
    config: &'a Config,
) -> Result<Report<'a>, String> {
    let claims = read_claims(&read_file(file)?)
        .map_err(|fault| format!("{}: the claims are not a JSON object: {fault}", file.display()))?;
    of_claim_set(claims, issuer, headers, config)
}

/// The explanation of these claims as text.
///
/// # Errors
/// When no issuer of the configuration has their `iss`.
pub(super) fn text_of_claims(claims: Map<String, Value>, config: &Config) -> Result<String, String> {
    let report = of_claim_set(claims, None, &HeaderMap::new(), config)?;
    Ok(text::of(&report, style::stdout_has_colour()))
}

fn of_claim_set<'a>(
    claims: Map<String, Value>,
    issuer: Option<&str>,
    headers: &HeaderMap,
    config: &'a Config,
) -> Result<Report<'a>, String> {
    let settings = claims::issuer(&claims, issuer, "--issuer", config)?;
    let issuer = &*settings.name;
    let text = |name: &str| claims.get(name).and_then(Value::as_str).map(str::to_owned);
    let holder = Holder {
        issuer: Some(issuer.to_owned()),
        subject: text("sub"),
        jti: text("jti"),
        basis: Basis::Unchecked,
    };
    let explanation = Some(config.mapping.explain(issuer, &claims, headers));
    let mut notes = refusal::of_claims(&claims, settings);
    notes.extend(unread_headers(issuer, headers, config));
    Ok(Report { holder, claims, explanation, config, notes, refusal: None })
}

/// Parses the claims. The error has the kind and the place of the problem only: the library's own text could quote
/// a token that was passed instead of claims.
pub(super) fn read_claims(json: &str) -> Result<Map<String, Value>, String> {
    serde_json::from_str(json).map_err(|error| {
        let fault = match error.classify() {
            Category::Syntax => "it is not JSON",
            Category::Eof => "it ends too early",
            Category::Data | Category::Io => "it is another JSON value",
        };
        format!("{fault}, at line {}, column {}", error.line(), error.column())
    })
}

fn of_token<'a>(file: &Path, headers: &HeaderMap, config: &'a Config) -> Result<Report<'a>, String> {
    let text = read_file(file)?;
    let token = text.trim();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("cannot start the async runtime: {error}"))?;
    let proxy = Proxy::from_environment().map_err(|error| error.to_string())?;
    let (issuers, limits) = (config.issuers.clone(), CacheLimits::default());
    let authenticator = Authenticator::<IdentityMemo>::through(proxy, issuers, limits, Metrics::new());
    let authenticator = authenticator.map_err(|error| error.to_string())?;
    let parts = UnverifiedToken::read(token);
    // A string in the shape of a token has only characters that a header can have.
    let error = match (&parts, HeaderValue::from_str(&format!("Bearer {token}"))) {
        (Ok(_), Ok(bearer)) => {
            let carrier = HeaderMap::from_iter([(header::AUTHORIZATION, bearer)]);
            match runtime.block_on(authenticator.verify(&carrier)) {
                Ok(caller) => return Ok(of_verified(caller.verified(), headers, config)),
                Err(error) => error,
            }
        }
        (Err(error), _) => error.clone(),
        (Ok(_), Err(_)) => AuthError::Missing,
    };
    let status = authenticator.status();
    let why = refusal::in_words(&error, parts.as_ref().ok(), &config.issuers, &status);
    let unverified = error.unverified().cloned().unwrap_or_default();
    let holder = Holder {
        issuer: unverified.issuer,
        subject: unverified.subject,
        jti: None,
        basis: Basis::Refused { error, why },
    };
    Ok(Report { holder, claims: Map::new(), explanation: None, config, notes: Vec::new(), refusal: None })
}

fn of_verified<'a>(caller: &Verified, headers: &HeaderMap, config: &'a Config) -> Report<'a> {
    let holder = Holder {
        issuer: Some(caller.issuer().to_owned()),
        subject: caller.subject().map(str::to_owned),
        jti: caller.jti().map(str::to_owned),
        basis: Basis::Verified,
    };
    let explanation = Some(config.mapping.explain(caller.issuer(), caller.claims(), headers));
    let notes = unread_headers(caller.issuer(), headers, config);
    Report { holder, claims: caller.claims().clone(), explanation, config, notes, refusal: None }
}

/// A note for each `--header` that no expression of the issuer can read.
fn unread_headers(issuer: &str, headers: &HeaderMap, config: &Config) -> Vec<String> {
    let mapping = config.mapping.issuers.iter().find(|mapping| *mapping.issuer == *issuer);
    let listed =
        |name: &str| mapping.is_some_and(|mapping| mapping.request_headers.iter().any(|l| l == name));
    let unread = headers.keys().filter(|name| !listed(name.as_str()));
    unread
        .map(|name| format!("{name} is not in request_headers of {issuer}: no expression can read it"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_does_not_quote_the_text_passed_as_claims() {
        for (given, fault) in [
            ("\"aaa.bbb.ccc\"", "it is another JSON value, at line 1, column 13"),
            ("{\n\"sub\": aaa.bbb.ccc}", "it is not JSON, at line 2, column 8"),
            ("{\"aaa.bbb.ccc\"", "it ends too early, at line 1, column 14"),
        ] {
            assert_eq!(read_claims(given), Err(fault.to_owned()));
        }
        assert!(read_claims("{}").is_ok());
    }
}
