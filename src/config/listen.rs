//! `[listen]`: where the gateway listens and for whom.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use super::diagnostics::Diagnostics;
use super::raw::{self, Spanned, Text};
use super::units;
use super::values::path;
use crate::server::balancers::{Balancers, ClientAddress};

/// What model requests with documents and images come to; Bedrock's own limits are of this order.
// Assumption A32.
const MAX_BODY: usize = 32 << 20;
/// All bodies in memory together have 512 MiB: a larger one could never be let in.
const LARGEST_MAX_BODY: usize = 512 << 20;
/// Less than what orchestrators commonly wait before they kill a process for good.
const DRAIN_TIMEOUT: Duration = Duration::from_mins(1);
/// Load balancers notice within a minute or two.
const LONGEST_DELAY: Duration = Duration::from_mins(10);
const LONGEST_DRAIN: Duration = Duration::from_hours(24);

/// Addresses and limits of the gateway's own side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listen {
    /// For callers, over TLS.
    pub https: Option<SocketAddr>,
    /// For callers behind something that ends TLS. This or `https` is there.
    pub http: Option<SocketAddr>,
    /// For health checks and metrics.
    pub probe: Option<SocketAddr>,
    /// For operators. Where it is not a loopback address, `admin_token_file` is there.
    pub admin: Option<SocketAddr>,
    pub admin_token_file: Option<PathBuf>,
    /// There if and only if `https` is.
    pub tls: Option<Tls>,
    /// Largest request body in bytes.
    pub max_body: usize,
    /// How long connections are still accepted once readiness is down.
    pub drain_delay: Duration,
    /// How long open requests may go on when the gateway stops.
    pub drain_timeout: Duration,
    /// Load balancers before the gateway that tell the client's address.
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
            at.clone(),
            "there is no address for callers",
            "give https, or http behind something that ends TLS",
        );
    }
    if raw.https.is_some() && raw.tls.is_none() {
        diagnostics.error_in(at, "tls", "https has no certificate", "add [listen.tls] with cert and key");
    }
    if let (None, Some(tls)) = (&raw.https, &raw.tls) {
        diagnostics.error(
            tls.span(),
            "there is no https that would use it",
            "give listen.https, or remove [listen.tls]",
        );
    }
    let mut taken = Vec::new();
    let mut address = |text: &Option<Text>| address(text.as_ref()?, &mut taken, diagnostics);
    let (https, http, probe) = (address(&raw.https), address(&raw.http), address(&raw.probe));
    let admin = address(&raw.admin);
    if let (Some(text), Some(address)) = (&raw.admin, admin)
        && !address.ip().is_loopback()
        && raw.admin_token_file.is_none()
    {
        let message = format!("{address} can be reached from elsewhere and nothing protects it");
        diagnostics.error(
            text.span(),
            message,
            "give listen.admin_token_file, or a loopback address as 127.0.0.1:9091",
        );
    }
    if let (None, Some(file)) = (&raw.admin, &raw.admin_token_file) {
        diagnostics.error(
            file.span(),
            "there is no admin address that would use it",
            "give listen.admin, or remove it",
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
        max_body: max_body(raw.max_body.as_ref(), diagnostics),
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
            "there are no peers, so nobody is believed",
            "give their addresses, as in [\"10.0.0.0/16\"], or remove the table",
        );
    }
    let mut network = |text: &Text| {
        let written = text.get_ref();
        // A single address is a network of one.
        let network =
            written.parse::<IpNet>().or_else(|_| written.parse::<std::net::IpAddr>().map(IpNet::from)).ok();
        match network {
            Some(network) if network.prefix_len() == 0 => {
                let message =
                    format!("{network} is everybody, who could then write any address into the log");
                diagnostics.error(text.span(), message, "give the balancers' own addresses");
            }
            Some(network) if network.network().to_canonical() != network.network() => diagnostics.error(
                text.span(),
                format!("{network} is IPv4 written as IPv6"),
                "write it as IPv4, as in \"10.0.0.0/16\"",
            ),
            Some(_) => {}
            None => diagnostics.error(
                text.span(),
                format!("\"{written}\" is no address and no network"),
                "write it like \"10.0.0.0/16\" or \"10.0.1.7\"",
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

fn address(
    text: &Text,
    taken: &mut Vec<SocketAddr>,
    diagnostics: &mut Diagnostics<'_>,
) -> Option<SocketAddr> {
    let Ok(address) = text.get_ref().parse::<SocketAddr>() else {
        let message = format!("\"{}\" is no address to listen on", text.get_ref());
        diagnostics.error(
            text.span(),
            message,
            "give an IP address and a port, as in \"0.0.0.0:8443\" or \"[::]:8443\"",
        );
        return None;
    };
    // Port 0 lets the system choose a free one each time.
    if address.port() != 0 && taken.contains(&address) {
        diagnostics.error(text.span(), format!("{address} is given twice"), "give each its own port");
    }
    taken.push(address);
    Some(address)
}

fn max_body(text: Option<&Text>, diagnostics: &mut Diagnostics<'_>) -> usize {
    let Some(text) = text else { return MAX_BODY };
    match units::bytes(text.get_ref()) {
        Some(size) if (1..=LARGEST_MAX_BODY).contains(&size) => return size,
        Some(_) => {
            diagnostics.error(
                text.span(),
                format!("{} is out of bounds", text.get_ref()),
                "give 1B to 512MiB",
            );
        }
        None => diagnostics.error(
            text.span(),
            format!("\"{}\" is no size", text.get_ref()),
            "write it like \"32MiB\" or \"512KiB\"",
        ),
    }
    MAX_BODY
}
