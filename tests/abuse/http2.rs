//! Floods of HTTP/2 frames that cost their sender nothing.

use std::iter::repeat_n;
use std::time::Duration;

use bedrock_standin::idp::{Algorithm, Claims, DocumentFault};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::task::JoinSet;

use crate::frames::{
    ACK, DATA, END_HEADERS, END_STREAM, HEADERS, PING, PRIORITY, RST_STREAM, SETTINGS, Senders, Taken,
    WINDOW_UPDATE, block, call, flood, frame, preface,
};
use crate::gate::{CONVERSE, Gate, Growth, HELLO, Log, amount, connect_narrow};

const CANCEL: u32 = 8;

#[tokio::test(flavor = "multi_thread")]
async fn rapid_reset() {
    // A request takes about 20 KiB while it lasts: its own state, the connection to Bedrock, the record. With a valid
    // token it reaches Bedrock before it is reset.
    let gate = Gate::open().await;
    let rounds = amount(40, 400);
    for (name, token) in [("with a good token", gate.token("resetter")), ("without", "x".to_owned())] {
        let growth = Growth::mib(32, rounds as u64 * 8);
        gate.survives(&format!("rapid reset {name}"), growth, async {
            let senders = Senders { connections: 4, reads: true };
            let head = call(CONVERSE, &token);
            let mut bytes = 0;
            for _ in 0..rounds {
                let head = head.clone();
                let resets = (0..100).map(move |n| {
                    let mut both = frame(HEADERS, END_HEADERS, 2 * n + 1, &head);
                    both.extend(frame(DATA, END_STREAM, 2 * n + 1, HELLO.as_bytes()));
                    both.extend(frame(RST_STREAM, 0, 2 * n + 1, &CANCEL.to_be_bytes()));
                    both
                });
                bytes += flood(gate.http, senders, preface(&[]), resets).await.bytes;
            }
            format!("{} KiB, {} requests at most", bytes / 1024, rounds * 400)
        })
        .await;
    }
}

/// Frames that belong to no request. Only the answers that they ask for could accumulate.
#[tokio::test(flavor = "multi_thread")]
async fn frames_of_no_request() {
    let gate = Gate::open().await;
    let count = amount(1_000, 6_000);
    let on_a_closed_stream = {
        let mut opened = frame(HEADERS, END_HEADERS | END_STREAM, 1, &call(CONVERSE, "x"));
        opened.extend(frame(RST_STREAM, 0, 1, &CANCEL.to_be_bytes()));
        opened
    };
    let one = 1_u32.to_be_bytes();
    // If the client does not read, answers to SETTINGS and PING stay in the gateway. Other frames have no answer.
    for (name, opened, piece, answered) in [
        ("SETTINGS", vec![], frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 255, 255]), true),
        ("PING", vec![], frame(PING, 0, 0, b"12345678"), true),
        ("WINDOW_UPDATE", vec![], frame(WINDOW_UPDATE, 0, 0, &one), false),
        ("PRIORITY", vec![], frame(PRIORITY, 0, 3, &[0, 0, 0, 1, 1]), false),
        ("RST_STREAM", on_a_closed_stream, frame(RST_STREAM, 0, 1, &one), false),
    ] {
        for reads in [true, false].into_iter().filter(|reads| *reads || answered) {
            let senders = Senders { connections: 8, reads };
            // A frame that is kept would take at least 100 bytes.
            let frames = senders.connections * count * 32;
            let growth = Growth::mib(8, frames as u64 * 100 / (1 << 20));
            let mut opening = preface(&[]);
            opening.extend(&opened);
            let pieces = repeat_n(piece.repeat(32), count);
            gate.survives(&format!("{frames} {name} frames"), growth, async {
                flood(gate.http, senders, opening, pieces).await.summary(senders)
            })
            .await;
        }
    }
}

