//! Load balancers in front of the gateway. They connect on behalf of clients and name the client's address. The gateway
//! believes only the configured balancers, and writes the address to the access log and nowhere else.
//!
//! The `proxy-header` crate parses the PROXY header. This module decides which peers the gateway believes, and which of
//! the addresses is the client's.

use std::io;
use std::net::{IpAddr, SocketAddr};

use http::HeaderMap;
use ipnet::IpNet;
use proxy_header::{ParseConfig, ProxyHeader};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::net::TcpStream;

/// The configured balancers, and how they name the client's address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Balancers {
    pub peers: Vec<IpNet>,
    pub client_address: ClientAddress,
}

/// The way in which a balancer names the client's address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientAddress {
    /// PROXY protocol, version 2 (haproxy.org, proxy-protocol.txt), at the beginning of every connection.
    ProxyProtocol,
    /// `X-Forwarded-For`: each hop adds the address of its peer.
    ForwardedFor,
}

/// Whether connections begin with a PROXY header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ExpectedHeader {
    Never,
    /// Health checks may send one or not.
    Perhaps,
    /// Required of every connection: a client that could leave the header out could also write a false one.
    Always,
}

const HEADER: &str = "x-forwarded-for";
/// The length of a PROXY header's fixed beginning, bytes. It ends with the length of the rest.
const FIXED: usize = 16;
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// The most bytes that may follow. Addresses take 36, and balancers add a few hundred of their own.
const LONGEST: usize = 4096;

impl Balancers {
    pub(super) fn is_one(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.peers.iter().any(|network| network.contains(&address))
    }

    /// The client address of a request that arrived over a connection from `peer`: the last address in the header that
    /// does not belong to a balancer. The client could have invented every address before it.
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

/// An address in the form of a balancer; some add a port.
fn address(text: &str) -> Option<IpAddr> {
    let address: Option<SocketAddr> = text.parse().ok();
    let bare = || text.trim_start_matches('[').trim_end_matches(']').parse().ok();
    address.map(|address| address.ip()).or_else(bare).map(|address| address.to_canonical())
}

/// Reads the PROXY header at the beginning of a balancer's connection, and no byte more. `None`: the balancer connects
/// for itself, or names no address.
///
/// # Errors
/// When the connection begins with anything else, or ends early.
pub(super) async fn read_header(
    stream: &mut TcpStream,
    expected_header: ExpectedHeader,
) -> io::Result<Option<SocketAddr>> {
    match expected_header {
        ExpectedHeader::Never => Ok(None),
        ExpectedHeader::Always => proxy_header(stream).await,
        ExpectedHeader::Perhaps => {
            let mut first = [0];
            // No request begins with this byte.
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
        return Err(invalid("the connection does not begin with a PROXY protocol v2 header"));
    }
    let rest = usize::from(u16::from_be_bytes([header[FIXED - 2], header[FIXED - 1]]));
    if rest > LONGEST {
        return Err(invalid("the PROXY header is longer than 4096 bytes"));
    }
    header.resize(FIXED + rest, 0);
    stream.read_exact(&mut header[FIXED..]).await?;
    let only_addresses = ParseConfig { include_tlvs: false, allow_v1: false, allow_v2: true };
    let (parsed, _length) =
        ProxyHeader::parse(&header, only_addresses).map_err(|_| invalid("the PROXY header is malformed"))?;
    Ok(parsed.proxied_address().map(|address| address.source))
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

    fn client(peer: &str, values: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(HEADER, value.parse().unwrap());
        }
        let peer = SocketAddr::new(peer.parse().unwrap(), 1);
        balancers().forwarded_for(peer, &headers).ip().to_string()
    }

    #[test]
    fn the_client_is_the_last_address_that_is_not_a_balancers() {
        for (peer, values, expected) in [
            ("10.0.0.1", &["192.0.2.1"][..], "192.0.2.1"),
            ("10.0.0.1", &["6.6.6.6, 192.0.2.1"], "192.0.2.1"),
            ("10.0.0.1", &["6.6.6.6", "192.0.2.1 , 10.0.0.2"], "192.0.2.1"),
            ("::ffff:10.0.0.1", &["192.0.2.1:4711"], "192.0.2.1"),
            ("fd00::1", &["[2001:db8::1]:443"], "2001:db8::1"),
            ("fd00::1", &["2001:db8::1"], "2001:db8::1"),
            ("fd00::1", &["[2001:db8::1]"], "2001:db8::1"),
            ("10.0.0.1", &["::ffff:192.0.2.1"], "192.0.2.1"),
            // Every hop is a balancer: the first one counts.
            ("10.0.0.1", &["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
            // A word that is not an address ends the search.
            ("10.0.0.1", &["6.6.6.6, unknown"], "10.0.0.1"),
            ("10.0.0.1", &["6.6.6.6, unknown, 10.0.0.2"], "10.0.0.2"),
            ("10.0.0.1", &["6.6.6.6,"], "10.0.0.1"),
            ("10.0.0.1", &[], "10.0.0.1"),
            // A peer that is not a balancer is not believed.
            ("192.0.2.9", &["192.0.2.1"], "192.0.2.9"),
        ] {
            assert_eq!(client(peer, values), expected, "{peer} {values:?}");
        }
    }

    fn header(addresses: Option<(SocketAddr, SocketAddr)>) -> Vec<u8> {
        let header = match addresses {
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
            let (client, left) = read(&bytes).await;
            assert_eq!((client.unwrap(), left), (Some(source), &b"GET /"[..]));
        }
        let bytes = header(None);
        let (client, left) = read(&bytes).await;
        assert_eq!((client.unwrap(), left), (None, &b""[..]));
    }

    #[tokio::test]
    async fn anything_but_a_proxy_header_is_rejected() {
        let valid = header(Some(("192.0.2.1:1".parse().unwrap(), "192.0.2.2:2".parse().unwrap())));
        let mut long = valid.clone();
        long[FIXED - 2..FIXED].copy_from_slice(&u16::MAX.to_be_bytes());
        long.resize(FIXED + usize::from(u16::MAX), 0);
        let mut of_version_3 = valid.clone();
        of_version_3[12] = 0x31;
        let mut short = valid.clone();
        short[FIXED - 1] = 4;
        for bytes in [
            &b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n"[..],
            b"GET / HTTP/1.1\r\nhost: gateway\r\n\r\n",
            &valid[..valid.len() - 1],
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
        fn no_byte_behind_the_announced_length_is_read(
            kind: u8, family: u8, rest in prop::collection::vec(any::<u8>(), 0..300), announced in 0_u16..400,
        ) {
            let mut bytes = SIGNATURE.to_vec();
            bytes.extend([kind, family]);
            bytes.extend(announced.to_be_bytes());
            bytes.extend(&rest);
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let (client, left) = runtime.block_on(read(&bytes));
            let behind = rest.len().checked_sub(usize::from(announced));
            prop_assert!(behind.is_some() || client.is_err());
            if let Some(behind) = behind {
                prop_assert_eq!(left.len(), behind);
            }
        }
    }
}
