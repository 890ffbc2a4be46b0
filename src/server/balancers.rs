//! Load balancers in front: they connect on behalf of clients and tell whose. What they tell goes to the
//! access log and nowhere else, and only those that are configured are believed.
//!
//! The `proxy-header` crate parses the header. Written here is what is believed: of which peers, and which of the
//! addresses.

use std::io;
use std::net::{IpAddr, SocketAddr};

use http::HeaderMap;
use ipnet::IpNet;
use proxy_header::{ParseConfig, ProxyHeader};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::net::TcpStream;

/// Who they are and how they tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Balancers {
    pub peers: Vec<IpNet>,
    pub client_address: ClientAddress,
}

/// How a balancer tells whom it connects for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientAddress {
    /// PROXY protocol, version 2 (haproxy.org, proxy-protocol.txt), at the beginning of every connection.
    ProxyProtocol,
    /// The header that each hop adds its peer's address to.
    ForwardedFor,
}

/// Whether connections begin with a PROXY header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ExpectedHeader {
    Never,
    /// Health checks come with and without.
    Perhaps,
    /// Never a matter of what comes: who could leave it out could also write their own.
    Always,
}

const HEADER: &str = "x-forwarded-for";
/// What a PROXY header begins with, up to its length.
const FIXED: usize = 16;
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// What may follow, bytes: addresses take 36, and balancers add some hundred of their own.
const LONGEST: usize = 4096;

impl Balancers {
    pub(super) fn is_one(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.peers.iter().any(|network| network.contains(&address))
    }

    /// The client of a request that arrived over a connection from `peer`: the last address in the header that is
    /// not a balancer's, since whatever stands before it is the client's own invention.
    pub(super) fn forwarded_for(&self, peer: SocketAddr, headers: &HeaderMap) -> SocketAddr {
        let mut client = peer;
        if self.client_address != ClientAddress::ForwardedFor {
            return client;
        }
        let values = headers.get_all(HEADER).iter().rev().map_while(|value| value.to_str().ok());
        for text in values.flat_map(|value| value.rsplit(',')) {
            if !self.is_one(client.ip()) {
                break;
            }
            let Some(address) = address(text.trim()) else { break };
            client = SocketAddr::new(address, 0);
        }
        client
    }
}

/// An address as balancers write it: some with a port.
fn address(text: &str) -> Option<IpAddr> {
    let address: Option<SocketAddr> = text.parse().ok();
    let bare = || text.trim_start_matches('[').trim_end_matches(']').parse().ok();
    address.map(|address| address.ip()).or_else(bare).map(|address| address.to_canonical())
}

/// Reads what a connection of a balancer begins with, and nothing behind it. `None`: the balancer speaks for
/// itself, or of nobody who has an address.
///
/// # Errors
/// When it begins with anything else, or ends.
pub(super) async fn read_header(
    stream: &mut TcpStream,
    expected_header: ExpectedHeader,
) -> io::Result<Option<SocketAddr>> {
    match expected_header {
        ExpectedHeader::Never => Ok(None),
        ExpectedHeader::Always => proxy_header(stream).await,
        ExpectedHeader::Perhaps => {
            let mut first = [0];
            // No request begins so.
            if stream.peek(&mut first).await? == 1 && first[0] == SIGNATURE[0] {
                proxy_header(stream).await
            } else {
                Ok(None)
            }
        }
    }
}

