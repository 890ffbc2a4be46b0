//! `check`: reports every problem of a configuration, or that it is valid.

use std::path::Path;
use std::process::ExitCode;

use crate::config::{self, counted};
use crate::preflight;

pub(super) fn run(path: &Path) -> ExitCode {
    let checked = config::load(path).and_then(|config| Ok((preflight::check(&config)?, config)));
    match checked {
        Ok((warnings_of_files, config)) => {
            for warning in config.warnings.iter().chain(&warnings_of_files) {
                eprintln!("warning: {warning}");
            }
            let summary = [
                counted(config.issuers.len(), "issuer"),
                counted(config.mapping.roles.len(), "role"),
                counted(config.warnings.len() + warnings_of_files.len(), "warning"),
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
