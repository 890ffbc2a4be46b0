//! Connections that do little: bodies that arrive slowly, answers that are not read, or nothing at all.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::frames::{END_HEADERS, END_STREAM, HEADERS, SETTINGS, WINDOW_UPDATE, call, frame, preface};
use crate::gate::{BALANCER, CONVERSE, Gate, Growth, HELLO, amount, connect_narrow};

/// A server that answers every request with an endless body.
pub(crate) struct Fountain {
    address: SocketAddr,
    bytes: Arc<AtomicU64>,
    answers: Arc<AtomicU64>,
}

impl Fountain {
    pub(crate) fn start() -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        // Connections inherit this size. The test counts bytes that the gateway has read, not bytes that wait for it.
        socket.set_send_buffer_size(16 * 1024).unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(1024).unwrap();
        let address = listener.local_addr().unwrap();
        let (bytes, answers) = (Arc::default(), Arc::default());
        let fountain = Self { address, bytes: Arc::clone(&bytes), answers: Arc::clone(&answers) };
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(flow(stream, Arc::clone(&bytes), Arc::clone(&answers)));
            }
        });
        fountain
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Waits until this number of answers has begun, and then until the gateway reads no more of them.
    async fn wait_until_full(&self, answers: u64) {
        let mut last = 0;
        for _ in 0..600 {
            tokio::time::sleep(Duration::from_millis(300)).await;
            let now = self.bytes.load(Ordering::Relaxed);
            if self.answers.load(Ordering::Relaxed) >= answers && now == last {
                return;
            }
            last = now;
        }
        panic!("the gateway reads more and more of answers that no client reads");
    }
}

