//! Fetches an issuer's documents over HTTPS, without redirects, and with limits on size and time. It never connects to
//! an address at which a cloud provider offers the credentials of its machines.
//!
//! The gateway has its own client, because the published JWKS clients need another HTTP library, follow redirects, and
//! connect to every address that a name resolves to.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, header};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::{GaiResolver, Name};
use hyper_util::rt::TokioExecutor;
use serde::Deserialize;
use tower_service::Service;
use url::Url;

use crate::auth::issuer::{self, IssuerSettings, KeySource, UrlFault};
use crate::auth::unverified;
use crate::causes;
use crate::proxy::{Proxy, ProxyConnector};
use crate::trust::{self, CaError};

/// Largest document that is accepted, bytes.
const LARGEST: usize = 1024 * 1024;
/// Longest time for a fetch of keys, discovery included.
const DEADLINE: Duration = Duration::from_secs(5);

/// The HTTPS client for one issuer.
#[derive(Debug)]
pub(super) struct Fetcher {
    client: Client<HttpsConnector<ProxyConnector<PublicResolver>>, Empty<Bytes>>,
    proxy: Proxy,
}

/// Why an issuer cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum IssuerSetupError {
    #[error("issuer {issuer}: {cause}")]
    Ca { issuer: String, cause: CaError },
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
}

/// Why keys could not be fetched. The texts name addresses and, of a document, only the issuer that it names (at most 256
/// characters): `/readyz` shows them to clients without authentication.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    #[error("{url} is not allowed: {fault}")]
    Refused { url: String, fault: UrlFault },
    #[error("the keys did not arrive within 5 s; check the network between the gateway and the issuer{via}")]
    TooSlow { via: String },
    #[error("{url} answered with status {status} instead of 200; check issuer.url and jwks_url")]
    Status { url: String, status: u16 },
    #[error("{url} cannot be fetched: {detail}")]
    Failed { url: String, detail: String },
    #[error("{path} cannot be read: {detail}")]
    File { path: String, detail: String },
    #[error(
        "{url} is not a discovery document, which is JSON with issuer and jwks_uri; check issuer.url, or set jwks_url"
    )]
    NotDiscovery { url: String },
    #[error(
        "{url} names the issuer {named:?}, and issuer.url is {expected:?}; both must be equal to the character"
    )]
    OtherIssuer { url: String, named: String, expected: String },
    #[error(
        "{url} is not a key set, which is JSON with a list of keys; set jwks_url to the issuer's jwks_uri"
    )]
    NotKeys { url: String },
    #[error("{url} has no usable key for algorithms {algorithms}; set the issuer's algorithms")]
    NoKeys { url: String, algorithms: String },
}

/// The document of a key set, and how long its server says it stays fresh.
pub(super) struct Fetched {
    pub(super) from: String,
    pub(super) document: Bytes,
    pub(super) max_age: Option<Duration>,
}

#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
}

impl Fetcher {
    /// # Errors
    /// When the issuer's CA file cannot be used.
    pub(super) fn new(settings: &IssuerSettings, proxy: &Proxy) -> Result<Self, IssuerSetupError> {
        let roots = trust::machine_and(settings.ca.as_deref())
            .map_err(|cause| IssuerSetupError::Ca { issuer: settings.name.to_string(), cause })?;
        let mut tcp = HttpConnector::new_with_resolver(PublicResolver(GaiResolver::new()));
        tcp.enforce_http(false);
        tcp.set_connect_timeout(Some(DEADLINE));
        // The proxy resolves the names of issuers, so the gateway checks only the addresses that a URL contains.
        let tls = trust::client(roots)?;
        let tcp = ProxyConnector::new(tcp, HttpConnector::new(), tls.clone(), proxy.clone());
        let https = hyper_rustls::HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        let client = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(https);
        Ok(Self { client, proxy: proxy.clone() })
    }

