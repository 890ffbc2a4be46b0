//! `schema`: the JSON Schema of the configuration.

use std::process::ExitCode;

use crate::cli::print;
use crate::config;

pub(super) fn run() -> ExitCode {
    print(&config::json_schema())
}
