//! The command line: the arguments of each command, and its exit codes.

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::{config, version};

mod admin;
mod age;
mod call;
mod case;
mod check;
mod claims;
mod completions;
mod credentials;
mod doctor;
mod explain;
mod iam;
mod init;
mod man;
mod principal;
mod probe;
mod problems;
mod replicas;
mod revocations;
mod revoke;
mod serve;
mod sessions;
mod table;
mod why;

/// The name of the program.
const NAME: &str = "bedrock-gateway";
/// The most columns of help texts, which `clap` wraps.
const COLUMNS: usize = 80;

/// The arguments are invalid; `clap` uses the same code.
const EXIT_USAGE: u8 = 2;
/// `serve` rejected its configuration (`EX_CONFIG` of sysexits.h).
const EXIT_CONFIG: u8 = 78;

/// Signs every Amazon Bedrock call as the person who made it, so that the bill names them.
#[derive(Debug, Parser)]
#[command(
    version = version::VERSION_AND_COMMIT,
    about,
    max_term_width = COLUMNS,
    after_help = "Examples:
  bedrock-gateway init
  bedrock-gateway check --config config/gateway.toml
  bedrock-gateway explain --config config/gateway.toml --token-file token.jwt
  bedrock-gateway serve --config config/gateway.toml

Exit codes: 0 success, also after a drain; 1 a problem was found, or a failure at run time; 2 invalid arguments; 78 `serve` rejected the configuration."
)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Write a first configuration, from a starting point for your identity provider.
    ///
    /// On a terminal the command asks for what no flag says. With a sample token, or its claims, it proposes the
    /// mapping and shows what the sample becomes. It never overwrites a file, and sends nothing over the network.
    #[command(after_help = "Examples:
  bedrock-gateway init
  bedrock-gateway init --token-file token.jwt
  bedrock-gateway init --issuer okta --account 123456789012 \\
    --issuer-url https://acme.okta.com/oauth2/default \\
    --region eu-central-1 --tag team=department --out gateway.toml
  bedrock-gateway init --issuer github-actions --owner 12345678 \\
    --account 123456789012 --region us-east-1 --model 'us.anthropic.*'
  bedrock-gateway init --claims alice.json --account 123456789012 \\
    --region us-east-1 --role BedrockUser \\
    --role \"BedrockMl='bedrock-ml' in claims.groups\"

Exit codes: 0 written; 1 not written, for example because the file exists; 2 flags are missing or wrong, or the sample cannot be read.")]
    Init(Box<init::Init>),
    /// Serve callers until SIGTERM or Ctrl-C, then drain; a second signal stops at once.
    ///
    /// The gateway reloads its files when they change, and on SIGHUP. A file that it rejects changes nothing.
    #[command(after_help = "Example:
  AWS_REGION=us-east-1 bedrock-gateway serve \\
    --config /etc/bedrock-gateway/gateway.toml")]
    Serve(ConfigFile),
    /// Check a configuration and the files that it names, and report every problem at once.
    ///
    /// Nothing is sent over the network without --online.
    #[command(after_help = "Example:
  bedrock-gateway check --config gateway.toml &&
    kubectl rollout restart deployment/bedrock-gateway
  bedrock-gateway check --config gateway.toml --strict --json |
    jq -r '.problems[].message'
  bedrock-gateway check gateway.toml --online
  bedrock-gateway check gateway.toml --skip-files --cases cases/
  bedrock-gateway check gateway.toml --skip-files --deny-file deny.toml

Exit codes: 0 valid; 1 invalid, or with --strict a warning; 2 invalid arguments.")]
    Check(check::Check),
    /// Try everything that must be true outside the configuration, and say how to fix what is not.
    ///
    /// In this order: the configuration, the issuers' keys, the clock, the gateway's own credentials, then each role that a
    /// given caller gets: a session from STS in the caller's name, Bedrock in each region, and the models. Nothing is
    /// changed. `CloudTrail` shows the sessions.
    #[command(after_help = "Examples:
  bedrock-gateway doctor --config gateway.toml --token alice.jwt
  bedrock-gateway doctor -c gateway.toml --claims alice.json --claims ci.json
  bedrock-gateway doctor -c gateway.toml --claims alice.json \\
    --invoke us.anthropic.claude-sonnet-4-6-v1:0
  bedrock-gateway doctor -c gateway.toml --billing --profile payer --activate
  bedrock-gateway doctor -c gateway.toml --claims alice.json --json |
    jq -r '.checks[] | select(.status == \"fail\") | .fix'

