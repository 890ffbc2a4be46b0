//! Load: a bounded number of connections that each wait for their answer, or requests at a fixed rate.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use bedrock_bed::until;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;

/// Longest wait for an answer, and for a stream's end.
const PATIENCE: Duration = Duration::from_secs(60);

/// The address to send requests to, with or without TLS.
#[derive(Clone)]
pub(crate) struct Target {
    pub(crate) address: SocketAddr,
    pub(crate) tls: Option<TlsConnector>,
}

trait Io: AsyncRead + AsyncWrite + Unpin {}
impl<T: AsyncRead + AsyncWrite + Unpin> Io for T {}

impl Target {
    async fn connect(&self) -> Connection {
        let stream = TcpStream::connect(self.address).await.expect("the proxy accepts");
        Connection { io: self.wrap(stream).await, buffer: vec![0; 64 * 1024] }
    }

    async fn connect_h2(&self) -> SendRequest<Full<Bytes>> {
        let io = TokioIo::new(self.connect().await.io);
        let (sender, connection) =
            hyper::client::conn::http2::handshake(LocalExecutor, io).await.expect("an HTTP/2 handshake");
        tokio::task::spawn_local(async move {
            // The connection ends when the load ends.
            let _ended = connection.await.is_ok();
        });
        sender
    }

    async fn wrap(&self, stream: TcpStream) -> Box<dyn Io> {
        stream.set_nodelay(true).unwrap();
        match &self.tls {
            None => Box::new(stream),
            Some(tls) => {
                let name = ServerName::try_from("localhost").unwrap();
                Box::new(tls.connect(name, stream).await.expect("a TLS handshake"))
            }
        }
    }
}

/// Waits until the proxy accepts connections.
pub(crate) async fn listens(target: &Target) {
    until("an open port", async || TcpStream::connect(target.address).await.is_ok()).await;
}

/// Sends a request until the answer is 200. A proxy that is not ready yet refuses the connection, or the request.
pub(crate) async fn answers(target: &Target, request: &[u8]) {
    let asked = async || {
        let Ok(stream) = TcpStream::connect(target.address).await else { return false };
        let mut stream = target.wrap(stream).await;
        let mut start = [0; 12];
        stream.write_all(request).await.is_ok()
            && stream.read_exact(&mut start).await.is_ok()
            && start == *b"HTTP/1.1 200"
    };
    let until_answered = async {
        // More often than `until` checks, because this measures how long a proxy takes to start.
        while !asked().await {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(PATIENCE, until_answered).await.expect("the proxy answers");
}

/// A client's connection.
struct Connection {
    io: Box<dyn Io>,
    buffer: Vec<u8>,
}

/// The times of one answer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timing {
    /// Until the first byte of the body.
    pub(crate) first_byte: Duration,
    /// Until the last.
    pub(crate) whole: Duration,
}

/// The results of one window of load.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) requests: u64,
    pub(crate) took: Duration,
    pub(crate) timings: Vec<Timing>,
    /// The answers of each connection, or of each stream. Empty for an open loop.
    pub(crate) each: Vec<u64>,
}

impl Seen {
    /// The waits for whole answers, microseconds.
    pub(crate) fn waits(&self) -> Vec<f64> {
        self.timings.iter().map(|timing| timing.whole.as_secs_f64() * 1e6).collect()
    }

    /// The answers of the connection with the fewest, as a share of the mean.
    pub(crate) fn slowest(&self) -> f64 {
        let least = self.each.iter().min().copied().unwrap_or(0);
        least as f64 * self.each.len() as f64 / self.requests as f64
    }
}

/// A source of requests, each as the bytes to write, until there are no more.
pub(crate) type Requests = Rc<RefCell<dyn FnMut() -> Option<Bytes>>>;

/// The same requests again and again, in turn.
pub(crate) fn in_turn(requests: Vec<Bytes>) -> Requests {
    let mut next = 0;
    Rc::new(RefCell::new(move || {
        next += 1;
        Some(requests[(next - 1) % requests.len()].clone())
    }))
}

/// Each request once.
pub(crate) fn once(requests: Vec<Bytes>) -> Requests {
    let mut requests = requests.into_iter();
    Rc::new(RefCell::new(move || requests.next()))
}

/// A source of requests for HTTP/2.
pub(crate) trait H2Request: Fn() -> http::Request<Full<Bytes>> + Clone + 'static {}
impl<F: Fn() -> http::Request<Full<Bytes>> + Clone + 'static> H2Request for F {}

