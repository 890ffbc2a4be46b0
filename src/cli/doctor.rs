//! `doctor`: tries everything that must be true outside the configuration file, and says what is missing and how to fix
//! it.

use std::fs::OpenOptions;
use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use serde_json::json;

use crate::cli::{ConfigFile, EXIT_USAGE, claims, explain, print, read_file};
use crate::config::Config;
use crate::doctor::{self, Bill, Check, Findings, Plan, Sample, Status};
use crate::route::ModelId;
use crate::style;

mod text;

#[derive(Debug, Args)]
pub(super) struct Doctor {
    #[command(flatten)]
    config: ConfigFile,
    /// A file with a caller's token, or - for standard input. The caller's role is tried in the caller's name.
    #[arg(long, value_name = "FILE")]
    token: Vec<PathBuf>,
    /// A file with a caller's claims as a JSON object. Nothing is verified. Repeat the option: one caller for each role.
    #[arg(long, value_name = "FILE")]
    claims: Vec<PathBuf>,
    /// The configured name of the issuer of all --claims. Default: the one whose url is their `iss`.
    #[arg(long, value_name = "NAME", requires = "claims")]
    issuer: Option<String>,
    /// Also check the availability of this model. Those that the roles name exactly are always checked. Repeatable.
    #[arg(long, value_name = "ID", value_parser = model)]
    model: Vec<ModelId>,
    /// Call this model once, with at most 16 tokens of answer. The caller's account pays for it.
    #[arg(long, value_name = "MODEL", value_parser = model)]
    invoke: Option<ModelId>,
    #[command(flatten)]
    bill: BillOptions,
    /// Write the outcome for each id of docs/ASSUMPTIONS.md to a new file: no names, accounts or tokens.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Print one JSON object with every check.
    #[arg(long)]
    json: bool,
}

/// The checks of the account that pays.
#[derive(Debug, Args)]
struct BillOptions {
    /// Also check the data export and the cost allocation tags, in the account that pays.
    #[arg(long)]
    billing: bool,
    /// The AWS profile of the account that pays. Default: the gateway's own credentials.
    #[arg(long, value_name = "NAME", requires = "billing")]
    profile: Option<String>,
    /// Activate the mapped tags that AWS lists as inactive. Asks first on a terminal.
    #[arg(long, requires = "billing")]
    activate: bool,
    /// Do not ask before --activate.
    #[arg(long, requires = "activate")]
    yes: bool,
}

fn model(text: &str) -> Result<ModelId, String> {
    ModelId::parse(text).map_err(|error| error.to_string())
}

pub(super) fn run(arguments: &Doctor) -> ExitCode {
    if let Some(file) = arguments.report.as_ref().filter(|file| file.exists()) {
        eprintln!("error: {} exists, and doctor overwrites no file; name a new one", file.display());
        return ExitCode::from(EXIT_USAGE);
    }
    let mut shown = Shown { json: arguments.json, colour: style::stdout_has_colour(), ..Shown::default() };
    let (check, config) = doctor::configuration(&arguments.config.config);
    shown.note(check);
    let mut findings = Findings::default();
    match config {
        None => shown.note(Check::skip("all other checks", "not tried: they need a valid configuration")),
        Some(config) => {
            let plan = match plan(arguments, &config) {
                Ok(plan) => plan,
                Err(fault) => {
                    eprintln!("error: {fault}");
                    return ExitCode::from(EXIT_USAGE);
                }
            };
            match tokio::runtime::Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => {
                    runtime.block_on(async {
                        findings = doctor::examine(&config, &plan, &mut |check| shown.note(check)).await;
                        if arguments.bill.billing {
                            bill(&arguments.bill, &config, &mut findings, &mut shown).await;
                        }
                    });
                }
                Err(error) => {
                    eprintln!("error: cannot start the async runtime: {error}");
                    return ExitCode::FAILURE;
                }
            }
        }
    }
    let printed = shown.end();
    if let Some(file) = &arguments.report
        && let Err(error) = write_new(file, &findings.markdown())
    {
        eprintln!("error: {} cannot be written: {error}", file.display());
        return ExitCode::FAILURE;
    }
    let failed = shown.checks.iter().any(|check| check.status == Status::Fail);
    if failed { ExitCode::FAILURE } else { printed }
}

