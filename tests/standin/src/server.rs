//! A small HTTP server on a loopback port that a test can stop and restart.
//!
//! It serves HTTP/1.1 and HTTP/2 on the same port, with or without TLS. A function answers the requests.

mod connection;

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

use connection::Connection;

/// More than the gateway accepts (128 KiB), so that the gateway's own limit takes effect first.
const MAX_HEADER_LIST_BYTES: u32 = 256 * 1024;

/// Some tests open a thousand concurrent streams, perhaps over one connection.
const MAX_CONCURRENT_STREAMS: u32 = 4096;

pub type Error = Box<dyn std::error::Error + Send + Sync>;

/// The body of a handler's answer. An `Err` in it resets the connection (HTTP/1.1) or the stream (HTTP/2).
pub type Body = UnsyncBoxBody<Bytes, Error>;

type Answer = Pin<Box<dyn Future<Output = Result<Response<Body>, Reset>> + Send>>;
type Handler = Arc<dyn Fn(Request<Incoming>) -> Answer + Send + Sync>;

/// A body of these bytes.
pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never: Infallible| match never {}).boxed_unsync()
}

/// An empty body.
pub fn empty() -> Body {
    Empty::new().map_err(|never: Infallible| match never {}).boxed_unsync()
}

/// Reads a request body of at most `limit` bytes.
pub async fn read(body: Incoming, limit: usize) -> Result<Bytes, Error> {
    #[expect(clippy::disallowed_methods, reason = "bounded by Limited")]
    let collected = Limited::new(body, limit).collect().await?;
    Ok(collected.to_bytes())
}

/// The error of a handler that does not answer. The server resets the connection (HTTP/1.1, by a TCP RST) or the
/// stream (HTTP/2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reset;

impl fmt::Display for Reset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("reset on purpose")
    }
}

impl std::error::Error for Reset {}

/// A listening server. Dropping it closes the port and every connection.
pub struct Server {
    addr: SocketAddr,
    tls: Option<TlsAcceptor>,
    handler: Handler,
    counters: Arc<Counters>,
    running: Mutex<Option<Running>>,
}

/// The accept loop. It closes its connections and ends when `stop` is sent or dropped.
struct Running {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Counters {
    open: AtomicUsize,
    accepted: AtomicU64,
    requests: AtomicU64,
}

impl Server {
    /// Binds a free port of 127.0.0.1 and serves `handler` there. If a TLS configuration is given, its ALPN list
    /// names the protocols.
    ///
    /// Must be called within a tokio runtime. Panics if no port is free.
    pub fn start<H, F>(tls: Option<Arc<ServerConfig>>, handler: H) -> Self
    where
        H: Fn(Request<Incoming>) -> F + Send + Sync + 'static,
        F: Future<Output = Result<Response<Body>, Reset>> + Send + 'static,
    {
        let (listener, addr) = bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
        let server = Self {
            addr,
            tls: tls.map(TlsAcceptor::from),
            handler: Arc::new(move |request| Box::pin(handler(request))),
            counters: Arc::default(),
            running: Mutex::new(None),
        };
        server.run(listener);
        server
    }

    /// Its address, which [`stop`](Self::stop) and [`restart`](Self::restart) do not change.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The URL without a slash at the end: `http://127.0.0.1:PORT` or `https://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.addr)
    }

    /// The `Host` of requests to it: `127.0.0.1:PORT`.
    pub fn authority(&self) -> String {
        self.addr.to_string()
    }

    /// The number of open TCP connections.
    pub fn open_connections(&self) -> usize {
        self.counters.open.load(Ordering::SeqCst)
    }

    /// The number of TCP connections accepted so far.
    pub fn accepted(&self) -> u64 {
        self.counters.accepted.load(Ordering::SeqCst)
    }

    /// The number of requests received so far.
    pub fn requests(&self) -> u64 {
        self.counters.requests.load(Ordering::SeqCst)
    }

    /// Stops. When this returns, the port refuses connections and all connections are closed.
    pub async fn stop(&self) {
        let running = self.running().take();
        if let Some(Running { stop, task }) = running {
            drop(stop);
            task.await.expect("the accept loop does not panic");
        }
    }

    /// Restarts on the same port; does nothing if it is running.
    pub fn restart(&self) {
        if self.running().is_none() {
            let (listener, _) = bind(self.addr);
            self.run(listener);
        }
    }

    fn run(&self, listener: TcpListener) {
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(accept(
            listener,
            self.tls.clone(),
            Arc::clone(&self.handler),
            Arc::clone(&self.counters),
            stopped,
        ));
        *self.running() = Some(Running { stop, task });
    }

    fn running(&self) -> std::sync::MutexGuard<'_, Option<Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("url", &self.url())
            .field("counters", &self.counters)
            .finish_non_exhaustive()
    }
}

/// Binds a port. The standard library sets `SO_REUSEADDR`, so a port whose connections linger can be bound again.
fn bind(addr: SocketAddr) -> (TcpListener, SocketAddr) {
    let bound = std::net::TcpListener::bind(addr).and_then(|listener| {
        listener.set_nonblocking(true)?;
        let addr = listener.local_addr()?;
        Ok((TcpListener::from_std(listener)?, addr))
    });
    match bound {
        Ok(bound) => bound,
        Err(error) => panic!("cannot listen on {addr}: {error}"),
    }
}

async fn accept(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    handler: Handler,
    counters: Arc<Counters>,
    mut stopped: oneshot::Receiver<()>,
) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            _ = &mut stopped => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => if let Ok((stream, _)) = accepted {
                counters.accepted.fetch_add(1, Ordering::SeqCst);
                connections.spawn(serve(
                    stream,
                    tls.clone(),
                    Arc::clone(&handler),
                    Arc::clone(&counters),
                ));
            },
        }
    }
    drop(listener);
    connections.shutdown().await;
}

async fn serve(stream: TcpStream, tls: Option<TlsAcceptor>, handler: Handler, counters: Arc<Counters>) {
    // Frames must be sent when they are written. Without this the kernel collects small ones.
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let (connection, reset) = Connection::new(stream, Arc::clone(&counters));
    match tls {
        None => serve_http(connection, handler, counters, reset).await,
        Some(acceptor) => {
            if let Ok(stream) = acceptor.accept(connection).await {
                serve_http(stream, handler, counters, reset).await;
            }
        }
    }
}

async fn serve_http<I>(io: I, handler: Handler, counters: Arc<Counters>, reset: connection::Switch)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http2()
        .max_header_list_size(MAX_HEADER_LIST_BYTES)
        .max_concurrent_streams(MAX_CONCURRENT_STREAMS);
    let service = service_fn(move |request| {
        counters.requests.fetch_add(1, Ordering::SeqCst);
        handler(request)
    });
    let mut connection = pin!(builder.serve_connection(TokioIo::new(io), service));
    if connection.as_mut().await.is_err() {
        reset.on();
    }
}

#[cfg(test)]
pub(crate) mod tests;
