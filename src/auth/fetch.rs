//! Fetching an issuer's documents: https, no redirects, a size and a time, and never from an address
//! where a cloud keeps its machines' credentials.
//!
//! Written here, because the published JWKS clients bring another HTTP stack, follow redirects, and connect to whatever
//! address a name resolves to.

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
use crate::causes;
use crate::trust::{self, CaError};

/// Largest document taken, bytes.
const LARGEST: usize = 1024 * 1024;
/// Longest time for the keys, discovery included.
const DEADLINE: Duration = Duration::from_secs(5);

/// An HTTPS client of one issuer.
#[derive(Debug)]
pub(super) struct Fetcher {
    client: Client<HttpsConnector<HttpConnector<PublicResolver>>, Empty<Bytes>>,
}

/// Why an issuer cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum IssuerSetupError {
    #[error("issuer {issuer}: {cause}")]
    Ca { issuer: String, cause: CaError },
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
}

/// Why keys could not be fetched. Its text names addresses, never contents.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    #[error("{url}: {fault}")]
    Refused { url: String, fault: UrlFault },
    #[error("no keys within 5 s")]
    TooSlow,
    #[error("{url} answered {status}")]
    Status { url: String, status: u16 },
    #[error("{url} cannot be fetched: {detail}")]
    Failed { url: String, detail: String },
    #[error("{path} cannot be read: {detail}")]
    File { path: String, detail: String },
    #[error("{url} is no discovery document")]
    NotDiscovery { url: String },
    #[error("{url} is the discovery document of another issuer")]
    OtherIssuer { url: String },
    #[error("{url}: the key set is not JSON with a list of keys")]
    NotKeys { url: String },
    #[error("{url}: no key of the set can be used")]
    NoKeys { url: String },
}

/// A key set's document, and how long its server says it is good for.
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
    /// When the issuer's CA file is unusable.
    pub(super) fn new(settings: &IssuerSettings) -> Result<Self, IssuerSetupError> {
        let roots = trust::machine_and(settings.ca.as_deref())
            .map_err(|cause| IssuerSetupError::Ca { issuer: settings.name.to_string(), cause })?;
        let mut tcp = HttpConnector::new_with_resolver(PublicResolver(GaiResolver::new()));
        tcp.enforce_http(false);
        tcp.set_connect_timeout(Some(DEADLINE));
        let https = hyper_rustls::HttpsConnectorBuilder::new()
            .with_tls_config(trust::client(roots)?)
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        let client = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(https);
        Ok(Self { client })
    }

    /// The document of the issuer's keys, within 5 s.
    pub(super) async fn keys(&self, settings: &IssuerSettings) -> Result<Fetched, FetchError> {
        match tokio::time::timeout(DEADLINE, self.keys_at_leisure(settings)).await {
            Ok(fetched) => fetched,
            Err(_elapsed) => Err(FetchError::TooSlow),
        }
    }

    async fn keys_at_leisure(&self, settings: &IssuerSettings) -> Result<Fetched, FetchError> {
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
        if discovery.issuer != settings.url {
            return Err(FetchError::OtherIssuer { url: address });
        }
        let keys: Url = discovery.jwks_uri.parse().map_err(|_| not_discovery(address.clone()))?;
        // A remote document must not send us to services of this machine.
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
        let response =
            self.client.request(request).await.map_err(|error| failed(causes::in_one_line(&error)))?;
        if response.status().as_u16() != 200 {
            return Err(FetchError::Status { url: url.to_string(), status: response.status().as_u16() });
        }
        let good_for = response
            .headers()
            .get(header::CACHE_CONTROL)
            .and_then(|value| value.to_str().ok())
            .and_then(max_age);
        #[expect(clippy::disallowed_methods, reason = "limited in the same expression")]
        let body = Limited::new(response.into_body(), LARGEST).collect().await;
        let document = body.map_err(|error| failed(error.to_string()))?.to_bytes();
        Ok(Fetched { from: url.to_string(), document, max_age: good_for })
    }
}

/// `max-age` of a `Cache-Control` (RFC 9111, section 5.2.2.1).
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

/// The system's resolver less addresses that nobody's keys are at: a name is checked where it leads,
/// not by how it reads.
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
            let found: Vec<SocketAddr> =
                resolving.await?.filter(|address| issuer::check_address(address.ip()).is_ok()).collect();
            if found.is_empty() {
                return Err(io::Error::other("the name leads to link-local addresses only"));
            }
            Ok(found.into_iter())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_long_a_document_is_good_for() {
        let seconds = |text| max_age(text).map(|age| age.as_secs());
        assert_eq!(seconds("public, max-age=600, must-revalidate"), Some(600));
        assert_eq!(seconds("Max-Age=\"7\""), Some(7));
        for none in ["no-store", "max-age", "max-age=soon", "s-maxage=600", ""] {
            assert_eq!(seconds(none), None, "{none}");
        }
    }

    #[tokio::test]
    async fn names_lead_nowhere_near_the_metadata_service() {
        let resolve = |name: &str| PublicResolver(GaiResolver::new()).call(name.parse().unwrap());
        assert!(resolve("169.254.169.254").await.is_err());
        assert!(resolve("127.0.0.1").await.is_ok());
    }
}
