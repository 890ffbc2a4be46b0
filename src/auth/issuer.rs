//! The settings of an issuer, and the rules for addresses that its keys may come from.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jsonwebtoken::Algorithm;
use serde_json::{Map, Value};
use url::{Host, Url};

/// The default of `leeway`: how far the clocks of the issuer and of the gateway may differ.
pub const LEEWAY: Duration = Duration::from_secs(30);

/// All algorithms that verify with a public key, by their names in JWS (RFC 7518, RFC 8037).
pub const KNOWN_ALGORITHMS: [&str; 9] =
    ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"];

/// The names of the algorithms, with commas.
pub fn algorithm_names(algorithms: &[Algorithm]) -> String {
    let is_one = |name: &&str| name.parse().is_ok_and(|named: Algorithm| algorithms.contains(&named));
    KNOWN_ALGORITHMS.into_iter().filter(is_one).collect::<Vec<_>>().join(", ")
}

/// The settings of one identity provider whose tokens the gateway accepts.
#[derive(Debug, Clone, PartialEq)]
pub struct IssuerSettings {
    /// The operator's name for the issuer, in expressions, logs and metrics.
    pub name: Arc<str>,
    /// The exact `iss` of its tokens.
    pub url: String,
    pub keys: KeySource,
    /// One of these must be in the token's `aud`.
    pub audiences: Vec<String>,
    /// The claim that holds the audience instead of `aud`, for access tokens without `aud`.
    pub audience_claim: Option<String>,
    /// The algorithms that a token may be signed with; asymmetric ones only.
    pub algorithms: Vec<Algorithm>,
    /// The values that `typ` may have, in lower case. A token without `typ` is accepted.
    pub types: Vec<String>,
    /// Longest time since `iat`.
    pub max_token_age: Option<Duration>,
    pub leeway: Duration,
    /// A PEM file with CAs to trust for this issuer's addresses, in addition to the machine's.
    pub ca: Option<PathBuf>,
}

impl IssuerSettings {
    /// Whether the claims name one of the audiences.
    pub fn is_for(&self, claims: &Map<String, Value>) -> bool {
        let is_listed = |audience: &Value| {
            audience.as_str().is_some_and(|text| self.audiences.iter().any(|own| own == text))
        };
        match claims.get(self.audience_claim()) {
            Some(Value::Array(audiences)) => audiences.iter().any(is_listed),
            Some(audience) => is_listed(audience),
            None => false,
        }
    }

    /// Whether both settings fetch the same keys in the same way.
    pub(super) fn has_keys_of(&self, other: &Self) -> bool {
        self.url == other.url && self.keys == other.keys && self.ca == other.ca
    }

    /// The claim that holds the audience.
    // Assumption A42.
    pub fn audience_claim(&self) -> &str {
        self.audience_claim.as_deref().unwrap_or("aud")
    }
}

/// The place that an issuer's keys come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySource {
    /// The document at `{url}/.well-known/openid-configuration` names it (`OpenID` Connect Discovery 1.0).
    Discovery,
    JwksUrl(Url),
    JwksFile(PathBuf),
}

/// Why keys must not be fetched from an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UrlFault {
    #[error("it must be https (http is allowed only for a loopback address)")]
    NotHttps,
    #[error("it has no host")]
    NoHost,
    #[error("it contains a user name or password")]
    Credentials,
    #[error("it has a fragment")]
    Fragment,
    #[error("it is a link-local address, at which clouds offer the credentials of machines")]
    LinkLocal,
    #[error("a remote discovery document must not point to a loopback address")]
    Loopback,
}

/// Whether keys may be fetched from `url`.
///
/// # Errors
/// [`UrlFault`], when they must not.
pub fn check_url(url: &Url) -> Result<(), UrlFault> {
    match url.host() {
        None => return Err(UrlFault::NoHost),
        Some(Host::Domain(_)) => {}
        Some(Host::Ipv4(address)) => check_address(address.into())?,
        Some(Host::Ipv6(address)) => check_address(address.into())?,
    }
    if url.scheme() != "https" && !(url.scheme() == "http" && is_loopback(url)) {
        return Err(UrlFault::NotHttps);
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(UrlFault::Credentials);
    }
    if url.fragment().is_some() { Err(UrlFault::Fragment) } else { Ok(()) }
}

/// Refuses the addresses of metadata services: 169.254.0.0/16, `fe80::/10` and AWS's `fd00:ec2::/32` (`::254` serves
/// the instance, `::23` the pod).
///
/// # Errors
/// [`UrlFault::LinkLocal`], for such an address.
pub fn check_address(address: IpAddr) -> Result<(), UrlFault> {
    let link_local = match address.to_canonical() {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local() || v6.segments()[..2] == [0xfd00, 0x0ec2],
    };
    if link_local { Err(UrlFault::LinkLocal) } else { Ok(()) }
}

/// Whether the host is this machine, by its name or its loopback address.
pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_keys_may_come_from() {
        let check = |text: &str| check_url(&text.parse().unwrap());
        assert_eq!(check("https://acme.okta.com/oauth2"), Ok(()));
        assert_eq!(check("http://127.0.0.1:8080/x"), Ok(()));
        assert_eq!(check("http://[::1]:8080/x"), Ok(()));
        assert_eq!(check("http://acme.okta.com/"), Err(UrlFault::NotHttps));
        assert_eq!(check("file:///etc/passwd"), Err(UrlFault::NoHost));
        assert_eq!(check("https://u:p@acme.okta.com/"), Err(UrlFault::Credentials));
        assert_eq!(check("https://acme.okta.com/#x"), Err(UrlFault::Fragment));
        for metadata in [
            "https://169.254.169.254/",
            "https://[fe80::1]/",
            "https://[fd00:ec2::254]/",
            "https://[::ffff:169.254.169.254]/",
        ] {
            assert_eq!(check(metadata), Err(UrlFault::LinkLocal), "{metadata}");
        }
    }
}
