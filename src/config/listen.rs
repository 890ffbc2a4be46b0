//! `[listen]`: the addresses that the gateway listens on, and the limits of its connections.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use super::address::Taken;
use super::diagnostics::Diagnostics;
use super::raw::{self, Spanned, Text};
use super::values::path;
use crate::server::balancers::{Balancers, ClientAddress};
use crate::workers;

/// The default: enough for a model request with documents and images. Bedrock's own limits are similar.
// Assumption A32.
const MAX_BODY: usize = 32 << 20;
/// The default of the memory for all bodies together. Bedrock accepts no larger body.
const LARGEST_MAX_BODY: usize = 512 << 20;
/// The default. Set the orchestrator's own timeout (Kubernetes: `terminationGracePeriodSeconds`) longer than this.
const DRAIN_TIMEOUT: Duration = Duration::from_mins(1);
/// Load balancers notice within one or two minutes that a replica is not ready.
const LONGEST_DELAY: Duration = Duration::from_mins(10);
const LONGEST_DRAIN: Duration = Duration::from_hours(24);
/// More than the cores of any machine that AWS offers.
const MOST_WORKERS: usize = 1024;

/// The listeners' addresses and limits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listen {
    /// The address for callers, over TLS.
    pub https: Option<SocketAddr>,
    /// The address for callers behind a proxy that ends TLS. At least one of this and `https` is set.
    pub http: Option<SocketAddr>,
    /// The probe port: health checks and metrics.
    pub probe: Option<SocketAddr>,
    /// The admin port. If it is not a loopback address, `admin_token_file` is set.
    pub admin: Option<SocketAddr>,
    pub admin_token_file: Option<PathBuf>,
    /// Set if and only if `https` is set.
    pub tls: Option<Tls>,
    /// The threads that serve callers.
    pub workers: NonZeroUsize,
    /// The largest request body, in bytes.
    pub max_body: usize,
    /// How long the gateway still accepts connections after it has become not ready.
    pub drain_delay: Duration,
    /// How long requests in flight may continue when the gateway stops.
    pub drain_timeout: Duration,
    /// The load balancers in front of the gateway that pass on the client's address.
    pub balancers: Option<Balancers>,
}

/// PEM files of the gateway's own certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    pub cert: PathBuf,
    pub key: PathBuf,
}

pub(super) fn listen(table: &Spanned<raw::Listen>, diagnostics: &mut Diagnostics<'_>) -> Listen {
    let at = table.span();
    let raw = table.get_ref();
    if raw.https.is_none() && raw.http.is_none() {
        diagnostics.error(
            at,
            "there is no address for callers",
            "set https, or http behind a proxy that ends TLS",
        );
    }
    if let (Some(https), None) = (&raw.https, &raw.tls) {
        let help = "add to [listen], for example, tls = { cert = \"tls.crt\", key = \"tls.key\" }";
        diagnostics.error(https.span(), "https needs a certificate and its private key", help);
    }
    if let (None, Some(tls)) = (&raw.https, &raw.tls) {
        diagnostics.error(
            tls.span(),
            "listen.https is not set, so no listener uses the certificate",
            "set listen.https, or remove [listen.tls]",
        );
    }
    let mut taken = Taken::default();
    let mut address = |text: &Option<Text>, key| taken.address(text.as_ref()?, key, diagnostics);
    let (https, http) = (address(&raw.https, "https"), address(&raw.http, "http"));
    let (probe, admin) = (address(&raw.probe, "probe"), address(&raw.admin, "admin"));
    if let (Some(text), Some(address)) = (&raw.admin, admin)
        && !address.ip().is_loopback()
        && raw.admin_token_file.is_none()
    {
        let message = format!("other machines can reach {address}, and no token protects it");
        diagnostics.error(
            text.span(),
            message,
            "add admin_token_file = \"admin-token\", a file with a random token, or write admin = \"127.0.0.1:9091\"",
        );
    }
    if let (None, Some(file)) = (&raw.admin, &raw.admin_token_file) {
        diagnostics.error(
            file.span(),
            "listen.admin is not set, so no listener uses the token",
            "set listen.admin, or remove the key",
        );
    }
    Listen {
        https,
        http,
        probe,
        admin,
        admin_token_file: raw.admin_token_file.as_ref().map(|file| path(file, diagnostics)),
        tls: raw.tls.as_ref().map(|tls| Tls {
            cert: path(&tls.get_ref().cert, diagnostics),
            key: path(&tls.get_ref().key, diagnostics),
        }),
        workers: diagnostics
            .number(raw.workers.as_ref(), 1..=MOST_WORKERS)
            .and_then(NonZeroUsize::new)
            .unwrap_or_else(workers::cores),
        max_body: diagnostics.size(raw.max_body.as_ref(), 1..=LARGEST_MAX_BODY).unwrap_or(MAX_BODY),
        drain_delay: diagnostics
            .duration(raw.drain_delay.as_ref(), Duration::ZERO..=LONGEST_DELAY)
            .unwrap_or_default(),
        drain_timeout: diagnostics
            .duration(raw.drain_timeout.as_ref(), Duration::ZERO..=LONGEST_DRAIN)
            .unwrap_or(DRAIN_TIMEOUT),
        balancers: raw.balancers.as_ref().map(|raw| balancers(raw, diagnostics)),
    }
}

fn balancers(table: &Spanned<raw::Balancers>, diagnostics: &mut Diagnostics<'_>) -> Balancers {
    let raw = table.get_ref();
    if raw.peers.is_empty() {
        diagnostics.error(
            table.span(),
            "the list of peers is empty, so no load balancer is trusted",
            "add their addresses, for example [\"10.0.0.0/16\"], or remove the table",
        );
    }
    let mut network = |text: &Text| {
        let written = text.get_ref();
        // A single address is a network with one address.
        let network =
            written.parse::<IpNet>().or_else(|_| written.parse::<std::net::IpAddr>().map(IpNet::from)).ok();
        match network {
            Some(network) if network.prefix_len() == 0 => {
                let message =
                    format!("{network} contains every client, so each could write any address into the log");
                diagnostics.error(text.span(), message, "write the addresses of the load balancers only");
            }
            Some(network) if network.network().to_canonical() != network.network() => diagnostics.error(
                text.span(),
                format!("{network} is IPv4 written as IPv6"),
                "write it as IPv4, for example \"10.0.0.0/16\"",
            ),
            Some(_) => {}
            None => diagnostics.error(
                text.span(),
                format!("\"{written}\" is neither an address nor a network"),
                "write, for example, \"10.0.0.0/16\" or \"10.0.1.7\"",
            ),
        }
        network
    };
    Balancers {
        peers: raw.peers.iter().filter_map(&mut network).collect(),
        client_address: match raw.client_address {
            raw::ClientAddress::ProxyProtocol => ClientAddress::ProxyProtocol,
            raw::ClientAddress::XForwardedFor => ClientAddress::ForwardedFor,
        },
    }
}