async fn flow(mut stream: TcpStream, bytes: Arc<AtomicU64>, answers: Arc<AtomicU64>) {
    let mut asked = [0; 4096];
    if !stream.read(&mut asked).await.is_ok_and(|read| read > 0) {
        return;
    }
    answers.fetch_add(1, Ordering::Relaxed);
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
    let chunk = [b"10000\r\n".as_slice(), &vec![b'x'; 0x10000], b"\r\n"].concat();
    let mut next = head.as_bytes();
    while stream.write_all(next).await.is_ok() {
        bytes.fetch_add(next.len() as u64, Ordering::Relaxed);
        next = &chunk;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_senders() {
    // One principal's share of the memory for bodies is 128 MiB. Buffers that a body has outgrown take half as much again.
    let gate = Gate::open().await;
    let growth = Growth::mib(200, 800);
    gate.survives("slow senders of bodies", growth, async {
        let (senders, token) = (200, gate.token("slow"));
        let mut sending = JoinSet::new();
        for _ in 0..senders {
            let (address, token) = (gate.http, token.clone());
            sending.spawn(async move {
                let mut stream = TcpStream::connect(address).await.unwrap();
                let head = format!(
                    "POST {CONVERSE} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n\
                     content-type: application/json\r\ncontent-length: 33554432\r\n\r\n"
                );
                stream.write_all(head.as_bytes()).await.unwrap();
                // The gateway resets a refused connection while it sends.
                let sent = stream.write_all(&vec![b' '; 4 * 1024 * 1024]).await.is_ok();
                (stream, sent)
            });
        }
        let sent = sending.join_all().await;
        // Bodies that were not refused use part of the budget until they time out.
        let refused = refusals(sent).await;
        assert!(refused > 0, "one caller's bodies have a limit");
        format!("{senders} of one caller, 4 of 32 MiB sent by each, {refused} refused")
    })
    .await;
}

/// The number of refused requests. For the others, the gateway still waits for the rest of the body.
async fn refusals(sent: Vec<(TcpStream, bool)>) -> usize {
    let mut refused = 0;
    for (mut stream, sent) in sent {
        let mut answer = [0; 12];
        let answered = tokio::time::timeout(Duration::from_millis(20), stream.read_exact(&mut answer)).await;
        if answered.is_ok_and(|read| read.is_err() || &answer == b"HTTP/1.1 429") || !sent {
            refused += 1;
        }
    }
    refused
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_readers() {
    // The buffers of the two connections hold the data in flight for one answer: 64 KiB on one side, and 64 or 128 KiB
    // on the other. More data does not increase that. Without limits it would be a minute of 1 MiB a second.
    let gate = Gate::open().await;
    let (callers, each) = (4, amount(60, 250));
    let answers = callers * each;
    let growth = Growth::mib(answers as u64 * 2 / 5, answers as u64 * 60);
    gate.survives("slow readers", growth, async {
        let mut unread = Vec::new();
        let path = format!("/us-west-2{CONVERSE}");
        for caller in 0..callers {
            let token = gate.token(&format!("reader{caller}"));
            if caller % 2 == 0 {
                for _ in 0..each {
                    let mut stream = connect_narrow(gate.http).await;
                    let length = HELLO.len();
                    let asked = format!(
                        "POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n\
                         content-type: application/json\r\ncontent-length: {length}\r\n\r\n{HELLO}"
                    );
                    stream.write_all(asked.as_bytes()).await.unwrap();
                    unread.push(stream);
                }
            } else {
                unread.push(unread_streams(gate.http, &path, &token, each).await);
            }
        }
        gate.fountain.wait_until_full(answers as u64).await;
        format!("{answers} answers without end by {} connections", unread.len())
    })
    .await;
}

/// An HTTP/2 connection with this number of streams, whose answers have any length and are not read.
async fn unread_streams(address: SocketAddr, path: &str, token: &str, streams: usize) -> TcpStream {
    const WINDOW: u16 = 4;
    let mut stream = connect_narrow(address).await;
    let mut bytes = preface(&[(WINDOW, i32::MAX.unsigned_abs())]);
    bytes.extend(frame(WINDOW_UPDATE, 0, 0, &(i32::MAX.unsigned_abs() - 65_535).to_be_bytes()));
    bytes.extend(frame(SETTINGS, 1, 0, &[]));
    for n in 0..u32::try_from(streams).unwrap() {
        let head = call(path, token);
        bytes.extend(frame(HEADERS, END_HEADERS, 2 * n + 1, &head));
        bytes.extend(frame(0, END_STREAM, 2 * n + 1, HELLO.as_bytes()));
    }
    stream.write_all(&bytes).await.unwrap();
    stream
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_connections() {
    let gate = Gate::open().await;
    // Three kinds: silent before TLS, silent after a refusal over HTTP/1.1, and the same over HTTP/2. Their number is
    // limited to 10,000. Each may use 128 KiB for a head, and uses almost none of it.
    let each = amount(600, 3_300);
    let growth = Growth::mib(3 * each as u64 * 24 / 1024, 3 * each as u64 / 8);
    gate.survives("idle connections", growth, async {
        let mut opening = JoinSet::new();
        let mut idle = Vec::new();
        for n in 0..3 * each {
            let (http, https) = (gate.http, gate.https);
            opening.spawn(async move { open_idle(n, http, https).await });
            // The system queues no more than this at once.
            if opening.len() >= 200 {
                idle.extend(opening.join_next().await.map(Result::unwrap));
            }
        }
        idle.extend(opening.join_all().await);
        format!("{} connections", idle.len())
    })
    .await;
}

async fn open_idle(n: usize, http: SocketAddr, https: SocketAddr) -> TcpStream {
    if n.is_multiple_of(3) {
        return TcpStream::connect(https).await.unwrap();
    }
    let mut stream = TcpStream::connect(http).await.unwrap();
    let mut head = preface(&[]);
    head.extend(frame(HEADERS, END_HEADERS | END_STREAM, 1, &call(CONVERSE, "x")));
    let said = if n % 3 == 1 { b"POST /model/x/converse HTTP/1.1\r\nhost: x\r\n\r\n".to_vec() } else { head };
    stream.write_all(&said).await.unwrap();
    assert!(stream.read(&mut [0; 4096]).await.unwrap() > 0);
    stream
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_without_their_proxy_header() {
    // An open connection would take 20 KiB.
    let gate = Gate::open().await;
    let count = amount(2_000, 20_000);
    gate.survives(
        "connections without their PROXY header",
        Growth::mib(16, count as u64 * 20 / 1024),
        async {
            for _ in 0..count {
                let socket = TcpSocket::new_v4().unwrap();
                socket.bind((BALANCER, 0).into()).unwrap();
                let mut stream = socket.connect(gate.http).await.unwrap();
                stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
                assert!(matches!(stream.read(&mut [0]).await, Ok(0) | Err(_)));
            }
            format!("{count} connections, all closed")
        },
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unread_answers_of_the_gateway_itself() {
    // A page of metrics is at least 5 KiB, which leaves 2 KiB a stream for refusals. Refusals are small, so the gateway
    // accepts one for each stream, for a minute.
    for (name, path) in [("metrics", "/metrics"), ("refusals", CONVERSE)] {
        // A process for each: memory that the first test released would hide what the second one uses.
        let gate = Gate::open().await;
        let address = if path == CONVERSE { gate.http } else { gate.probe };
        let growth = Growth::mib(48, 60 * 250 * 7 / 1024);
        gate.survives(&format!("unread {name}"), growth, unread_answers(address, path)).await;
    }
}

/// 250 streams without room for a body on each of 60 connections.
async fn unread_answers(address: SocketAddr, path: &str) -> String {
    const WINDOW: u16 = 4;
    {
        let mut head = Vec::new();
        for (name, value) in [(":method", "GET"), (":scheme", "http"), (":authority", "x"), (":path", path)] {
            head.extend(crate::frames::block(&[(name, value)]));
        }
        let mut bytes = preface(&[(WINDOW, 0)]);
        for n in 0..250 {
            bytes.extend(frame(HEADERS, END_HEADERS | END_STREAM, 2 * n + 1, &head));
        }
        let mut unread = Vec::new();
        for _ in 0..60 {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(&bytes).await.unwrap();
            unread.push(stream);
        }
        // The gateway sends the head of every answer, and no body.
        for stream in &mut unread {
            let (mut read, begun) = (0, Instant::now());
            while read < 250 * 9 && begun.elapsed() < Duration::from_secs(20) {
                read += stream.read(&mut [0; 4096]).await.unwrap();
            }
            assert!(read >= 250 * 9, "every request gets an answer's head");
        }
        "60 connections of 250 streams".to_owned()
    }
}
