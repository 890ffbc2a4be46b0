//! `revoke`: sends a revocation to the admin port of each replica, or lists those in force.

use std::process::ExitCode;

use clap::Args;
use http::Method;
use serde_json::{Value, json};

use crate::cli::admin::{AdminPort, Answer, not_a_gateway};
use crate::cli::{EXIT_USAGE, print, revocations};
use crate::clock;

#[derive(Debug, Args)]
#[command(mut_arg("admin", |admin| admin.required(true)))]
pub(super) struct Revoke {
    #[command(flatten)]
    admin: AdminPort,
    #[command(flatten)]
    selector: Selector,
    /// The `sub` claim of the caller's tokens. Needs `--issuer`.
    #[arg(long, value_name = "SUB", requires = "issuer", conflicts_with_all = ["principal", "expression", "list"])]
    subject: Option<String>,
    /// When the revocation ends, for example 2026-12-01T18:00:00Z. Default: when the replica restarts.
    #[arg(long, value_name = "TIME", value_parser = moment, conflicts_with = "list")]
    until: Option<String>,
    /// Also abort the answers that are being streamed to the caller.
    #[arg(long, conflicts_with = "list")]
    cut_streams: bool,
    /// With `--list`: print what each replica answered, as JSON.
    #[arg(long, requires = "list")]
    json: bool,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Selector {
    /// The caller's assumed-role ARN, as the bill shows it.
    #[arg(long, value_name = "ARN")]
    principal: Option<String>,
    /// The configured name of an issuer. Needs `--subject`.
    #[arg(long, value_name = "NAME", requires = "subject")]
    issuer: Option<String>,
    /// A CEL expression over `claims` and `issuer.name`; a caller is revoked if it is true.
    #[arg(long, value_name = "CEL")]
    expression: Option<String>,
    /// List the revocations in force at each replica, instead of adding one.
    #[arg(long)]
    list: bool,
}

fn moment(text: &str) -> Result<String, String> {
    let moment = clock::parse_rfc3339(text).map(|_| text.to_owned());
    moment.ok_or_else(|| "write a date with a time and a zone, for example 2026-12-01T18:00:00Z".to_owned())
}

pub(super) fn run(arguments: &Revoke) -> ExitCode {
    if arguments.selector.list {
        return revocations::list(&arguments.admin, arguments.json);
    }
    let answers = match arguments.admin.ask(Method::POST, "/sessions/revoke", Some(&revocation(arguments))) {
        Ok(answers) => answers,
        Err(fault) => {
            eprintln!("error: {fault}");
            return ExitCode::from(EXIT_USAGE);
        }
    };
    let mut failed = false;
    for Answer { replica, outcome } in answers {
        match outcome.and_then(|answer| effect(&answer)) {
            Ok(done) => {
                // The revocation is in force, also if the reader of the output has left.
                let _printed: ExitCode = print(&format!("{replica}: {done}\n"));
            }
            Err(fault) => {
                eprintln!("{replica}: FAILED: {fault}");
                failed = true;
            }
        }
    }
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// The body of `POST /sessions/revoke`.
fn revocation(arguments: &Revoke) -> Value {
    let Selector { principal, issuer, expression, list: _ } = &arguments.selector;
    let mut body = json!({ "cut_streams": arguments.cut_streams });
    for (name, value) in [
        ("principal", principal),
        ("issuer", issuer),
        ("subject", &arguments.subject),
        ("expression", expression),
        ("until", &arguments.until),
    ] {
        if let Some(value) = value {
            body[name] = value.as_str().into();
        }
    }
    body
}

/// The effect of the revocation at one replica, in words.
fn effect(answer: &Value) -> Result<String, String> {
    match (&answer["revoked"], answer["sessions_dropped"].as_u64()) {
        (Value::Bool(true), Some(dropped)) => {
            let ending = if dropped == 1 { "" } else { "s" };
            Ok(format!("revoked, {dropped} cached session{ending} dropped"))
        }
        (Value::Bool(false), _) => Ok("revocation removed (--until is in the past)".to_owned()),
        _ => Err(not_a_gateway()),
    }
}
