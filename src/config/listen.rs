//! `[listen]`: where the gateway listens and for whom.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use super::problem::Findings;
use super::raw::{self, Spanned, Text};
use super::units;
use crate::server::balancers::{Balancers, TellBy};

/// What model requests with documents and images come to; Bedrock's own limits are of this order.
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

pub(super) fn listen(table: &Spanned<raw::Listen>, findings: &mut Findings<'_>) -> Listen {
    let at = table.span();
    let raw = table.get_ref();
    if raw.https.is_none() && raw.http.is_none() {
        findings.fault(
            at.clone(),
            "there is no address for callers",
            "give https, or http behind something that ends TLS",
        );
    }
    if raw.https.is_some() && raw.tls.is_none() {
        findings.fault_in(at, "tls", "https has no certificate", "add [listen.tls] with cert and key");
    }
    if let (None, Some(tls)) = (&raw.https, &raw.tls) {
        findings.fault(
            tls.span(),
            "there is no https that would use it",
            "give listen.https, or remove [listen.tls]",
        );
    }
    let mut taken = Vec::new();
    let mut address = |text: &Option<Text>| address(text.as_ref()?, &mut taken, findings);
    let (https, http, probe) = (address(&raw.https), address(&raw.http), address(&raw.probe));
    let admin = address(&raw.admin);
    if let (Some(text), Some(address)) = (&raw.admin, admin)
        && !address.ip().is_loopback()
        && raw.admin_token_file.is_none()
    {
        let fault = format!("{address} can be reached from elsewhere and nothing protects it");
        findings.fault(
            text.span(),
            fault,
            "give listen.admin_token_file, or a loopback address as 127.0.0.1:9091",
        );
    }
    if let (None, Some(file)) = (&raw.admin, &raw.admin_token_file) {
        findings.fault(
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
        admin_token_file: raw.admin_token_file.as_ref().map(|file| path(file, findings)),
        tls: raw.tls.as_ref().map(|tls| Tls {
            cert: path(&tls.get_ref().cert, findings),
            key: path(&tls.get_ref().key, findings),
        }),
        max_body: max_body(raw.max_body.as_ref(), findings),
        drain_delay: findings
            .duration(raw.drain_delay.as_ref(), Duration::ZERO..=LONGEST_DELAY)
            .unwrap_or_default(),
        drain_timeout: findings
            .duration(raw.drain_timeout.as_ref(), Duration::ZERO..=LONGEST_DRAIN)
            .unwrap_or(DRAIN_TIMEOUT),
        balancers: raw.balancers.as_ref().map(|raw| balancers(raw, findings)),
    }
}

fn balancers(table: &Spanned<raw::Balancers>, findings: &mut Findings<'_>) -> Balancers {
    let raw = table.get_ref();
    if raw.peers.is_empty() {
        findings.fault(
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
                let fault = format!("{network} is everybody, who could then write any address into the log");
                findings.fault(text.span(), fault, "give the balancers' own addresses");
            }
            Some(network) if network.network().to_canonical() != network.network() => findings.fault(
                text.span(),
                format!("{network} is IPv4 written as IPv6"),
                "write it as IPv4, as in \"10.0.0.0/16\"",
            ),
            Some(_) => {}
            None => findings.fault(
                text.span(),
                format!("\"{written}\" is no address and no network"),
                "write it like \"10.0.0.0/16\" or \"10.0.1.7\"",
            ),
        }
        network
    };
    Balancers {
        peers: raw.peers.iter().filter_map(&mut network).collect(),
        tell_by: match raw.tell_by {
            raw::TellBy::ProxyProtocol => TellBy::ProxyProtocol,
            raw::TellBy::XForwardedFor => TellBy::ForwardedFor,
        },
    }
}

fn address(text: &Text, taken: &mut Vec<SocketAddr>, findings: &mut Findings<'_>) -> Option<SocketAddr> {
    let Ok(address) = text.get_ref().parse::<SocketAddr>() else {
        let fault = format!("\"{}\" is no address to listen on", text.get_ref());
        findings.fault(
            text.span(),
            fault,
            "give an IP address and a port, as in \"0.0.0.0:8443\" or \"[::]:8443\"",
        );
        return None;
    };
    // Port 0 lets the system choose a free one each time.
    if address.port() != 0 && taken.contains(&address) {
        findings.fault(text.span(), format!("{address} is given twice"), "give each its own port");
    }
    taken.push(address);
    Some(address)
}

fn max_body(text: Option<&Text>, findings: &mut Findings<'_>) -> usize {
    let Some(text) = text else { return MAX_BODY };
    match units::bytes(text.get_ref()) {
        Some(size) if (1..=LARGEST_MAX_BODY).contains(&size) => return size,
        Some(_) => {
            findings.fault(text.span(), format!("{} is out of bounds", text.get_ref()), "give 1B to 512MiB");
        }
        None => findings.fault(
            text.span(),
            format!("\"{}\" is no size", text.get_ref()),
            "write it like \"32MiB\" or \"512KiB\"",
        ),
    }
    MAX_BODY
}

/// A path, which may not be empty. Whether there is such a file is seen when it is opened.
pub(super) fn path(text: &Text, findings: &mut Findings<'_>) -> PathBuf {
    if text.get_ref().is_empty() {
        findings.fault(text.span(), "the path is empty", "give the path of a file, or remove the key");
    }
    PathBuf::from(text.get_ref())
}