/// The checks of the account that pays, and the activation of its tags.
async fn bill(arguments: &BillOptions, config: &Config, findings: &mut Findings, shown: &mut Shown) {
    let bill = match Bill::open(config, arguments.profile.as_deref()).await {
        Ok(bill) => bill,
        Err(check) => return shown.note(check),
    };
    if arguments.activate {
        match bill.inactive().await {
            Err(check) => return shown.note(check),
            Ok(keys) if keys.is_empty() => {
                shown.note(Check::skip("activation", "AWS lists no mapped tag as inactive"));
            }
            Ok(keys) if arguments.yes || agreed(&keys) => {
                bill.activate(&keys).await.into_iter().for_each(|check| shown.note(check));
            }
            Ok(keys) => shown.note(Check::skip(
                "activation",
                format!("not done: you did not agree to activate {}; pass --yes", keys.join(", ")),
            )),
        }
    }
    bill.check(findings).await.into_iter().for_each(|check| shown.note(check));
}

/// Asks on a terminal. Without one, the answer is no.
fn agreed(keys: &[String]) -> bool {
    if !std::io::stdin().is_terminal() {
        return false;
    }
    eprint!("Activate the cost allocation tags {}? [y/N] ", keys.join(", "));
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer).is_ok_and(|_| answer.trim().eq_ignore_ascii_case("y"))
}

fn plan(arguments: &Doctor, config: &Config) -> Result<Plan, String> {
    let mut samples = Vec::new();
    for file in &arguments.token {
        let token = read_file(file)?.trim().to_owned();
        samples.push(Sample::Token { file: name(file), token });
    }
    for file in &arguments.claims {
        let claims = explain::read_claims(&read_file(file)?)
            .map_err(|fault| format!("{}: the claims are not a JSON object: {fault}", file.display()))?;
        let issuer = claims::issuer(&claims, arguments.issuer.as_deref(), "--issuer", config)
            .map_err(|fault| format!("{}: {fault}", file.display()))?;
        samples.push(Sample::Claims { file: name(file), issuer: Arc::clone(&issuer.name), claims });
    }
    Ok(Plan { samples, models: arguments.model.clone(), invoke: arguments.invoke.clone() })
}

fn name(file: &Path) -> String {
    if file == Path::new("-") { "standard input".to_owned() } else { file.display().to_string() }
}

/// Writes a file that does not exist yet.
fn write_new(file: &Path, text: &str) -> std::io::Result<()> {
    OpenOptions::new().write(true).create_new(true).open(file)?.write_all(text.as_bytes())
}

/// The checks so far. As text, each is printed when it is done.
#[derive(Default)]
struct Shown {
    json: bool,
    colour: bool,
    checks: Vec<Check>,
    /// The reader of the output has closed it.
    unread: bool,
}

impl Shown {
    fn note(&mut self, check: Check) {
        if !self.json {
            let printed = print(&text::of(&check, self.colour));
            self.unread |= printed != ExitCode::SUCCESS;
        }
        self.checks.push(check);
    }

    /// Prints the rest.
    fn end(&self) -> ExitCode {
        if self.json {
            let checks: Vec<_> = self.checks.iter().map(object).collect();
            return print(&format!("{:#}\n", json!({ "checks": checks })));
        }
        let printed = print(&text::summary(&self.checks));
        if self.unread { ExitCode::FAILURE } else { printed }
    }
}

fn object(check: &Check) -> serde_json::Value {
    json!({
        "name": check.name,
        "status": check.status.as_str(),
        "message": check.message,
        "fix": check.fix,
    })
}
