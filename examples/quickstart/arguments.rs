//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;

/// Show the gateway, some callers and their bill, with no AWS account.
///
/// The gateway is the real one, over TLS. An identity provider, STS and Bedrock are stand-ins on this machine; they
/// verify every signature. Without options it makes a few calls and prints the bill.
#[derive(Debug, Parser)]
#[command(
    name = "quickstart",
    after_help = "\
Examples:
  cargo run --example quickstart
  cargo run --example quickstart -- --serve
  cargo run --example quickstart -- --serve --user bob
  cargo run --example quickstart -- --config config/issuers/okta.toml --claims config/issuers/okta.claims.json"
)]
pub(crate) struct Arguments {
    /// Keep running, and print the variables that clients need. Tokens live for SECONDS, and are renewed in files.
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "3600",
        value_parser = clap::value_parser!(u64).range(2..=86_400))]
    pub(crate) serve: Option<u64>,
    /// The caller whose variables are printed: alice, bob or carol, or the name of a claims file. Default: the first.
    #[arg(long, value_name = "NAME")]
    pub(crate) user: Option<String>,
    /// Serve by your own configuration. Only addresses, certificate, endpoints, signing keys and log are replaced.
    #[arg(long, value_name = "FILE", requires = "claims")]
    pub(crate) config: Option<PathBuf>,
    /// A JSON object with the claims of a caller, as `bedrock-gateway explain --claims` reads it, or a folder of them.
    /// Repeat the option for more callers. `iss` selects the issuer.
    #[arg(long, value_name = "FILE", requires = "config")]
    pub(crate) claims: Vec<PathBuf>,
    /// Start this program for the gateway, as `PROGRAM serve --config FILE`, instead of the gateway of this build.
    #[arg(long, value_name = "PROGRAM", conflicts_with_all = ["serve", "user", "config"])]
    pub(crate) gateway: Option<PathBuf>,
}

impl Arguments {
    /// Whether the quickstart keeps running until the operator stops it.
    pub(crate) fn serves(&self) -> bool {
        self.serve.is_some() || self.config.is_some() || self.user.is_some()
    }

    /// The lifetime of tokens.
    pub(crate) fn lifetime(&self) -> Duration {
        Duration::from_secs(self.serve.unwrap_or(3600))
    }
}
