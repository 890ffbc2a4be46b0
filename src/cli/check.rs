//! `check`: every problem of a configuration, or that it is good.

use std::path::Path;
use std::process::ExitCode;

use crate::config::{self, Config, ConfigError, Diagnostic};

pub(super) fn run(path: &Path) -> ExitCode {
    match config::load(path) {
        Ok(config) => {
            let beside = match deny_file(&config) {
                Ok(warnings) => warnings,
                Err(problems) => {
                    eprintln!("{problems}");
                    return ExitCode::FAILURE;
                }
            };
            for warning in config.warnings.iter().chain(&beside) {
                eprintln!("{warning}");
            }
            println!("{}: good", path.display());
            ExitCode::SUCCESS
        }
        Err(problems) => {
            eprintln!("{problems}");
            ExitCode::FAILURE
        }
    }
}

/// What there is to say of the deny file, if there is one.
fn deny_file(config: &Config) -> Result<Vec<Diagnostic>, ConfigError> {
    let Some(path) = &config.revoke else { return Ok(Vec::new()) };
    let issuers: Vec<_> = config.issuers.iter().map(|issuer| issuer.name.clone()).collect();
    config::read_deny_file(path, &issuers).map(|(_, warnings)| warnings)
}