Exit codes: 0 no check failed; 1 at least one failed; 2 invalid arguments.")]
    Doctor(doctor::Doctor),
    /// Show what a token becomes, and why: issuer, requirements, role, session name, tags, bill.
    ///
    /// The command fetches the signing keys of the token's issuer. It sends nothing to AWS and does not print the
    /// token.
    #[command(after_help = "Examples:
  bedrock-gateway explain --config gateway.toml --token-file token.jwt
  okta-token | bedrock-gateway explain -c gateway.toml --token-file - --json |
    jq -r .principal
  bedrock-gateway explain --config gateway.toml \\
    --claims alice.json --header x-project=apollo --save cases/alice.json
  bedrock-gateway explain --config gateway.toml --token-file token.jwt \\
    --operation converse --model anthropic.claude-sonnet-4-6-v1:0

Exit codes: 0 the gateway would accept it; 1 it would refuse it, or the configuration is invalid; 2 invalid arguments.")]
    Explain(explain::Explain),
    /// Print the IAM policies for exactly this configuration: roles, trust, permissions, guards, and the steps by hand.
    ///
    /// The policies allow what the configuration allows, and nothing else. Nothing is sent to AWS. docs/IAM.md says what
    /// each file is for, and in which order to apply them.
    #[command(after_help = "Examples:
  bedrock-gateway iam -c gateway.toml --runs-on pod-identity --out iam
  bedrock-gateway iam -c gateway.toml --runs-on irsa \\
    --oidc-provider oidc.eks.us-east-1.amazonaws.com/id/EXAMPLE \\
    --service-account bedrock:bedrock-gateway --format terraform --out iam
  bedrock-gateway iam -c gateway.toml --out iam \\
    --break-glass arn:aws:iam::123456789012:role/BreakGlass
  bedrock-gateway iam -c gateway.toml |
    jq '.[].\"BedrockUser-trust.json\"'

Exit codes: 0 written or printed; 1 the configuration is invalid, or nothing can be generated for it; 2 invalid arguments.")]
    Iam(iam::Iam),
    /// Print a token in the shape of AWS credentials, for a profile's `credential_process`.
    ///
    /// With it, every AWS SDK that can sign uses the gateway, and runs the command again before the token
    /// expires. This command does not verify the token. Its output contains the token, so treat it as a secret.
    #[command(after_help = "Example, in ~/.aws/config:
  [profile bedrock]
  region = us-east-1
  credential_process = bedrock-gateway credentials --token-file /run/token.jwt
  services = gateway

  [services gateway]
  bedrock_runtime =
    endpoint_url = https://gateway.acme.internal

Or with a command that prints the token:
  credential_process = bedrock-gateway credentials --token-command 'okta-token'")]
    Credentials(credentials::Credentials),
    /// Revoke a caller's access at each replica that `--admin` names, from the next request on.
    ///
    /// The revocation ends at `--until`, or when the replica restarts. To revoke permanently, add an entry to the
    /// deny file (`[revoke]` of the configuration). Pass a past `--until` to undo an earlier revocation.
    #[command(after_help = "Examples:
  bedrock-gateway revoke --token-file admin-token --cut-streams \\
    --admin http://10.0.1.7:9091 --admin http://10.0.2.9:9091 --principal \\
    arn:aws:sts::123456789012:assumed-role/BedrockUser/alice@acme.org
  bedrock-gateway revoke --admin http://127.0.0.1:9091 \\
    --issuer okta --subject 00u1abc --until 2026-12-01T18:00:00Z
  bedrock-gateway revoke --admin http://127.0.0.1:9091 \\
    --expression \"'contractors' in claims.groups\"
  bedrock-gateway revoke --list --token-file admin-token \\
    --admin http://10.0.1.7:9091 --admin http://10.0.2.9:9091

Exit codes: 0 every replica accepted it; 1 at least one did not; 2 invalid arguments.")]
    Revoke(revoke::Revoke),
    /// Tell the story of one request: who, which rule decided, the session, Bedrock's answer, and what to do next.
    ///
    /// The caller has the request id: every error message of the gateway ends with it. The story comes from the admin
    /// port of the replicas, which have their last 10,000 requests, or from a file of the access log.
    #[command(after_help = "Examples:
  bedrock-gateway why 0ad596fd-64a6-4665-9002-b4023b6dfc95 \\
    --admin http://10.0.1.7:9091 --token-file admin-token
  kubectl logs POD | bedrock-gateway why 0ad596fd --log -