    /// The proxy of its connections.
    pub(super) fn proxy(&self) -> &Proxy {
        &self.proxy
    }

    /// Fetches the document with the issuer's keys, within 5 s.
    pub(super) async fn keys(&self, settings: &IssuerSettings) -> Result<Fetched, FetchError> {
        match tokio::time::timeout(DEADLINE, self.keys_without_timeout(settings)).await {
            Ok(fetched) => fetched,
            Err(_elapsed) => {
                let url = match &settings.keys {
                    KeySource::JwksUrl(url) => url.as_str(),
                    KeySource::Discovery | KeySource::JwksFile(_) => &settings.url,
                };
                Err(FetchError::TooSlow { via: self.proxy.hint(&url.parse().unwrap_or_default()) })
            }
        }
    }

    async fn keys_without_timeout(&self, settings: &IssuerSettings) -> Result<Fetched, FetchError> {
        match &settings.keys {
            KeySource::JwksUrl(url) => self.get(url).await,
            KeySource::JwksFile(path) => file(path).await,
            KeySource::Discovery => {
                let url = self.discover(settings).await?;
                self.get(&url).await
            }
        }
    }

    async fn discover(&self, settings: &IssuerSettings) -> Result<Url, FetchError> {
        let address = format!("{}/.well-known/openid-configuration", settings.url.trim_end_matches('/'));
        let not_discovery = |url: String| FetchError::NotDiscovery { url };
        let url: Url = address.parse().map_err(|_| not_discovery(address.clone()))?;
        let document = self.get(&url).await?.document;
        let discovery: Discovery =
            serde_json::from_slice(&document).map_err(|_| not_discovery(address.clone()))?;
        // Assumption A40.
        if discovery.issuer != settings.url {
            let named = unverified::truncated(&discovery.issuer);
            return Err(FetchError::OtherIssuer { url: address, named, expected: settings.url.clone() });
        }
        let keys: Url = discovery.jwks_uri.parse().map_err(|_| not_discovery(address.clone()))?;
        // Otherwise the provider could make the gateway call services of this machine.
        if issuer::is_loopback(&keys) && !issuer::is_loopback(&url) {
            return Err(FetchError::Refused { url: keys.to_string(), fault: UrlFault::Loopback });
        }
        Ok(keys)
    }

    async fn get(&self, url: &Url) -> Result<Fetched, FetchError> {
        issuer::check_url(url).map_err(|fault| FetchError::Refused { url: url.to_string(), fault })?;
        let failed = |detail: String| FetchError::Failed { url: url.to_string(), detail };
        let request = Request::get(url.as_str())
            .header(header::ACCEPT, "application/json")
            .header(header::USER_AGENT, concat!("bedrock-gateway/", env!("CARGO_PKG_VERSION")))
            .body(Empty::new())
            .map_err(|error| failed(error.to_string()))?;
        let response = self.client.request(request).await;
        let response = response.map_err(|error| {
            let fault = self.proxy.fault(&error);
            failed(fault.unwrap_or_else(|| causes::of_connection(&error, "issuer.ca")))
        })?;
        if response.status().as_u16() != 200 {
            return Err(FetchError::Status { url: url.to_string(), status: response.status().as_u16() });
        }
        let max_age = response
            .headers()
            .get(header::CACHE_CONTROL)
            .and_then(|value| value.to_str().ok())
            .and_then(max_age);
        #[expect(clippy::disallowed_methods, reason = "limited in the same expression")]
        let body = Limited::new(response.into_body(), LARGEST).collect().await;
        let document = body.map_err(|error| failed(error.to_string()))?.to_bytes();
        Ok(Fetched { from: url.to_string(), document, max_age })
    }
}

/// The `max-age` of a `Cache-Control` header (RFC 9111, section 5.2.2.1).
fn max_age(cache_control: &str) -> Option<Duration> {
    let directives = cache_control.split(',').filter_map(|directive| directive.trim().split_once('='));
    let (_, seconds) = directives.into_iter().find(|(name, _)| name.eq_ignore_ascii_case("max-age"))?;
    seconds.trim_matches('"').parse().ok().map(Duration::from_secs)
}

