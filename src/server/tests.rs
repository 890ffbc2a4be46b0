//! Peers that neither send nor read, over real sockets, against a server with short timeouts.

use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use http_body::Frame;
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::http2;
use hyper_util::rt::TokioExecutor;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::Instant;

use super::connections::{CONNECTIONS, ConnectionLimits};
use super::*;

const TIMEOUTS: Timeouts = Timeouts {
    head: Duration::from_millis(300),
    idle: Duration::from_secs(3),
    leftovers: Duration::from_millis(100),
    reading: Duration::from_secs(1),
    tick: Duration::from_millis(50),
};

/// `/endless` answers without end, `/silent` never, all others nothing.
#[derive(Default)]
struct Answers {
    open: Arc<AtomicUsize>,
}

enum Answer {
    Nothing,
    Silent { _counted: Counted },
    Endless { _counted: Counted },
}

struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match &*self {
            Self::Nothing => Poll::Ready(None),
            Self::Silent { .. } => Poll::Pending,
            Self::Endless { .. } => Poll::Ready(Some(Ok(Frame::data(vec![0; 65_536].into())))),
        }
    }
}

impl Handler for Answers {
    type Body = Answer;

    async fn call(self: Arc<Self>, request: Request<Incoming>, _: Peer) -> Response<Answer> {
        let counted = || {
            self.open.fetch_add(1, Ordering::SeqCst);
            Counted(Arc::clone(&self.open))
        };
        Response::new(match request.uri().path() {
            "/endless" => Answer::Endless { _counted: counted() },
            "/silent" => Answer::Silent { _counted: counted() },
            _ => Answer::Nothing,
        })
    }
}

fn start() -> (SocketAddr, Arc<AtomicUsize>) {
    start_with(CONNECTIONS)
}

fn start_with(connections: usize) -> (SocketAddr, Arc<AtomicUsize>) {
    let service = Arc::new(Answers::default());
    let open = Arc::clone(&service.open);
    let limits = ConnectionLimits { connections, ..ConnectionLimits::default() };
    let mut server = Server::new(service, Connections::new(limits), Workers::here());
    server.timeouts = TIMEOUTS;
    let listener = Listener::bind(([127, 0, 0, 1], 0).into(), None).unwrap();
    let address = listener.address().unwrap();
    tokio::spawn(async move { server.accept(vec![listener], std::future::pending()).await });
    (address, open)
}