/// Connections, or streams of one, that send their next request when the last is answered.
#[derive(Default)]
pub(crate) struct Closed {
    tasks: JoinSet<()>,
    /// The answers of each so far.
    answered: Vec<Rc<Cell<u64>>>,
    timings: Rc<RefCell<Vec<Timing>>>,
    stop: Rc<Cell<bool>>,
}

/// A connection's or stream's part in the load.
struct Part {
    answered: Rc<Cell<u64>>,
    timings: Rc<RefCell<Vec<Timing>>>,
    stop: Rc<Cell<bool>>,
}

impl Part {
    fn answered_after(&self, timing: Timing) {
        self.answered.set(self.answered.get() + 1);
        self.timings.borrow_mut().push(timing);
    }
}

impl Closed {
    /// Opens `connections` and keeps them busy. Must be called within a `LocalSet`.
    pub(crate) async fn start(target: &Target, connections: usize, requests: &Requests) -> Self {
        let mut load = Self::default();
        for _ in 0..connections {
            let mut connection = target.connect().await;
            let requests = Rc::clone(requests);
            let part = load.another();
            load.tasks.spawn_local(async move {
                while !part.stop.get() {
                    let Some(request) = (requests.borrow_mut())() else { break };
                    let timing = connection.exchange(&request, Instant::now()).await;
                    part.answered_after(timing);
                }
            });
        }
        load
    }

    /// Like [`Closed::start`], with `streams` streams of one HTTP/2 connection.
    pub(crate) async fn start_h2(target: &Target, streams: usize, request: impl H2Request) -> Self {
        let mut load = Self::default();
        let sender = target.connect_h2().await;
        for _ in 0..streams {
            load.keep_sending(sender.clone(), request.clone(), Duration::ZERO, Duration::ZERO);
        }
        load
    }

    /// HTTP/2 connections of one stream that wait for `pause` after each answer, so that they are idle most of the time.
    pub(crate) async fn start_quiet(
        target: &Target,
        connections: u32,
        pause: Duration,
        request: impl H2Request,
    ) -> Self {
        let mut load = Self::default();
        for number in 0..connections {
            let sender = target.connect_h2().await;
            // Their requests are spread over the time, and not sent all at once.
            load.keep_sending(sender, request.clone(), pause * number / connections, pause);
        }
        load
    }

    /// Sends one request after the other on a stream of an HTTP/2 connection.
    fn keep_sending(
        &mut self,
        mut sender: SendRequest<Full<Bytes>>,
        request: impl H2Request,
        first_pause: Duration,
        pause: Duration,
    ) {
        let part = self.another();
        self.tasks.spawn_local(async move {
            if !first_pause.is_zero() {
                tokio::time::sleep(first_pause).await;
            }
            while !part.stop.get() {
                let start = Instant::now();
                let response = sender.send_request(request()).await.expect("an answer");
                assert_eq!(response.status(), 200);
                let mut body = response.into_body();
                let mut first_byte = None;
                while let Some(frame) = body.frame().await {
                    frame.expect("a whole answer");
                    first_byte.get_or_insert_with(|| start.elapsed());
                }
                let whole = start.elapsed();
                let first_byte = first_byte.unwrap_or(whole);
                part.answered_after(Timing { first_byte, whole });
                if !pause.is_zero() {
                    tokio::time::sleep(pause).await;
                }
            }
        });
    }

    /// The counters and the signal to stop of one more connection or stream.
    fn another(&mut self) -> Part {
        let answered = Rc::new(Cell::new(0));
        self.answered.push(Rc::clone(&answered));
        Part { answered, timings: Rc::clone(&self.timings), stop: Rc::clone(&self.stop) }
    }

    /// The answers in the next `time`.
    pub(crate) async fn watch(&self, time: Duration) -> Seen {
        let before: Vec<u64> = self.answered.iter().map(|answered| answered.get()).collect();
        self.timings.borrow_mut().clear();
        let start = Instant::now();
        tokio::time::sleep(time).await;
        let took = start.elapsed();
        let each: Vec<u64> =
            self.answered.iter().zip(before).map(|(answered, before)| answered.get() - before).collect();
        let timings = std::mem::take(&mut *self.timings.borrow_mut());
        Seen { requests: each.iter().sum(), took, timings, each }
    }

