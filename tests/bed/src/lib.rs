//! The gateway before the stand-in for AWS, on loopback: the ground that integration tests, the abuse and soak
//! suites, fuzz targets, benches and the quickstart stand on.
//!
//! - [`Setup`] says how a gateway's configuration differs from the ordinary one;
//! - [`Bed`] has the stand-in, certificates and configuration files, and starts gateways;
//! - [`Process`] is a child process that ends with its value;
//! - [`Terminal`] shows what a program writes to a terminal, and with [`Dialog`] a test types on one;
//! - [`until`] waits for something to come true.
//!
//! Everything here panics where it fails: it is for tests.
//!
//! ```no_run
//! # #[tokio::main] async fn main() {
//! use bedrock_bed::{Bed, Setup, until};
//! use bedrock_standin::idp::Claims;
//!
//! let bed = Bed::start();
//! let file = bed.write(&Setup { listen: "max_body = \"1KiB\"", ..Setup::default() });
//! let gateway = bed.serve(&file, &bedrock_bed::memory_log()).await;
//! let token = bed.standin.idp.mint(Claims::of("alice").claim("email", "alice@acme.org"));
//! // … call gateway.addresses().http with the token …
//! until("the call", async || bed.standin.bill.call_count() == 1).await;
//! # drop(token); }
//! ```

mod client;
mod process;
mod setup;
mod terminal;
mod tls;
mod until;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_bedrockruntime::config::retry::RetryConfig;
use aws_sdk_bedrockruntime::config::{BehaviorVersion, Builder, Region, SharedHttpClient};
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use bedrock_gateway::config::File;
use bedrock_gateway::gateway::{GatewayHandle, Overrides};
use bedrock_gateway::proxy::Proxy;
use bedrock_gateway::telemetry::access::AccessLog;
use bedrock_standin::{Options, Standin};
use tempfile::TempDir;

pub use bedrock_gateway::gateway::Addresses;
pub use client::send;
pub use process::{Process, memory};
pub use rustix::process::Signal;
pub use setup::{ANY_PORT, Setup};
pub use terminal::{Dialog, Terminal};
pub use tls::{serving, trusting};
pub use until::{Awaited, until, within};

/// How often gateways in this process look at their files: ten times as often as others, for tests that change them.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// A stand-in for AWS and a folder for the files of gateways. The stand-in's CA is in `ca.pem`, a certificate for
/// gateways in `tls.crt` and its key in `tls.key`.
#[derive(Debug)]
pub struct Bed {
    pub standin: Standin,
    folder: TempDir,
}

impl Bed {
    /// A bed with the ordinary stand-in. Must be called within a tokio runtime.
    pub fn start() -> Self {
        Self::around(Standin::start(Options::default()))
    }

    /// A bed with this stand-in.
    pub fn around(standin: Standin) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (certificate, key) = standin.server_certificate(&["localhost", "127.0.0.1"]);
        for (name, text) in [("ca.pem", standin.ca_pem()), ("tls.crt", certificate), ("tls.key", key)] {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        Self { standin, folder }
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The configuration of a gateway before this stand-in.
    pub fn text(&self, setup: &Setup<'_>) -> String {
        setup.text_on(Some(self))
    }

    /// Writes the configuration to `gateway.toml`, and the deny file beside it if there is one.
    pub fn write(&self, setup: &Setup<'_>) -> PathBuf {
        self.write_as("gateway.toml", setup)
    }

    /// [`Bed::write`] to a file of this name, for several gateways on one bed.
    pub fn write_as(&self, name: &str, setup: &Setup<'_>) -> PathBuf {
        if let Some(entries) = setup.deny {
            std::fs::write(self.folder().join("deny.toml"), entries).unwrap();
        }
        let file = self.folder().join(name);
        std::fs::write(&file, self.text(setup)).unwrap();
        file
    }

    /// Starts a gateway in this process.
    pub async fn serve(&self, file: &Path, log: &Arc<AccessLog>) -> GatewayHandle {
        let file = File::read(file).unwrap();
        let config = file.parse().unwrap_or_else(|problems| panic!("{problems}"));
        let credentials = Some(SharedCredentialsProvider::new(self.credentials()));
        let overrides = Overrides {
            log: Arc::clone(log),
            process_log: None,
            credentials,
            file: Some(file),
            look_every: Some(LOOK_EVERY),
            proxy: Proxy::default(),
            polls: None,
        };
        GatewayHandle::start_with(config, overrides).await.unwrap()
    }

    /// The gateway's own, for the stand-in's STS.
    pub fn credentials(&self) -> Credentials {
        let keys = &self.standin.credentials;
        let (id, secret) = (keys.gateway_access_key_id(), keys.gateway_secret_access_key());
        Credentials::new(id, secret, None, None, "bed")
    }

    /// Completes a command that names the binary: it serves by this file, with the gateway's own credentials.
    pub fn complete<'c>(&self, command: &'c mut Command, file: &Path) -> &'c mut Command {
        self.lend_credentials(command.args(["serve", "--config"]).arg(file).stdin(Stdio::null()))
    }

    /// Gives a command the gateway's own credentials, and no others.
    pub fn lend_credentials<'c>(&self, command: &'c mut Command) -> &'c mut Command {
        let own = self.credentials();
        command
            .env("AWS_ACCESS_KEY_ID", own.access_key_id())
            .env("AWS_SECRET_ACCESS_KEY", own.secret_access_key())
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env_remove("AWS_SESSION_TOKEN")
    }

    /// HTTPS for the AWS SDK that trusts the stand-in's CA.
    pub fn sdk_connections(&self) -> SharedHttpClient {
        let trust = TrustStore::empty().with_pem_certificate(self.standin.ca_pem().into_bytes());
        aws_smithy_http_client::Builder::new()
            .tls_provider(Provider::Rustls(CryptoMode::AwsLc))
            .tls_context(TlsContext::builder().with_trust_store(trust).build().unwrap())
            .build_https()
    }
}

/// The AWS SDK's settings for a gateway at `endpoint`, without retries and without credentials.
pub fn sdk(endpoint: impl Into<String>, connections: SharedHttpClient) -> Builder {
    Builder::new()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .http_client(connections)
        .region(Region::new("us-east-1"))
        .endpoint_url(endpoint)
        .retry_config(RetryConfig::disabled())
}

/// An access log that is kept in memory.
pub fn memory_log() -> Arc<AccessLog> {
    Arc::new(AccessLog::memory())
}

/// Addresses whose ports were free a moment ago.
pub fn free_addresses<const N: usize>() -> [SocketAddr; N] {
    let listeners = [(); N].map(|()| std::net::TcpListener::bind(ANY_PORT).unwrap());
    listeners.map(|listener| listener.local_addr().unwrap())
}
