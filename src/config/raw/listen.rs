//! The fields of `[listen]`.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Spanned, Text};

/// At least one of `https` and `http` is required. An address is an IP address and a port.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Listen {
    /// The address for callers over TLS, with HTTP/2 and HTTP/1.1 (chosen by ALPN). Needs `[listen.tls]`. Default: none.
    pub(in crate::config) https: Option<Text>,
    /// The address for callers behind a proxy that ends TLS. The proxy speaks HTTP/1.1, or HTTP/2 without an upgrade
    /// (prior knowledge). Default: none.
    pub(in crate::config) http: Option<Text>,
    /// The probe port: `/healthz`, `/readyz` and `/metrics`. Default: none.
    pub(in crate::config) probe: Option<Text>,
    /// The admin port: `/sessions`, `/revocations`, `/requests/ID` and `/sessions/revoke`. Needs `admin_token_file`
    /// unless it is a loopback address. Default: none.
    pub(in crate::config) admin: Option<Text>,
    /// A file with the token that clients of `admin` must send as `Authorization: Bearer`. Default: none.
    pub(in crate::config) admin_token_file: Option<Text>,
    /// The threads that serve callers, 1 to 1024. Restart. Default: one for each core that the process may use; a quota
    /// of CPU time counts in whole cores.
    pub(in crate::config) workers: Option<Spanned<usize>>,
    /// Largest request body, `"1B"` to `"512MiB"`, and at most `limits.body_memory`. A larger one is answered with 413.
    /// Default: `"32MiB"`.
    pub(in crate::config) max_body: Option<Text>,
    /// How long the gateway still accepts connections after SIGTERM, while `/readyz` already answers 503. At most
    /// `"10m"`. Default: `"0s"`.
    pub(in crate::config) drain_delay: Option<Text>,
    /// How long requests in flight may continue after `drain_delay`. At most `"24h"`. Default: `"60s"`.
    pub(in crate::config) drain_timeout: Option<Text>,
    /// Load balancers that send the client's address to the gateway. Default: none, and the access log shows the
    /// address of the connection.
    pub(in crate::config) balancers: Option<Spanned<Balancers>>,
    /// The certificate of `https`. Default: none.
    pub(in crate::config) tls: Option<Spanned<Tls>>,
}

/// Load balancers that send the client's address to the gateway. The gateway uses that address in the access log only.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Balancers {
    /// The addresses of the load balancers, for example `["10.0.0.0/16", "fd00::/8"]`.
    pub(in crate::config) peers: Vec<Text>,
    /// How the load balancers send the client's address.
    pub(in crate::config) client_address: ClientAddress,
}

#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(in crate::config) enum ClientAddress {
    /// PROXY protocol version 2. Each connection from a load balancer must begin with a PROXY header; otherwise the
    /// gateway closes it.
    ProxyProtocol,
    /// The header `X-Forwarded-For`, read from its end. The client is the first address that is not a load balancer.
    XForwardedFor,
}

/// The certificate of `https`. Both PEM files are reloaded when they change.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Tls {
    /// A PEM file with the certificate and the intermediate certificates.
    pub(in crate::config) cert: Text,
    /// A PEM file with the private key of the certificate.
    pub(in crate::config) key: Text,
}
