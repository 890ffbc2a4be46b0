//! The command line: what each command takes, and its exit code.

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::config;

mod check;
mod credentials;
mod explain;
mod revoke;
mod serve;

/// A command line that makes no sense, as `clap` has it.
const EXIT_USAGE: u8 = 2;
/// `serve` refused its configuration (`EX_CONFIG` of sysexits.h).
const EXIT_CONFIG: u8 = 78;

/// Signs every Amazon Bedrock call as the person who made it, so that the bill names them.
#[derive(Debug, Parser)]
#[command(
    version,
    about,
    after_help = "Examples:
  bedrock-gateway check --config config/gateway.toml
  bedrock-gateway explain --config config/gateway.toml --token token.jwt
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
    ///
    /// Its files are read again when they change, and on SIGHUP; what is refused changes nothing.
    #[command(after_help = "Example:
  AWS_REGION=us-east-1 bedrock-gateway serve --config /etc/bedrock-gateway/gateway.toml")]
    Serve(ConfigFile),
    /// Check a configuration and report every problem at once. Nothing is sent anywhere.
    #[command(after_help = "Example:
  bedrock-gateway check --config gateway.toml && kubectl rollout restart deployment/bedrock-gateway")]
    Check(ConfigFile),
    /// Show what a token becomes, and why: issuer, requirements, role, session name, tags, bill.
    ///
    /// Keys are fetched from the token's issuer; nothing is sent to AWS, and the token is not printed.
    #[command(after_help = "Examples:
  bedrock-gateway explain --config gateway.toml --token token.jwt
  okta-token | bedrock-gateway explain --config gateway.toml --token - --json | jq -r .principal
  bedrock-gateway explain --config gateway.toml --claims alice.json --issuer okta --header x-project=apollo

Exit codes: 0 it becomes an identity; 1 it is refused, or the configuration is; 2 usage.")]
    Explain(explain::Explain),
    /// Print a token in the shape of AWS credentials, for a profile's `credential_process`.
    ///
    /// With it every AWS SDK that can sign uses the gateway, and asks anew before the token expires. The token
    /// is not verified here; it stands in the output, as credentials do.
    #[command(after_help = "Example, in ~/.aws/config:
  [profile bedrock]
  region = us-east-1
  credential_process = bedrock-gateway credentials --token-file /var/run/secrets/bedrock/token
  services = gateway

  [services gateway]
  bedrock_runtime =
    endpoint_url = https://gateway.acme.internal

Or with a command that prints the token:
  credential_process = bedrock-gateway credentials --token-command 'gcloud auth print-identity-token'")]
    Credentials(credentials::Credentials),
    /// Cut somebody off, at every replica that is named, from the next request on.
    ///
    /// It lasts until the time given or until the replica restarts: for good is what stands in the deny file
    /// (`[revoke]` of the configuration). A time that is over takes back what was told before.
    #[command(after_help = "Examples:
  bedrock-gateway revoke --admin http://10.0.1.7:9091 --admin http://10.0.2.9:9091 --token-file admin-token \\
    --principal arn:aws:sts::123456789012:assumed-role/BedrockUser/alice@acme.org --cut-streams
  bedrock-gateway revoke --admin http://127.0.0.1:9091 --issuer okta --subject 00u1abc --until 2026-12-01T18:00:00Z
  bedrock-gateway revoke --admin http://127.0.0.1:9091 --expression \"'contractors' in claims.groups\"

Exit codes: 0 every replica took it; 1 one did not; 2 usage.")]
    Revoke(revoke::Revoke),
    /// Print the JSON Schema of the configuration.
    #[command(after_help = "Example:
  bedrock-gateway schema > gateway.schema.json

Editors find it by a first line in the configuration:
  #:schema ./gateway.schema.json")]
    Schema,
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
        Command::Explain(arguments) => explain::run(arguments),
        Command::Credentials(arguments) => credentials::run(arguments),
        Command::Revoke(arguments) => revoke::run(arguments),
        Command::Schema => print(&config::json_schema()),
    }
}

/// Writes to standard output; whoever reads it may have gone.
fn print(text: &str) -> ExitCode {
    let mut out = std::io::stdout().lock();
    let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    if written.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Larger files are no token and no claims.
const LARGEST_FILE: u64 = 1024 * 1024;

/// The text of a file, or of standard input where it is `-`.
///
/// # Errors
/// Says what cannot be read, and why.
fn read_file(path: &Path) -> Result<String, String> {
    let mut text = String::new();
    let read = if path == Path::new("-") {
        std::io::stdin().lock().take(LARGEST_FILE).read_to_string(&mut text)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(LARGEST_FILE).read_to_string(&mut text))
    };
    match read {
        Ok(_) => Ok(text),
        Err(error) => Err(format!("{} cannot be read: {error}", path.display())),
    }
}