/// Tiny DATA frames while the gateway waits for keys, and while it reads the body.
#[tokio::test(flavor = "multi_thread")]
async fn tiny_data_frames() {
    let gate = Gate::open().await;
    gate.standin.idp.jwks_faults().always(DocumentFault::Hang);
    let stranger = Claims::of("stranger").algorithm(Algorithm::ES256).kid("unknown");
    let senders = Senders { connections: 8, reads: true };
    for (name, token) in [("waiting", gate.standin.idp.mint(stranger)), ("reading", gate.token("trickler"))] {
        for length in [0, 1] {
            let count = amount(1_000, 6_000);
            let frames = senders.connections * count * 32;
            let growth = Growth::mib(8, frames as u64 * 100 / (1 << 20));
            gate.survives(&format!("{frames} DATA frames of {length} bytes, {name}"), growth, async {
                let mut opening = preface(&[]);
                opening.extend(frame(HEADERS, END_HEADERS, 1, &call(CONVERSE, &token)));
                let piece = frame(DATA, 0, 1, &vec![b' '; length]).repeat(32);
                let taken: Taken = flood(gate.http, senders, opening, repeat_n(piece, count)).await;
                taken.summary(senders)
            })
            .await;
        }
    }
}

/// The HTTP library logs a warning for each of them and continues.
#[tokio::test(flavor = "multi_thread")]
async fn unsolicited_ping_acks() {
    let (connections, count) = (4, amount(100_000, 1_000_000));
    for log in [Log::ToFile, Log::ToSlowReader] {
        let gate = Gate::open_with(log).await;
        for (listener, path) in [("http", "/"), ("https", "/"), ("probe", "/healthz")] {
            // A frame that is kept would take at least 100 bytes.
            let growth = Growth::mib(16, (connections * count) as u64 * 100 / (1 << 20));
            let name = format!("unsolicited PING acks ({listener}, log {log:?})");
            let abuse = async {
                let mut sending = JoinSet::new();
                for _ in 0..connections {
                    match listener {
                        "http" => sending.spawn(acknowledge(connect_narrow(gate.http).await, path, count)),
                        "https" => sending.spawn(acknowledge(gate.connect_tls().await, path, count)),
                        _ => sending.spawn(acknowledge(connect_narrow(gate.probe).await, path, count)),
                    };
                }
                let taken: usize = sending.join_all().await.into_iter().sum();
                format!("{} KiB by {connections} connections", taken / 1024)
            };
            let served = gate.survives(&name, growth, abuse).await;
            assert!(served.slowest() < Duration::from_secs(5), "{name}: an honest client waits for the log");
        }
    }
}

/// Sends a request that needs no token, then acknowledges `count` PINGs that the gateway never sent. Returns the number
/// of bytes that the gateway accepted.
async fn acknowledge<S>(mut stream: S, path: &'static str, count: usize) -> usize
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let head = block(&[(":method", "GET"), (":scheme", "http"), (":authority", "x"), (":path", path)]);
    let mut opening = preface(&[]);
    opening.extend(frame(HEADERS, END_HEADERS | END_STREAM, 1, &head));
    stream.write_all(&opening).await.unwrap();
    // `:status: 200` is one byte (RFC 7541, appendix A).
    assert_eq!(answer(&mut stream).await.first(), Some(&0x88));
    let (mut reader, mut writer) = tokio::io::split(stream);
    let reading = tokio::spawn(async move { tokio::io::copy(&mut reader, &mut tokio::io::sink()).await });
    let piece = frame(PING, ACK, 0, b"12345678").repeat(32);
    let mut sent = 0;
    while sent < count * piece.len() / 32 && writer.write_all(&piece).await.is_ok() {
        sent += piece.len();
    }
    // The gateway closes its side when it has processed everything.
    if writer.shutdown().await.is_ok() {
        let _ended = reading.await.unwrap();
    }
    sent
}

/// The header block of the first answer.
async fn answer(stream: &mut (impl AsyncRead + Unpin)) -> Vec<u8> {
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).await.unwrap();
        let mut payload = vec![0; usize::from(head[1]) << 8 | usize::from(head[2])];
        stream.read_exact(&mut payload).await.unwrap();
        if head[3] == HEADERS {
            return payload;
        }
    }
}
