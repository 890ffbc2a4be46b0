//! `check`: reports every problem of a configuration, or that it is valid.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use crate::cli::{ConfigFile, print, problems};
use crate::config::{self, Config, ConfigError, Diagnostic, Severity, counted};
use crate::preflight;

mod cases;
mod online;

#[derive(Debug, Args)]
pub(super) struct Check {
    #[command(flatten)]
    config: ConfigFile,
    /// The same as --config FILE.
    #[arg(value_name = "FILE", conflicts_with = "config")]
    file: Option<PathBuf>,
    /// Also fetch the signing keys of each issuer and call STS (`GetCallerIdentity`), as the gateway will.
    #[arg(long)]
    online: bool,
    /// Also run the cases in this folder: claims, and what the gateway must make of them.
    #[arg(long, value_name = "DIR", conflicts_with = "json")]
    cases: Option<PathBuf>,
    /// Do not open the files that the configuration names, for a check on another machine.
    #[arg(long)]
    skip_files: bool,
    /// Check this deny file in place of the one that the configuration names, also with --skip-files.
    #[arg(long, value_name = "FILE")]
    deny_file: Option<PathBuf>,
    #[command(flatten)]
    output: Output,
}

/// How problems are reported.
#[derive(Debug, Args)]
struct Output {
    /// Fail also if there are only warnings. For pipelines.
    #[arg(long)]
    strict: bool,
    /// Print one JSON object with every problem (docs/check.schema.json).
    #[arg(long)]
    json: bool,
}

/// The result of a check.
struct Checked {
    /// The parts of the configuration; `None` if it is invalid.
    sizes: Option<Sizes>,
    /// Those of the configuration by line, then those of the files that it names.
    problems: Vec<Diagnostic>,
}

struct Sizes {
    issuers: usize,
    roles: usize,
}

pub(super) fn run(arguments: &Check) -> ExitCode {
    let path = arguments.file.as_ref().unwrap_or(&arguments.config.config);
    let (checked, config) = Checked::of(config::load(path), arguments);
    let name = path.display().to_string();
    let strict = arguments.output.strict && !checked.problems.is_empty();
    let passed = checked.sizes.is_some() && !strict;
    let online = match &config {
        Some(config) if arguments.online && passed => online::run(config),
        _ => Vec::new(),
    };
    let printed = if arguments.output.json {
        print(&format!("{:#}\n", checked.json(&name, &online)))
    } else {
        match &checked.sizes {
            Some(sizes) if passed => {
                problems::print(&checked.problems);
                let lines = online.iter().map(|result| result.line() + "\n").collect::<String>();
                print(&format!("{name} is valid ({})\n{lines}", sizes.with(&checked.problems)))
            }
            _ => {
                problems::print_rejected(&checked.problems);
                if checked.sizes.is_some() {
                    eprintln!("the check fails because of --strict: it allows no warning");
                }
                ExitCode::FAILURE
            }
        }
    };
    let passed = passed && online.iter().all(online::Outcome::passed);
    // The cases of an invalid configuration have no outcome.
    let passed = match (&arguments.cases, &config) {
        (Some(folder), Some(config)) if checked.sizes.is_some() => cases::run(folder, config) && passed,
        _ => passed,
    };
    if passed { printed } else { ExitCode::FAILURE }
}

impl Checked {
    /// Also opens the files that the configuration names, unless they are skipped, and the given deny file.
    fn of(loaded: Result<Config, ConfigError>, arguments: &Check) -> (Self, Option<Config>) {
        let mut config = match loaded {
            Ok(config) => config,
            Err(ConfigError(problems)) => return (Self { sizes: None, problems }, None),
        };
        let sizes = Sizes { issuers: config.issuers.len(), roles: config.mapping.roles.len() };
        let denied = arguments.deny_file.as_ref().map_or(Ok(Vec::new()), |path| {
            config.files.deny_file = None;
            config::read_deny_file(path, &config.issuer_names()).map(|(_entries, warnings)| warnings)
        });
        let opened = if arguments.skip_files { Ok(Vec::new()) } else { preflight::check(&config) };
        let valid = denied.is_ok() && opened.is_ok();
        let others =
            [opened, denied].into_iter().flat_map(|found| found.unwrap_or_else(|ConfigError(all)| all));
        let problems = config.warnings.iter().cloned().chain(others).collect();
        (Self { sizes: valid.then_some(sizes), problems }, Some(config))
    }

    fn json(&self, file: &str, online: &[online::Outcome]) -> serde_json::Value {
        json!({
            "file": file,
            "valid": self.sizes.is_some(),
            "errors": problems::number(&self.problems, Severity::Error),
            "warnings": problems::number(&self.problems, Severity::Warning),
            "issuers": self.sizes.as_ref().map(|sizes| sizes.issuers),
            "roles": self.sizes.as_ref().map(|sizes| sizes.roles),
            "problems": problems::json(&self.problems),
            "online": online.iter().map(online::Outcome::json).collect::<Vec<_>>(),
        })
    }
}

impl Sizes {
    /// For example `3 issuers, 3 roles, 2 warnings`.
    fn with(&self, warnings: &[Diagnostic]) -> String {
        let mut parts = vec![counted(self.issuers, "issuer"), counted(self.roles, "role")];
        if !warnings.is_empty() {
            parts.push(counted(warnings.len(), "warning"));
        }
        parts.join(", ")
    }
}