async fn proxy_header(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<SocketAddr>> {
    let invalid = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what);
    let mut header = vec![0; FIXED];
    stream.read_exact(&mut header).await?;
    if !header.starts_with(SIGNATURE) {
        return Err(invalid("this is no header of the PROXY protocol, version 2"));
    }
    let rest = usize::from(u16::from_be_bytes([header[FIXED - 2], header[FIXED - 1]]));
    if rest > LONGEST {
        return Err(invalid("the PROXY header is too long"));
    }
    header.resize(FIXED + rest, 0);
    stream.read_exact(&mut header[FIXED..]).await?;
    let only_addresses = ParseConfig { include_tlvs: false, allow_v1: false, allow_v2: true };
    let (told, _length) =
        ProxyHeader::parse(&header, only_addresses).map_err(|_| invalid("the PROXY header is malformed"))?;
    Ok(told.proxied_address().map(|told| told.source))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proxy_header::ProxiedAddress;

    use super::*;

    fn balancers() -> Balancers {
        let peers = ["10.0.0.0/8", "fd00::/8"].map(|network| network.parse().unwrap()).to_vec();
        Balancers { peers, client_address: ClientAddress::ForwardedFor }
    }

    fn told(peer: &str, values: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(HEADER, value.parse().unwrap());
        }
        let peer = SocketAddr::new(peer.parse().unwrap(), 1);
        balancers().forwarded_for(peer, &headers).ip().to_string()
    }

    #[test]
    fn the_last_address_that_is_no_balancers() {
        for (peer, values, client) in [
            ("10.0.0.1", &["192.0.2.1"][..], "192.0.2.1"),
            ("10.0.0.1", &["6.6.6.6, 192.0.2.1"], "192.0.2.1"),
            ("10.0.0.1", &["6.6.6.6", "192.0.2.1 , 10.0.0.2"], "192.0.2.1"),
            ("::ffff:10.0.0.1", &["192.0.2.1:4711"], "192.0.2.1"),
            ("fd00::1", &["[2001:db8::1]:443"], "2001:db8::1"),
            ("fd00::1", &["2001:db8::1"], "2001:db8::1"),
            ("fd00::1", &["[2001:db8::1]"], "2001:db8::1"),
            ("10.0.0.1", &["::ffff:192.0.2.1"], "192.0.2.1"),
            // Every hop is a balancer: the farthest.
            ("10.0.0.1", &["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
            // Nothing before a word that is no address is believed.
            ("10.0.0.1", &["6.6.6.6, unknown"], "10.0.0.1"),
            ("10.0.0.1", &["6.6.6.6, unknown, 10.0.0.2"], "10.0.0.2"),
            ("10.0.0.1", &["6.6.6.6,"], "10.0.0.1"),
            ("10.0.0.1", &[], "10.0.0.1"),
            // Whoever is no balancer is not believed.
            ("192.0.2.9", &["192.0.2.1"], "192.0.2.9"),
        ] {
            assert_eq!(told(peer, values), client, "{peer} {values:?}");
        }
    }

    fn header(told: Option<(SocketAddr, SocketAddr)>) -> Vec<u8> {
        let header = match told {
            Some((source, destination)) => {
                ProxyHeader::with_address(ProxiedAddress::stream(source, destination))
            }
            None => ProxyHeader::with_local(),
        };
        let mut bytes = Vec::new();
        header.encode_v2(&mut bytes).unwrap();
        bytes
    }

    async fn read(mut bytes: &[u8]) -> (io::Result<Option<SocketAddr>>, &[u8]) {
        (proxy_header(&mut bytes).await, bytes)
    }

    #[tokio::test]
    async fn a_proxy_header_is_read_and_nothing_behind_it() {
        for (source, destination) in
            [("192.0.2.1:4711", "10.0.0.9:443"), ("[2001:db8::1]:4711", "[fd00::9]:443")]
        {
            let (source, destination) = (source.parse().unwrap(), destination.parse().unwrap());
            let mut bytes = header(Some((source, destination)));
            bytes.extend(b"GET /");
            let (told, left) = read(&bytes).await;
            assert_eq!((told.unwrap(), left), (Some(source), &b"GET /"[..]));
        }
        let bytes = header(None);
        let (told, left) = read(&bytes).await;
        assert_eq!((told.unwrap(), left), (None, &b""[..]));
    }

    #[tokio::test]
    async fn what_is_none() {
        let good = header(Some(("192.0.2.1:1".parse().unwrap(), "192.0.2.2:2".parse().unwrap())));
        let mut long = good.clone();
        long[FIXED - 2..FIXED].copy_from_slice(&u16::MAX.to_be_bytes());
        long.resize(FIXED + usize::from(u16::MAX), 0);
        let mut of_version_3 = good.clone();
        of_version_3[12] = 0x31;
        let mut short = good.clone();
        short[FIXED - 1] = 4;
        for bytes in [
            &b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n"[..],
            b"GET / HTTP/1.1\r\nhost: gateway\r\n\r\n",
            &good[..good.len() - 1],
            &long,
            &of_version_3,
            &short,
            b"",
        ] {
            assert!(read(bytes).await.0.is_err(), "{}", bytes[..bytes.len().min(40)].escape_ascii());
        }
    }

    proptest! {
        #[test]
        fn whatever_it_is_no_more_is_read_than_it_says(
            kind: u8, family: u8, rest in prop::collection::vec(any::<u8>(), 0..300), said in 0_u16..400,
        ) {
            let mut bytes = SIGNATURE.to_vec();
            bytes.extend([kind, family]);
            bytes.extend(said.to_be_bytes());
            bytes.extend(&rest);
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let (told, left) = runtime.block_on(read(&bytes));
            let behind = rest.len().checked_sub(usize::from(said));
            prop_assert!(behind.is_some() || told.is_err());
            if let Some(behind) = behind {
                prop_assert_eq!(left.len(), behind);
            }
        }
    }
}
