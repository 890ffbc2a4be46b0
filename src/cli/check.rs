//! `check`: reports every problem of a configuration, or that it is valid.

use std::path::Path;
use std::process::ExitCode;

use crate::config::{self, Config, ConfigError, Diagnostic, counted};

pub(super) fn run(path: &Path) -> ExitCode {
    let checked = config::load(path).and_then(|config| Ok((deny_file(&config)?, config)));
    match checked {
        Ok((warnings_of_deny_file, config)) => {
            for warning in config.warnings.iter().chain(&warnings_of_deny_file) {
                eprintln!("warning: {warning}");
            }
            let summary = [
                counted(config.issuers.len(), "issuer"),
                counted(config.mapping.roles.len(), "role"),
                counted(config.warnings.len() + warnings_of_deny_file.len(), "warning"),
            ];
            println!("{} is valid ({})", path.display(), summary.join(", "));
            ExitCode::SUCCESS
        }
        Err(problems) => {
            eprintln!("{problems}");
            ExitCode::FAILURE
        }
    }
}

/// The warnings about the deny file, if the configuration names one.
fn deny_file(config: &Config) -> Result<Vec<Diagnostic>, ConfigError> {
    let Some(path) = &config.revoke else { return Ok(Vec::new()) };
    let issuers: Vec<_> = config.issuers.iter().map(|issuer| issuer.name.clone()).collect();
    config::read_deny_file(path, &issuers).map(|(_, warnings)| warnings)
}