    /// Stops the load, and waits until every connection has its last answer.
    pub(crate) async fn finish(mut self) -> u64 {
        self.stop.set(true);
        self.rest().await
    }

    /// Waits until there are no more requests; returns how many were answered.
    pub(crate) async fn rest(&mut self) -> u64 {
        while let Some(ended) = self.tasks.join_next().await {
            ended.expect("every answer is as expected");
        }
        self.answered.iter().map(|answered| answered.get()).sum()
    }
}

/// Sends `rate` requests a second for `time` on `connections` connections in turn, and waits for the answers.
///
/// The clock spins, because timers have steps of a millisecond. Timings begin at the instant that the clock plans for a
/// request: an answer that holds up the next request of its connection counts for both.
pub(crate) async fn open(
    target: &Target,
    connections: usize,
    rate: u32,
    time: Duration,
    requests: &Requests,
) -> Seen {
    let mut opened = Vec::new();
    for _ in 0..connections {
        opened.push(Rc::new(Mutex::new(target.connect().await)));
    }
    let mut tasks = JoinSet::new();
    let (start, apart) = (Instant::now(), Duration::from_secs(1) / rate);
    let mut planned = start;
    for connection in opened.iter().cycle() {
        if planned >= start + time {
            break;
        }
        while Instant::now() < planned {
            tokio::task::yield_now().await;
        }
        let Some(request) = (requests.borrow_mut())() else { break };
        let connection = Rc::clone(connection);
        tasks.spawn_local(async move { connection.lock().await.exchange(&request, planned).await });
        planned += apart;
    }
    let mut timings = Vec::new();
    while let Some(timing) = tasks.join_next().await {
        timings.push(timing.expect("every answer is as expected"));
    }
    Seen { requests: timings.len() as u64, took: start.elapsed(), timings, each: Vec::new() }
}

impl Connection {
    /// Sends one request and reads its answer. `start` is the instant from which to count.
    async fn exchange(&mut self, request: &[u8], start: Instant) -> Timing {
        let Self { io, buffer } = self;
        let answer = async {
            io.write_all(request).await.unwrap();
            io.flush().await.unwrap();
            let mut filled = 0;
            let head = loop {
                let read = io.read(&mut buffer[filled..]).await.unwrap();
                assert!(read > 0, "closed before an answer");
                filled += read;
                if let Some(end) = head_end(&buffer[..filled]) {
                    break end;
                }
            };
            let text = || String::from_utf8_lossy(&buffer[..filled]);
            assert!(buffer.starts_with(b"HTTP/1.1 200 "), "{}", text());
            let length = content_length(&buffer[..head]);
            let mut body = filled - head;
            let mut first_byte = (body > 0).then(|| start.elapsed());
            let mut tail = [0; 5];
            keep_tail(&mut tail, &buffer[head..filled]);
            while length.map_or(tail != *b"0\r\n\r\n", |length| body < length) {
                let read = io.read(buffer).await.unwrap();
                assert!(read > 0, "closed within an answer");
                first_byte.get_or_insert_with(|| start.elapsed());
                body += read;
                keep_tail(&mut tail, &buffer[..read]);
            }
            let whole = start.elapsed();
            Timing { first_byte: first_byte.unwrap_or(whole), whole }
        };
        tokio::time::timeout(PATIENCE, answer).await.expect("an answer in time")
    }
}

fn keep_tail(tail: &mut [u8; 5], bytes: &[u8]) {
    let kept = bytes.len().min(tail.len());
    tail.rotate_left(kept);
    let at = tail.len() - kept;
    tail[at..].copy_from_slice(&bytes[bytes.len() - kept..]);
}

/// Where the body begins.
pub(crate) fn head_end(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|window| window == b"\r\n\r\n").map(|at| at + 4)
}

/// The length that the head announces. `None`: the body is chunked.
pub(crate) fn content_length(head: &[u8]) -> Option<usize> {
    let name = b"content-length:";
    let line = head
        .split(|byte| *byte == b'\n')
        .find(|line| line.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name)))?;
    std::str::from_utf8(&line[name.len()..]).ok()?.trim().parse().ok()
}

/// Runs hyper's tasks in the current `LocalSet`.
#[derive(Debug, Clone, Copy)]
struct LocalExecutor;

impl<F> hyper::rt::Executor<F> for LocalExecutor
where
    F: Future<Output = ()> + 'static,
{
    fn execute(&self, future: F) {
        tokio::task::spawn_local(future);
    }
}
