//! `check`: reports every problem of a configuration, or that it is valid.

use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use crate::cli::{ConfigFile, print, problems};
use crate::config::{self, Config, ConfigError, Diagnostic, Severity, counted};
use crate::preflight;

#[derive(Debug, Args)]
pub(super) struct Check {
    #[command(flatten)]
    config: ConfigFile,
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
    let path = &arguments.config.config;
    let checked = Checked::of(config::load(path));
    let name = path.display().to_string();
    let strict = arguments.strict && !checked.problems.is_empty();
    let passed = checked.sizes.is_some() && !strict;
    let printed = if arguments.json {
        print(&format!("{:#}\n", checked.json(&name)))
    } else {
        match &checked.sizes {
            Some(sizes) if passed => {
                problems::print(&checked.problems);
                print(&format!("{name} is valid ({})\n", sizes.with(&checked.problems)))
            }
            _ => {
                problems::print_rejected(path, &checked.problems);
                ExitCode::FAILURE
            }
        }
    };
    if passed { printed } else { ExitCode::FAILURE }
}

impl Checked {
    /// Also opens the files that the configuration names.
    fn of(loaded: Result<Config, ConfigError>) -> Self {
        let config = match loaded {
            Ok(config) => config,
            Err(ConfigError(problems)) => return Self { sizes: None, problems },
        };
        let sizes = Sizes { issuers: config.issuers.len(), roles: config.mapping.roles.len() };
        let (sizes, others) = match preflight::check(&config) {
            Ok(warnings) => (Some(sizes), warnings),
            Err(ConfigError(problems)) => (None, problems),
        };
        Self { sizes, problems: config.warnings.into_iter().chain(others).collect() }
    }

    fn json(&self, file: &str) -> serde_json::Value {
        json!({
            "file": file,
            "valid": self.sizes.is_some(),
            "errors": problems::number(&self.problems, Severity::Error),
            "warnings": problems::number(&self.problems, Severity::Warning),
            "issuers": self.sizes.as_ref().map(|sizes| sizes.issuers),
            "roles": self.sizes.as_ref().map(|sizes| sizes.roles),
            "problems": problems::json(&self.problems),
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