async fn file(path: &Path) -> Result<Fetched, FetchError> {
    let failed = |detail: String| FetchError::File { path: path.display().to_string(), detail };
    let length = tokio::fs::metadata(path).await.map_err(|error| failed(error.to_string()))?.len();
    if length > LARGEST as u64 {
        return Err(failed("it is larger than 1 MiB".to_owned()));
    }
    let document = tokio::fs::read(path).await.map_err(|error| failed(error.to_string()))?;
    Ok(Fetched { from: path.display().to_string(), document: document.into(), max_age: None })
}

/// The system's resolver, without the addresses that must not be used. So the gateway checks the addresses that a name
/// resolves to, and not only the name.
#[derive(Debug, Clone)]
struct PublicResolver(GaiResolver);

impl Service<Name> for PublicResolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let resolving = self.0.call(name);
        Box::pin(async move {
            let found: Vec<SocketAddr> = resolving
                .await
                .map_err(unresolved)?
                .filter(|address| issuer::check_address(address.ip()).is_ok())
                .collect();
            if found.is_empty() {
                return Err(io::Error::other("the name resolves only to link-local addresses"));
            }
            Ok(found.into_iter())
        })
    }
}

/// The resolver's error, of a kind that `causes` recognizes.
fn unresolved(error: io::Error) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_that_a_document_stays_fresh() {
        let seconds = |text| max_age(text).map(|age| age.as_secs());
        assert_eq!(seconds("public, max-age=600, must-revalidate"), Some(600));
        assert_eq!(seconds("Max-Age=\"7\""), Some(7));
        for none in ["no-store", "max-age", "max-age=soon", "s-maxage=600", ""] {
            assert_eq!(seconds(none), None, "{none}");
        }
    }

    #[tokio::test]
    async fn no_name_resolves_to_the_metadata_service() {
        let resolve = |name: &str| PublicResolver(GaiResolver::new()).call(name.parse().unwrap());
        assert!(resolve("169.254.169.254").await.is_err());
        assert!(resolve("127.0.0.1").await.is_ok());
    }

    /// The error of a fetch from a server with this certificate.
    async fn fault_of(certificate: rcgen::CertificateParams) -> String {
        let key = rcgen::KeyPair::generate().unwrap();
        let chain = vec![certificate.self_signed(&key).unwrap().der().clone()];
        let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let server = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, rustls::pki_types::PrivatePkcs8KeyDer::from(key.serialize_der()).into())
            .unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url: Url = format!("https://{}/", listener.local_addr().unwrap()).parse().unwrap();
        let acceptor = tokio_rustls::TlsAcceptor::from(std::sync::Arc::new(server));
        tokio::spawn(async move { acceptor.accept(listener.accept().await.unwrap().0).await });
        let settings = IssuerSettings {
            name: "acme".into(),
            url: url.to_string(),
            keys: KeySource::JwksUrl(url),
            audiences: Vec::new(),
            audience_claim: None,
            algorithms: Vec::new(),
            types: Vec::new(),
            max_token_age: None,
            leeway: issuer::LEEWAY,
            ca: None,
        };
        Fetcher::new(&settings, &Proxy::default()).unwrap().keys(&settings).await.err().unwrap().to_string()
    }

    #[tokio::test]
    async fn a_certificate_that_is_not_trusted_is_named_with_the_remedy() {
        let params = || rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        let mut authority = params();
        authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        for certificate in [params(), authority] {
            let fault = fault_of(certificate).await;
            assert!(fault.contains(" cannot be fetched: its certificate is not trusted ("), "{fault}");
            assert!(fault.ends_with("; if its CA is a private one, name it in issuer.ca"), "{fault}");
        }
    }
}
