//! `check`: every problem of a configuration, or that it is good.

use std::path::Path;
use std::process::ExitCode;

use crate::config;

pub(super) fn run(path: &Path) -> ExitCode {
    match config::load(path) {
        Ok(config) => {
            for warning in &config.warnings {
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
