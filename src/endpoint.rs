//! The endpoints of Bedrock in each region: the address of the configuration, or the one of AWS's own rule set.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_bedrockruntime::config::endpoint::{DefaultResolver, Params, ResolveEndpoint};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderValue, Uri};
use url::Url;

use crate::endpoint::idle::Idle;
use crate::endpoint::reach::Reach;
use crate::route::Service;

pub mod idle;
pub mod reach;

/// The default of `aws.connect_timeout`: the longest wait for a connection, TLS included.
pub const CONNECT: Duration = Duration::from_secs(3);
/// The default of `aws.first_byte_timeout`. Some models think for up to an hour (Bedrock user guide, Claude inference
/// time-out).
// Assumption A33.
pub const FIRST_BYTE: Duration = Duration::from_secs(60 * 60);
/// The default of `aws.stream_idle_timeout`.
// Assumption A34.
pub const STREAM_IDLE: Duration = Duration::from_secs(10 * 60);

/// The timeouts of an answer from Bedrock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// The longest wait for the head of an answer.
    pub first_byte: Duration,
    /// The longest silence within an answer.
    pub stream_idle: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { first_byte: FIRST_BYTE, stream_idle: STREAM_IDLE }
    }
}

/// One service in one region, with the idle connections to it.
#[derive(Debug)]
pub struct Endpoint {
    scheme: Scheme,
    authority: Authority,
    /// The `Host` header: the authority, without the default port of the scheme.
    pub(crate) host: HeaderValue,
    pub(crate) region: Arc<str>,
    /// The name in the signature's scope.
    pub(crate) service: &'static str,
    pub(crate) idle: Idle,
    /// Whether connections can be opened.
    pub reach: Arc<Reach>,
    pub(crate) timeouts: Timeouts,
}

/// Why there is no endpoint.
#[derive(Debug, thiserror::Error)]
pub enum EndpointError {
    #[error("AWS's rules have no Bedrock endpoint for region {region}: {detail}")]
    NotResolved { region: String, detail: String },
    #[error("{0} is not an address of a server; it needs a scheme and a host, and no path")]
    NotAnAddress(String),
}

/// The endpoints, by region and service. A region may have no endpoint of a service.
#[derive(Debug, Clone, Default)]
pub struct Endpoints(BTreeMap<(Arc<str>, Service), Arc<Endpoint>>);

impl Endpoints {
    pub fn insert(&mut self, region: Arc<str>, service: Service, endpoint: Arc<Endpoint>) {
        self.0.insert((region, service), endpoint);
    }

    /// The endpoint of a service in a region.
    ///
    /// # Errors
    /// When there is none.
    pub fn find(&self, region: &Arc<str>, service: Service) -> Result<&Arc<Endpoint>, NoEndpoint> {
        self.0.get(&(Arc::clone(region), service)).ok_or(NoEndpoint)
    }

    /// All endpoints.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Endpoint>> {
        self.0.values()
    }
}

/// An error: the region has no such service, or no FIPS endpoint of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this service has no endpoint in this region, or no FIPS endpoint while aws.fips is set")]
pub struct NoEndpoint;

impl Endpoint {
    /// The endpoint of a service in `region`: the configured address `written`, otherwise the one of AWS's endpoint
    /// rules for the region, FIPS and dual-stack. `None`: there is no endpoint. With FIPS, the gateway never falls back
    /// to an endpoint without FIPS.
    ///
    /// # Errors
    /// When the rules do not know the region, or the address has a path or no host.
    pub async fn of(
        service: Service,
        region: &str,
        written: Option<&Url>,
        fips: bool,
        dual_stack: bool,
    ) -> Result<Option<Self>, EndpointError> {
        let address = match (written, service) {
            (Some(url), _) => Some(url.as_str().to_owned()),
            (None, Service::Runtime) => Some(resolve(region, fips, dual_stack).await?),
            // The same rules, with another name before the region (service model, endpoint rule set).
            // Assumption A38.
            (None, Service::ControlPlane) => {
                let runtime = resolve(region, fips, dual_stack).await?;
                Some(runtime.replacen("//bedrock-runtime", "//bedrock", 1))
            }
            // AWS documents it for the commercial and GovCloud regions, without FIPS.
            // Assumption A38.
            (None, Service::Mantle) => {
                let elsewhere =
                    ["cn-", "us-iso", "eu-iso", "eusc-"].iter().any(|prefix| region.starts_with(prefix));
                (!fips && !elsewhere).then(|| format!("https://bedrock-mantle.{region}.api.aws"))
            }
        };
        let Some(address) = address else { return Ok(None) };
        Self::at(&address, region, service).map(Some).ok_or(EndpointError::NotAnAddress(address))
    }

    fn at(address: &str, region: &str, service: Service) -> Option<Self> {
        let parts = address.parse::<http::Uri>().ok()?.into_parts();
        let no_path = parts.path_and_query.is_none_or(|path| path == "/");
        if !no_path {
            return None;
        }
        let (scheme, authority) = (parts.scheme?, parts.authority?);
        let own = if scheme == Scheme::HTTPS { 443 } else { 80 };
        let host = match authority.port_u16() {
            Some(port) if port != own => HeaderValue::from_str(&format!("{}:{port}", authority.host())),
            _ => HeaderValue::from_str(authority.host()),
        };
        let host = host.ok()?;
        let (region, service) = (region.into(), service.signing_name());
        Some(Self {
            host,
            scheme,
            authority,
            region,
            service,
            idle: Idle::of_workers(1),
            reach: Arc::default(),
            timeouts: Timeouts::default(),
        })
    }