async fn until(open: &AtomicUsize, count: usize) {
    let begun = Instant::now();
    while open.load(Ordering::SeqCst) != count {
        assert!(begun.elapsed() < Duration::from_secs(10), "waited in vain");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn h2(address: SocketAddr) -> (http2::SendRequest<Empty<Bytes>>, tokio::task::JoinHandle<()>) {
    let stream = TcpStream::connect(address).await.unwrap();
    let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    let ended = tokio::spawn(async move {
        // The server decides how the connection ends.
        let _ended = connection.await.is_err();
    });
    (sender, ended)
}

fn get(address: SocketAddr, path: &str) -> Request<Empty<Bytes>> {
    Request::get(format!("http://{address}{path}")).body(Empty::new()).unwrap()
}

#[tokio::test]
async fn a_later_head_has_the_same_timeout_as_the_first() {
    let (address, _) = start();
    for first in ["", "GET / HTTP/1.1\r\nhost: x\r\n\r\n"] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(first.as_bytes()).await.unwrap();
        if !first.is_empty() {
            assert!(stream.read(&mut [0; 1024]).await.unwrap() > 0, "it was answered");
        }
        tokio::time::sleep(TIMEOUTS.leftovers * 2).await;
        stream.write_all(b"GET / HT").await.unwrap();
        let begun = Instant::now();
        assert!(matches!(stream.read(&mut [0; 1024]).await, Ok(0) | Err(_)), "{first:?}");
        assert!(begun.elapsed() < TIMEOUTS.idle * 8 / 9, "{first:?}: {:?}", begun.elapsed());
    }
}

#[tokio::test]
async fn an_idle_connection_is_closed_later_than_a_slow_head() {
    let (address, _) = start();
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    assert!(stream.read(&mut [0; 1024]).await.unwrap() > 0);
    let begun = Instant::now();
    assert!(matches!(stream.read(&mut [0; 1024]).await, Ok(0) | Err(_)));
    assert!(begun.elapsed() > TIMEOUTS.idle / 2, "{:?}", begun.elapsed());

    let (mut sender, ended) = h2(address).await;
    sender.send_request(get(address, "/")).await.unwrap();
    let begun = Instant::now();
    ended.await.unwrap();
    assert!(begun.elapsed() > TIMEOUTS.idle / 2, "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_connection_with_a_silent_answer_is_kept() {
    let (address, open) = start();
    let (mut sender, ended) = h2(address).await;
    let answer = sender.send_request(get(address, "/silent")).await.unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET /silent HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    until(&open, 2).await;
    tokio::time::sleep(TIMEOUTS.idle * 3 / 2).await;
    assert_eq!(open.load(Ordering::SeqCst), 2, "a client that waits for Bedrock does nothing wrong");
    assert!(!ended.is_finished());
    drop((answer, stream));
    until(&open, 0).await;
}

#[tokio::test]
async fn a_client_that_does_not_read_is_aborted() {
    let (address, open) = start();
    let begun = Instant::now();
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET /endless HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    until(&open, 1).await;
    until(&open, 0).await;
    assert!(begun.elapsed() >= TIMEOUTS.reading);

    let begun = Instant::now();
    let (mut sender, _ended) = h2(address).await;
    let unread = sender.send_request(get(address, "/endless")).await.unwrap();
    until(&open, 1).await;
    until(&open, 0).await;
    assert!(begun.elapsed() >= TIMEOUTS.reading);
    drop(unread);
}

#[tokio::test]
async fn an_answer_that_is_not_read_is_aborted_and_the_others_go_on() {
    let (address, open) = start();
    let (mut sender, ended) = h2(address).await;
    let unread = sender.send_request(get(address, "/endless")).await.unwrap();
    let mut read = sender.send_request(get(address, "/endless")).await.unwrap();
    until(&open, 2).await;
    while open.load(Ordering::SeqCst) == 2 {
        assert!(read.body_mut().frame().await.unwrap().is_ok());
    }
    for _ in 0..200 {
        assert!(read.body_mut().frame().await.unwrap().is_ok(), "the one that is read goes on");
    }
    assert!(!ended.is_finished());
    drop(unread);
}

#[tokio::test]
async fn a_connection_too_many_waits_until_another_ends() {
    let (address, open) = start_with(1);
    let mut first = TcpStream::connect(address).await.unwrap();
    first.write_all(b"GET /silent HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    until(&open, 1).await;
    let mut second = TcpStream::connect(address).await.unwrap();
    second.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut answer = [0; 15];
    let mut answered = std::pin::pin!(second.read_exact(&mut answer));
    assert!(tokio::time::timeout(TIMEOUTS.head, &mut answered).await.is_err(), "it waits");
    drop(first);
    answered.await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200 OK");
}

#[tokio::test]
async fn a_client_that_reads_slowly_is_served_to_the_end() {
    let (address, open) = start();
    let (mut sender, _ended) = h2(address).await;
    let mut answer = sender.send_request(get(address, "/endless")).await.unwrap();
    let begun = Instant::now();
    while begun.elapsed() < 2 * TIMEOUTS.reading {
        // The client library opens its window again when half of it, 1 MiB or more, was read.
        for _ in 0..100 {
            assert!(answer.body_mut().frame().await.unwrap().is_ok(), "aborted after {:?}", begun.elapsed());
        }
        tokio::time::sleep(TIMEOUTS.reading / 10).await;
    }
    assert_eq!(open.load(Ordering::SeqCst), 1);
}
