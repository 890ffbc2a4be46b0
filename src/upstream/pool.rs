//! Connections to Bedrock: pooled HTTP/1.1 over TLS, with the time-outs that NAT gateways and load
//! balancers force on anyone who keeps connections.
//!
//! HTTP/1.1, because the client's pool keeps one HTTP/2 connection a host, on which long streams
//! starve the rest.

use std::future::Future;
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::Uri;
use http_body_util::Full;
use hyper_rustls::{HttpsConnector, MaybeHttpsStream};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use tokio::net::TcpStream;
use tower_service::Service;

/// Longest wait for a connection, TLS included.
pub const CONNECT: Duration = Duration::from_secs(3);
/// NAT gateways and network load balancers forget a silent connection after 350 s; this keeps it known.
const KEEP_ALIVE: Duration = Duration::from_secs(45);
/// Idle connections are closed well before anything between here and Bedrock forgets them.
const POOL_IDLE: Duration = Duration::from_secs(30);

/// Why no pool could be made.
#[derive(Debug, thiserror::Error)]
pub enum PoolError {
    #[error("the CA file {path} cannot be read: {detail}")]
    Ca { path: String, detail: String },
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
    #[error("no CA certificates are to be found on this machine; install its CA bundle or set SSL_CERT_FILE")]
    NoRoots,
}

/// A client that trusts the machine's CAs and those of the files in `extra`.
///
/// # Errors
/// When a CA file is unreadable, or there is no CA at all.
pub fn client(extra: &[&Path]) -> Result<Client<Connector, Full<Bytes>>, PoolError> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    for path in extra {
        let failed = |detail: String| PoolError::Ca { path: path.display().to_string(), detail };
        let certificates = CertificateDer::pem_file_iter(path).map_err(|error| failed(error.to_string()))?;
        for certificate in certificates {
            let certificate = certificate.map_err(|error| failed(error.to_string()))?;
            roots.add(certificate).map_err(|error| failed(error.to_string()))?;
        }
    }
    if roots.is_empty() {
        return Err(PoolError::NoRoots);
    }
    let tls =
        rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(CONNECT));
    tcp.set_keepalive(Some(KEEP_ALIVE));
    let https = hyper_rustls::HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_or_http()
        .enable_http1()
        .wrap_connector(tcp);
    Ok(Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(POOL_IDLE)
        .retry_canceled_requests(true)
        .build(Connector(https)))
}

/// The HTTPS connector with one deadline over TCP and TLS together.
#[derive(Debug, Clone)]
pub struct Connector(HttpsConnector<HttpConnector>);

impl Service<Uri> for Connector {
    type Response = MaybeHttpsStream<TokioIo<TcpStream>>;
    type Error = Box<dyn std::error::Error + Send + Sync>;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connecting = self.0.call(uri);
        Box::pin(async move {
            match tokio::time::timeout(CONNECT, connecting).await {
                Ok(connected) => connected,
                Err(_elapsed) => {
                    Err(io::Error::new(io::ErrorKind::TimedOut, "no TLS connection within 3 s").into())
                }
            }
        })
    }
}