Exit codes: 0 the request was found; 1 it was not found, or no replica answered; 2 invalid arguments.")]
    Why(why::Why),
    /// List the cached sessions of each replica that `--admin` names: who has one, and until when.
    ///
    /// Each line is a principal. A wide terminal, and output that is not a terminal, shows more columns.
    #[command(after_help = "Examples:
  bedrock-gateway sessions --admin http://127.0.0.1:9091
  bedrock-gateway sessions --token-file admin-token --principal alice \\
    --admin http://10.0.1.7:9091 --admin http://10.0.2.9:9091
  bedrock-gateway sessions --admin http://127.0.0.1:9091 --json \\
    | jq '.replicas[].sessions[].principal'

Exit codes: 0 every replica answered; 1 at least one did not; 2 invalid arguments.")]
    Sessions(sessions::Sessions),
    /// Ask the probe port of a running gateway whether it is ready, for a health check.
    ///
    /// The image has no shell and no curl, so the binary asks itself. The problems that `/readyz` lists are printed.
    #[command(after_help = "Examples:
  bedrock-gateway probe --config /etc/bedrock-gateway/gateway.toml
  bedrock-gateway probe --address 127.0.0.1:9090 --live

Exit codes: 0 ready (with --live: it answers); 1 not ready, or no answer; 2 invalid arguments.")]
    Probe(probe::Probe),
    /// Print the JSON Schema of the configuration, or the document of it.
    #[command(after_help = "Examples:
  bedrock-gateway schema > gateway.schema.json
  bedrock-gateway schema --format markdown > CONFIGURATION.md

Editors find it by a first line in the configuration:
  #:schema ./gateway.schema.json")]
    Schema(Schema),
    /// Print the completions of a shell, which the shell reads from a file.
    #[command(after_help = "Examples:
  bedrock-gateway completions bash > \\
    ~/.local/share/bash-completion/completions/bedrock-gateway
  bedrock-gateway completions zsh > \"${fpath[1]}/_bedrock-gateway\"
  bedrock-gateway completions fish > \\
    ~/.config/fish/completions/bedrock-gateway.fish")]
    Completions(completions::Completions),
    /// Print the manual page, or write one for each command.
    #[command(after_help = "Examples:
  bedrock-gateway man | man -l -
  bedrock-gateway man --out /usr/local/share/man/man1")]
    Man(man::ManPages),
}

#[derive(Debug, Args)]
struct Schema {
    /// JSON Schema for editors and programs, or Markdown for readers.
    #[arg(long, value_enum, default_value_t = SchemaFormat::Json)]
    format: SchemaFormat,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum SchemaFormat {
    Json,
    Markdown,
}

#[derive(Debug, Args)]
struct ConfigFile {
    /// The configuration file, or - for standard input. Relative paths in it count from its folder.
    #[arg(short, long, value_name = "FILE", default_value = config::DEFAULT_PATH)]
    config: PathBuf,
}

/// Runs the command that `arguments` name.
pub fn run(arguments: &Arguments) -> ExitCode {
    match &arguments.command {
        Command::Init(arguments) => init::run(arguments),
        Command::Serve(file) => serve::run(&file.config),
        Command::Check(arguments) => check::run(arguments),
        Command::Doctor(arguments) => doctor::run(arguments),
        Command::Explain(arguments) => explain::run(arguments),
        Command::Iam(arguments) => iam::run(arguments),
        Command::Credentials(arguments) => credentials::run(arguments),
        Command::Revoke(arguments) => revoke::run(arguments),
        Command::Why(arguments) => why::run(arguments),
        Command::Sessions(arguments) => sessions::run(arguments),
        Command::Schema(Schema { format: SchemaFormat::Json }) => print(&config::json_schema()),
        Command::Schema(Schema { format: SchemaFormat::Markdown }) => print(&config::schema_document()),
        Command::Completions(arguments) => completions::run(arguments),
        Command::Man(arguments) => man::run(arguments),
        Command::Probe(arguments) => probe::run(arguments),
    }
}

/// Writes to standard output. Fails if the reader has closed the pipe.
fn print(text: &str) -> ExitCode {
    print_bytes(text.as_bytes())
}

/// [`print()`] of text that a library made as bytes.
fn print_bytes(text: &[u8]) -> ExitCode {
    let mut out = std::io::stdout().lock();
    let written = out.write_all(text).and_then(|()| out.flush());
    if written.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Bytes of a file that are read at most. A token and its claims are far smaller.
const LARGEST_FILE: u64 = 1024 * 1024;

/// The text of a file, or of standard input if `path` is `-`.
///
/// # Errors
/// When it cannot be read: the path and the cause.
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

#[cfg(test)]
mod tests;
