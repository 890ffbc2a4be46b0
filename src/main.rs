//! The `bedrock-gateway` command.

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    bedrock_gateway::cli::run(&bedrock_gateway::cli::Arguments::parse())
}
