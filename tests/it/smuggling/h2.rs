//! Request smuggling over HTTP/2, frame by frame: the gateway refuses heads that HTTP/1.1 cannot express.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{Two, billed};
use crate::world::{CONVERSE, HELLO, World};

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RESET: u8 = 3;
const SETTINGS: u8 = 4;
const GO_AWAY: u8 = 7;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A header list of literals without indexing (RFC 7541, section 6.2.2).
fn list(fields: &[(&[u8], &[u8])]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, value) in fields {
        bytes.push(0);
        for text in [name, value] {
            let mut rest = text.len();
            if rest < 127 {
                bytes.push(u8::try_from(rest).unwrap());
            } else {
                bytes.push(127);
                rest -= 127;
                while rest >= 128 {
                    bytes.push(u8::try_from(rest % 128).unwrap() | 128);
                    rest /= 128;
                }
                bytes.push(u8::try_from(rest).unwrap());
            }
            bytes.extend_from_slice(text);
        }
    }
    bytes
}

/// The end of stream 1.
#[derive(Debug, PartialEq)]
enum End {
    Served,
    /// An answer with a status other than 200, a reset, or the end of the connection.
    Refused,
}

async fn end(world: &World, frames: &[Vec<u8>]) -> End {
    let mut stream = TcpStream::connect(world.gateway.addresses().http.unwrap()).await.unwrap();
    let hello = [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &frame(SETTINGS, 0, 0, &[])].concat();
    let _closed = stream.write_all(&[hello, frames.concat()].concat()).await.is_err();
    let answered = async {
        loop {
            let mut head = [0; 9];
            if stream.read_exact(&mut head).await.is_err() {
                return End::Refused;
            }
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            let mut payload = vec![0; length as usize];
            if stream.read_exact(&mut payload).await.is_err() {
                return End::Refused;
            }
            match (head[3], u32::from_be_bytes([head[5], head[6], head[7], head[8]])) {
                // `:status 200` is entry 8 of the static table.
                (HEADERS, 1) if payload[0] == 0x88 => return End::Served,
                (HEADERS | RESET, 1) | (GO_AWAY, 0) => return End::Refused,
                _ => {}
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(30), answered)
        .await
        .expect("the gateway neither answered nor closed")
}

type Field = (&'static [u8], &'static [u8]);

/// The fields of a valid request. `changed` replaces fields of the same name; `added` are appended.
fn fields<'a>(token: &'a [u8], changed: &[Field], added: &[Field]) -> Vec<(&'a [u8], &'a [u8])> {
    let mut fields: Vec<(&[u8], &[u8])> = vec![
        (b":method", b"POST"),
        (b":scheme", b"http"),
        (b":authority", b"gateway"),
        (b":path", CONVERSE.as_bytes()),
        (b"authorization", token),
        (b"content-type", b"application/json"),
    ];
    for (name, value) in changed {
        fields.iter_mut().find(|(known, _)| known == name).unwrap().1 = value;
    }
    fields.extend_from_slice(added);
    fields
}

fn request(fields: &[(&[u8], &[u8])]) -> Vec<Vec<u8>> {
    vec![frame(HEADERS, END_HEADERS, 1, &list(fields)), frame(DATA, END_STREAM, 1, HELLO.as_bytes())]
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_that_http_1_cannot_express_are_refused() {
    let two = Two::start().await;
    let token = format!("Bearer {}", two.alice).into_bytes();
    let expect = async |what: &str, frames: Vec<Vec<u8>>, ends: End| {
        let before = two.world.standin.bill.call_count();
        assert_eq!(end(&two.world, &frames).await, ends, "{what}");
        let payers: &[&str] = if ends == End::Served { &["alice"] } else { &[] };
        assert_eq!(billed(&two.world, before), payers, "{what}");
    };
    expect("a valid request", request(&fields(&token, &[], &[])), End::Served).await;
    let length = HELLO.len().to_string();
    let of_length: Field = (b"content-length", Box::leak(length.into_boxed_str()).as_bytes());
    expect("with its length", request(&fields(&token, &[], &[of_length])), End::Served).await;

    let changed: [(&str, Field); 8] = [
        ("a path with a line break", (b":path", b"/model/m/converse HTTP/1.1\r\nx-api-key: bob\r\n\r\n")),
        ("a path with a blank", (b":path", b"/model/m m/converse")),
        ("a path without a slash", (b":path", b"model/m/converse")),
        ("an empty path", (b":path", b"")),
        ("an asterisk", (b":path", b"*")),
        ("a method with a line break", (b":method", b"POST / HTTP/1.1\r\nx: y")),
        ("a tunnel", (b":method", b"CONNECT")),
        ("an authority with a user", (b":authority", b"a b@gateway")),
    ];
    for (what, field) in changed {
        expect(what, request(&fields(&token, &[field], &[])), End::Refused).await;
    }
    // A fragment is not part of the path, and the gateway does not forward it.
    let fragment: Field = (b":path", b"/model/m/converse#\r\nx-api-key: bob");
    expect("a line break in a fragment", request(&fields(&token, &[fragment], &[])), End::Served).await;
    let added: [(&str, &[Field]); 17] = [
        ("two paths", &[(b":path", b"/model/m/converse")]),
        ("a pseudo-header after the others", &[(b":authority", b"gateway")]),
        ("an unknown pseudo-header", &[(b":foo", b"bar")]),
        ("an answer's pseudo-header", &[(b":status", b"200")]),
        ("a Host that is another", &[(b"host", b"elsewhere")]),
        ("two Hosts", &[(b"host", b"gateway"), (b"host", b"gateway")]),
        ("a name in capitals", &[(b"X-One", b"a")]),
        ("a value with a line break", &[(b"x-one", b"a\r\nx-api-key: bob")]),
        ("a value with a zero byte", &[(b"x-one", b"a\0b")]),
        ("a name with a line break", &[(b"x-one\r\nx-api-key", b"bob")]),
        ("a name with a blank", &[(b"x one", b"a")]),
        ("a name with a colon", &[(b"x:one", b"a")]),
        ("an empty name", &[(b"", b"a")]),
        ("a connection header", &[(b"connection", b"close")]),
        ("chunks", &[(b"transfer-encoding", b"chunked")]),
        ("a length that is too short", &[(b"content-length", b"3")]),
        ("a length that is too long", &[(b"content-length", b"3000")]),
    ];
    for (what, more) in added {
        expect(what, request(&fields(&token, &[], more)), End::Refused).await;
    }
    for missing in [&b":method"[..], b":path", b":scheme"] {
        let mut fields = fields(&token, &[], &[]);
        fields.retain(|(name, _)| *name != missing);
        expect("a missing pseudo-header", request(&fields), End::Refused).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn trailers_do_not_change_the_caller() {
    let two = Two::start().await;
    let (alice, bob) = (format!("Bearer {}", two.alice), format!("Bearer {}", two.bob));
    for trailer in [
        (&b"authorization"[..], bob.as_bytes()),
        (b"x-api-key", two.bob.as_bytes()),
        (b":path", b"/model/other/converse"),
        (b"content-length", b"3"),
    ] {
        let frames = [
            frame(HEADERS, END_HEADERS, 1, &list(&fields(alice.as_bytes(), &[], &[]))),
            frame(DATA, 0, 1, HELLO.as_bytes()),
            frame(HEADERS, END_HEADERS | END_STREAM, 1, &list(&[trailer])),
        ];
        let before = two.world.standin.bill.call_count();
        let ends = end(&two.world, &frames).await;
        assert_eq!(billed(&two.world, before), if ends == End::Served { vec!["alice"] } else { vec![] });
        assert!(
            two.world.standin.bill.calls()[before..].iter().all(|call| CONVERSE.contains(&call.model[..8]))
        );
    }
}
