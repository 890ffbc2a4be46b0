//! The command line: what each command takes, and its exit code.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

mod check;
mod serve;

/// `serve` refused its configuration (`EX_CONFIG` of sysexits.h).
const EXIT_CONFIG: u8 = 78;

/// Signs every Amazon Bedrock call as the person who made it, so that the bill names them.
#[derive(Debug, Parser)]
#[command(
    version,
    about,
    after_help = "Examples:
  bedrock-gateway check --config config/gateway.toml
  bedrock-gateway serve --config config/gateway.toml

Exit codes: 0 fine or drained; 1 a fault was found, or a failure at run time; 2 usage; 78 the configuration was refused."
)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve callers until SIGTERM or Ctrl-C, then drain; a second signal stops at once.
    #[command(after_help = "Example:
  AWS_REGION=us-east-1 bedrock-gateway serve --config /etc/bedrock-gateway/gateway.toml")]
    Serve(ConfigFile),
    /// Check a configuration and report every problem at once. Nothing is sent anywhere.
    #[command(after_help = "Example:
  bedrock-gateway check --config gateway.toml && kubectl rollout restart deployment/bedrock-gateway")]
    Check(ConfigFile),
}

#[derive(Debug, Args)]
struct ConfigFile {
    /// The configuration file.
    #[arg(long, value_name = "FILE", default_value = "config/gateway.toml")]
    config: PathBuf,
}

/// Runs the command that `arguments` name.
pub fn run(arguments: &Arguments) -> ExitCode {
    match &arguments.command {
        Command::Serve(file) => serve::run(&file.config),
        Command::Check(file) => check::run(&file.config),
    }
}
