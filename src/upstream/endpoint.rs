//! Where a region's Bedrock is: the operator's address, or the one that AWS's own rule set names.

use aws_sdk_bedrockruntime::config::endpoint::{DefaultResolver, Params, ResolveEndpoint};
use http::uri::{Authority, Scheme};
use url::Url;

/// One service in one region.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    pub(crate) scheme: Scheme,
    pub(crate) authority: Authority,
    pub(crate) region: String,
    /// The name in the signature's scope.
    pub(crate) service: &'static str,
}

/// Why there is no endpoint.
#[derive(Debug, thiserror::Error)]
pub enum EndpointError {
    #[error("AWS's rules name no Bedrock endpoint for region {region}: {detail}")]
    NotResolved { region: String, detail: String },
    #[error("{0} is not the address of a server")]
    NotAnAddress(String),
}

impl Endpoint {
    /// The runtime endpoint of `region`: `written`, or what AWS's endpoint rules say for the region,
    /// FIPS and dual-stack. FIPS never falls back to an endpoint without it.
    ///
    /// # Errors
    /// When the rules have none, or the address has a path or no host.
    pub async fn bedrock_runtime(
        region: &str,
        written: Option<&Url>,
        fips: bool,
        dual_stack: bool,
    ) -> Result<Self, EndpointError> {
        let address = match written {
            Some(url) => url.as_str().to_owned(),
            None => resolve(region, fips, dual_stack).await?,
        };
        Self::at(&address, region).ok_or(EndpointError::NotAnAddress(address))
    }

    fn at(address: &str, region: &str) -> Option<Self> {
        let parts = address.parse::<http::Uri>().ok()?.into_parts();
        let no_path = parts.path_and_query.is_none_or(|path| path == "/");
        if !no_path {
            return None;
        }
        Some(Self {
            scheme: parts.scheme?,
            authority: parts.authority?,
            region: region.to_owned(),
            service: "bedrock",
        })
    }

    /// Whether the answers of this endpoint are known to be AWS's (their `Date` may then correct the clock).
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
mod tests {
    use super::*;

    async fn host(region: &str, fips: bool, dual_stack: bool) -> String {
        Endpoint::bedrock_runtime(region, None, fips, dual_stack).await.unwrap().authority.to_string()
    }

    #[tokio::test]
    async fn aws_rules_name_the_hosts() {
        assert_eq!(host("us-east-1", false, false).await, "bedrock-runtime.us-east-1.amazonaws.com");
        assert_eq!(host("us-west-2", true, false).await, "bedrock-runtime-fips.us-west-2.amazonaws.com");
        assert_eq!(host("eu-west-1", false, true).await, "bedrock-runtime.eu-west-1.api.aws");
        assert_eq!(host("cn-north-1", false, false).await, "bedrock-runtime.cn-north-1.amazonaws.com.cn");
    }

    #[tokio::test]
    async fn a_written_address_wins_and_has_no_path() {
        let at = async |url: &str| {
            Endpoint::bedrock_runtime("us-east-1", Some(&url.parse().unwrap()), false, false).await
        };
        let endpoint = at("https://vpce-1.example:8443").await.unwrap();
        assert_eq!(endpoint.authority, "vpce-1.example:8443");
        assert!(endpoint.is_https());
        assert!(at("https://vpce-1.example/path").await.is_err());
    }
}
