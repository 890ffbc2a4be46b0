//! Request heads that never end, that arrive slowly, or that decompress to much more.

use std::iter::repeat_n;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::frames::{
    CONTINUATION, END_HEADERS, END_STREAM, HEADERS, Senders, block, flood, frame, preface, text,
};
use crate::gate::{CONVERSE, Gate, Growth, amount};

#[tokio::test(flavor = "multi_thread")]
async fn slow_heads() {
    // A head may have 128 KiB, and must arrive within ten seconds. Each connection sends 100 KiB of 2 MiB.
    let gate = Gate::open().await;
    let connections = amount(300, 2_000);
    let growth = Growth::mib(connections as u64 / 5, connections as u64 * 2);
    gate.survives("slow senders of heads", growth, async {
        let mut open = Vec::new();
        for _ in 0..connections {
            let mut stream = TcpStream::connect(gate.http).await.unwrap();
            let head = format!("GET / HTTP/1.1\r\nhost: x\r\nx-long: {}", "x".repeat(100 * 1024));
            stream.write_all(head.as_bytes()).await.unwrap();
            open.push(stream);
        }
        // The gateway is done with them when it closes them.
        for stream in &mut open {
            assert!(matches!(stream.read(&mut [0]).await, Ok(0) | Err(_)));
        }
        format!("{connections} connections with 100 KiB of a head, all closed")
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn header_bombs() {
    // All connections may hold the 128 KiB of a head at the same time.
    let gate = Gate::open().await;
    let senders = Senders { connections: amount(200, 2_000), reads: true };
    let growth = Growth::mib(16 + senders.connections as u64 * 5 / 32, senders.connections as u64);
    gate.survives("heads without end (HTTP/1.1)", growth, async {
        let line = format!("x-bomb: {}\r\n", "x".repeat(1000)).repeat(16).into_bytes();
        let opening = format!("POST {CONVERSE} HTTP/1.1\r\nhost: x\r\n").into_bytes();
        flood(gate.http, senders, opening, repeat_n(line, 64)).await.summary(senders)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hpack_bombs() {
    // A field of 4,000 bytes goes into the table, and each further byte of the block repeats that field. So 16 KiB
    // decompress to 64 MB, on each of 100 streams.
    let gate = Gate::open().await;
    let senders = Senders { connections: 16, reads: true };
    gate.survives("HPACK bombs", Growth::mib(16, 16 * 100 * 60), async {
        let mut first =
            block(&[(":method", "POST"), (":scheme", "http"), (":authority", "x"), (":path", "/")]);
        first.push(0x40);
        text(&mut first, "x-bomb");
        text(&mut first, &"x".repeat(3_900));
        let mut opening = preface(&[]);
        opening.extend(frame(HEADERS, END_HEADERS | END_STREAM, 1, &first));
        // The newest field of the table is number 62.
        let bomb = vec![0x80 | 0x3e; 16_000];
        let bombs = (1..100).map(move |n| frame(HEADERS, END_HEADERS | END_STREAM, 2 * n + 1, &bomb));
        flood(gate.http, senders, opening, bombs).await.summary(senders)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn continuations() {
    let gate = Gate::open().await;
    let senders = Senders { connections: amount(60, 600), reads: true };
    let offered = senders.connections as u64 * 4;
    // Full frames, and empty frames. A head may have any number of them.
    for (name, length, count) in [("full", 16_000, 256), ("empty", 0, 20_000)] {
        let growth = Growth::mib(16 + senders.connections as u64 * 5 / 32, offered);
        gate.survives(&format!("CONTINUATION frames ({name})"), growth, async {
            let mut opening = preface(&[]);
            opening.extend(frame(HEADERS, 0, 1, &block(&[(":method", "POST")])));
            let mut field = vec![0];
            if length > 0 {
                text(&mut field, "x-more");
                text(&mut field, &"x".repeat(length));
            } else {
                field.clear();
            }
            let piece = frame(CONTINUATION, 0, 1, &field);
            flood(gate.http, senders, opening, repeat_n(piece, count)).await.summary(senders)
        })
        .await;
    }
}