    /// The same endpoint with other timeouts than the default.
    #[must_use]
    pub fn within(self, timeouts: Timeouts) -> Self {
        Self { timeouts, ..self }
    }

    /// The same endpoint with idle connections for each of this number of workers.
    #[must_use]
    pub fn of_workers(self, workers: usize) -> Self {
        Self { idle: Idle::of_workers(workers), ..self }
    }

    /// The same endpoint with what is known of the connections to `old`, if that has the same address.
    #[must_use]
    pub fn after(self, old: &Self) -> Self {
        let same = (&self.scheme, &self.authority) == (&old.scheme, &old.authority);
        let reach = if same { Arc::clone(&old.reach) } else { self.reach };
        Self { reach, ..self }
    }

    /// The address to connect to.
    pub(crate) fn address(&self) -> Uri {
        let mut parts = http::uri::Parts::default();
        parts.scheme = Some(self.scheme.clone());
        parts.authority = Some(self.authority.clone());
        parts.path_and_query = Some(PathAndQuery::from_static("/"));
        Uri::from_parts(parts).unwrap_or_default()
    }

    /// The region and the host, for messages.
    pub fn place(&self) -> String {
        format!("Bedrock in {} at {}", self.region, self.authority)
    }

    /// Whether TLS proves that the answers come from AWS. Only then may their `Date` correct the clock.
    pub fn is_https(&self) -> bool {
        self.scheme == Scheme::HTTPS
    }
}

async fn resolve(region: &str, fips: bool, dual_stack: bool) -> Result<String, EndpointError> {
    let failed = |detail: String| EndpointError::NotResolved { region: region.to_owned(), detail };
    let params = Params::builder()
        .region(region)
        .use_fips(fips)
        .use_dual_stack(dual_stack)
        .build()
        .map_err(|error| failed(error.to_string()))?;
    let endpoint =
        DefaultResolver::new().resolve_endpoint(&params).await.map_err(|error| failed(error.to_string()))?;
    Ok(endpoint.url().to_owned())
}

#[cfg(test)]
impl Endpoints {
    /// Every service in these regions, at an address where nothing listens.
    pub(crate) fn for_tests(regions: &[&str]) -> Self {
        let mut endpoints = Self::default();
        for (region, service) in
            regions.iter().flat_map(|region| Service::ALL.map(|service| (region, service)))
        {
            let endpoint = Endpoint::at("http://127.0.0.1:1", region, service).unwrap();
            endpoints.insert((*region).into(), service, Arc::new(endpoint));
        }
        endpoints
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn host(service: Service, region: &str, fips: bool, dual_stack: bool) -> String {
        let endpoint = Endpoint::of(service, region, None, fips, dual_stack).await.unwrap();
        endpoint.map_or_else(String::new, |endpoint| format!("{} {}", endpoint.authority, endpoint.service))
    }

    #[tokio::test]
    async fn aws_rules_name_the_hosts() {
        use Service::{ControlPlane, Mantle, Runtime};
        for (service, region, fips, dual_stack, expected) in [
            (Runtime, "us-east-1", false, false, "bedrock-runtime.us-east-1.amazonaws.com bedrock"),
            (Runtime, "us-west-2", true, false, "bedrock-runtime-fips.us-west-2.amazonaws.com bedrock"),
            (Runtime, "eu-west-1", false, true, "bedrock-runtime.eu-west-1.api.aws bedrock"),
            (Runtime, "cn-north-1", false, false, "bedrock-runtime.cn-north-1.amazonaws.com.cn bedrock"),
            (ControlPlane, "us-east-1", false, false, "bedrock.us-east-1.amazonaws.com bedrock"),
            (ControlPlane, "us-west-2", true, true, "bedrock-fips.us-west-2.api.aws bedrock"),
            (Mantle, "us-east-1", false, false, "bedrock-mantle.us-east-1.api.aws bedrock-mantle"),
            (Mantle, "us-gov-west-1", false, true, "bedrock-mantle.us-gov-west-1.api.aws bedrock-mantle"),
            (Mantle, "us-east-1", true, false, ""),
            (Mantle, "cn-north-1", false, false, ""),
        ] {
            assert_eq!(host(service, region, fips, dual_stack).await, expected);
        }
    }

    #[test]
    fn a_failure_is_known_after_a_reload_that_keeps_the_address() {
        let at = |address: &str| Endpoint::at(address, "us-east-1", Service::Runtime).unwrap();
        let old = at("https://vpce-1.example");
        old.reach.failed(crate::proxy::NoConnection {
            obstacle: crate::proxy::Obstacle::Other,
            text: "refused".to_owned(),
        });
        assert!(at("https://vpce-1.example").after(&old).reach.is_failing());
        assert!(!at("https://vpce-2.example").after(&old).reach.is_failing());
        assert!(!at("http://vpce-1.example").after(&old).reach.is_failing());
    }

    #[tokio::test]
    async fn a_written_address_wins_and_has_no_path() {
        let at = async |url: &str| {
            Endpoint::of(Service::Mantle, "us-east-1", Some(&url.parse().unwrap()), true, false).await
        };
        let endpoint = at("https://vpce-1.example:8443").await.unwrap().unwrap();
        assert_eq!(
            (endpoint.authority.as_str(), endpoint.service),
            ("vpce-1.example:8443", "bedrock-mantle")
        );
        assert!(endpoint.is_https());
        assert!(at("https://vpce-1.example/path").await.is_err());
    }
}
