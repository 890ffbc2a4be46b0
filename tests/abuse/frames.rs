//! HTTP/2 by hand: frames that no client library would send.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedReadHalf;
use tokio::task::JoinSet;

use crate::gate::connect_narrow;

// Types and flags of frames (RFC 9113, section 6).
pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const PRIORITY: u8 = 2;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;
pub(crate) const ACK: u8 = 1;
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

/// The first bytes of a client, with these settings.
pub(crate) fn preface(settings: &[(u16, u32)]) -> Vec<u8> {
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    let settings: Vec<u8> = settings
        .iter()
        .flat_map(|(name, value)| [&name.to_be_bytes()[..], &value.to_be_bytes()[..]].concat())
        .collect();
    bytes.extend(frame(SETTINGS, 0, 0, &settings));
    bytes
}

pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = vec![length[1], length[2], length[3], kind, flags];
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// A header block without compression (RFC 7541, section 6.2.2).
pub(crate) fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, value) in fields {
        bytes.push(0);
        text(&mut bytes, name);
        text(&mut bytes, value);
    }
    bytes
}

/// The header block of a call with this token.
pub(crate) fn call(path: &str, token: &str) -> Vec<u8> {
    let authorization = format!("Bearer {token}");
    block(&[
        (":method", "POST"),
        (":scheme", "http"),
        (":authority", "gateway"),
        (":path", path),
        ("content-type", "application/json"),
        ("authorization", &authorization),
    ])
}

/// A string of HPACK, not Huffman-coded (RFC 7541, sections 5.1 and 5.2).
pub(crate) fn text(bytes: &mut Vec<u8>, text: &str) {
    let mut length = text.len();
    if length < 127 {
        bytes.push(u8::try_from(length).unwrap());
    } else {
        bytes.push(127);
        length -= 127;
        while length >= 128 {
            bytes.push(u8::try_from(length % 128).unwrap() | 128);
            length /= 128;
        }
        bytes.push(u8::try_from(length).unwrap());
    }
    bytes.extend(text.as_bytes());
}

/// The senders of a flood, and whether they read the gateway's answers.
#[derive(Clone, Copy)]
pub(crate) struct Senders {
    pub(crate) connections: usize,
    pub(crate) reads: bool,
}

/// The part of a flood that the gateway accepted.
#[derive(Default)]
pub(crate) struct Taken {
    /// Bytes that the gateway's system accepted.
    pub(crate) bytes: usize,
    /// Connections that are still open.
    open: Vec<TcpStream>,
}

impl Taken {
    pub(crate) fn summary(&self, senders: Senders) -> String {
        let how = if senders.reads { "" } else { " that read nothing" };
        format!("{} KiB by {} connections{how}", self.bytes / 1024, senders.connections)
    }
}

/// The time after which a sender gives up because the gateway accepts nothing.
const STUCK: Duration = Duration::from_secs(2);

/// Sends `opening` and then each of `pieces` on every connection, until the gateway closes it. A sender that does not
/// read stops when the gateway has accepted nothing for two seconds. Its connection stays open in the result.
pub(crate) async fn flood<P>(address: SocketAddr, senders: Senders, opening: Vec<u8>, pieces: P) -> Taken
where
    P: Iterator<Item = Vec<u8>> + Clone + Send + 'static,
{
    let mut sending = JoinSet::new();
    for _ in 0..senders.connections {
        sending.spawn(send(address, senders.reads, opening.clone(), pieces.clone()));
    }
    let mut taken = Taken::default();
    while let Some(sent) = sending.join_next().await {
        let (bytes, open) = sent.unwrap();
        taken.bytes += bytes;
        taken.open.extend(open);
    }
    taken
}

async fn send(
    address: SocketAddr,
    reads: bool,
    opening: Vec<u8>,
    pieces: impl Iterator<Item = Vec<u8>>,
) -> (usize, Option<TcpStream>) {
    let stream = connect_narrow(address).await;
    let (reader, mut writer) = stream.into_split();
    let (mut reader, mut reading) = (Some(reader), None);
    if reads {
        reading = reader.take().map(|reader| tokio::spawn(read_all(reader)));
    }
    let mut sent = 0;
    for piece in std::iter::once(opening).chain(pieces) {
        let written = match reading {
            Some(_) => writer.write_all(&piece).await,
            None => match tokio::time::timeout(STUCK, writer.write_all(&piece)).await {
                Ok(written) => written,
                Err(_elapsed) => break,
            },
        };
        if written.is_err() {
            return (sent, None);
        }
        sent += piece.len();
    }
    let Some(reading) = reading else {
        return (sent, reader.map(|reader| reader.reunite(writer).unwrap()));
    };
    // The gateway closes its side when it has processed everything.
    if writer.shutdown().await.is_ok() {
        reading.await.unwrap();
    }
    (sent, None)
}

async fn read_all(mut reader: OwnedReadHalf) {
    let mut buffer = vec![0; 64 * 1024];
    while reader.read(&mut buffer).await.is_ok_and(|read| read > 0) {}
}
