//! Callers' connections: accepted up to a number, TLS or plain, HTTP/1.1 or HTTP/2 by what the client
//! speaks, drained in the end.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response, Version};
use http_body::Body;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;
use tracing::{debug, warn};

use crate::server::conduct::{Conduct, Fault, Patience, WatchedIo};

pub mod admin;
mod conduct;
pub mod probe;
pub mod tls;

/// Connections of callers held at once; further ones wait in the listener's backlog.
pub const CONNECTIONS: usize = 10_000;
/// A request's head, bytes: Claude Code sends its token of up to 32 KiB twice.
const HEAD_BYTES: u32 = 128 * 1024;
/// Streams of one HTTP/2 connection at once.
const H2_STREAMS: u32 = 256;
/// How long a connection without a request yet may still send one while the server stops.
const LAST_WORD: Duration = Duration::from_secs(1);
/// A silent HTTP/2 peer is asked whether it lives.
const H2_PING: Duration = Duration::from_secs(20);
const BACKLOG: u32 = 4096;

/// A listening socket and how it is spoken to.
pub struct Listener {
    socket: TcpListener,
    tls: Option<TlsAcceptor>,
}

impl std::fmt::Debug for Listener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Listener").field("socket", &self.socket).field("tls", &self.tls.is_some()).finish()
    }
}

impl Listener {
    /// Binds `address`.
    ///
    /// # Errors
    /// As the system says, with the address in the text.
    pub fn bind(address: SocketAddr, tls: Option<TlsAcceptor>) -> io::Result<Self> {
        let bind = || {
            let socket = if address.is_ipv4() {
                tokio::net::TcpSocket::new_v4()
            } else {
                tokio::net::TcpSocket::new_v6()
            }?;
            socket.set_reuseaddr(true)?;
            socket.bind(address)?;
            socket.listen(BACKLOG)
        };
        let socket = bind()
            .map_err(|error| io::Error::new(error.kind(), format!("cannot listen on {address}: {error}")))?;
        Ok(Self { socket, tls })
    }

    /// The address that was bound; the port is the real one where 0 was asked for.
    ///
    /// # Errors
    /// As the system says.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }
}

/// What a request comes by.
#[derive(Debug, Clone, Copy)]
pub struct Peer {
    pub address: SocketAddr,
    pub tls: bool,
}

/// What answers requests.
pub trait Service: Send + Sync + 'static {
    type Body: Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>>
        + Send
        + Unpin
        + 'static;
    fn call(
        self: Arc<Self>,
        request: Request<Incoming>,
        peer: Peer,
    ) -> impl Future<Output = Response<Self::Body>> + Send;

    /// Something came that the HTTP parser refused; it was answered with the parser's bare 4xx.
    fn unreadable(&self) {}
}

/// The connections of one or more listeners.
#[derive(Debug)]
pub struct Server<S> {
    service: Arc<S>,
    seats: Arc<Semaphore>,
    stopping: watch::Sender<bool>,
    patience: Patience,
    connections: JoinSet<()>,
}

impl<S: Service> Server<S> {
    pub fn new(service: Arc<S>) -> Self {
        Self {
            service,
            seats: Arc::new(Semaphore::new(CONNECTIONS)),
            stopping: watch::Sender::new(false),
            patience: Patience::default(),
            connections: JoinSet::new(),
        }
    }

    /// Accepts on `listeners` until `stop` completes; then the listeners are closed.
    pub async fn accept(&mut self, listeners: Vec<Listener>, stop: impl Future<Output = ()>) {
        let (found, mut arrivals) = tokio::sync::mpsc::unbounded_channel();
        let mut accepting = JoinSet::new();
        for listener in listeners {
            accepting.spawn(accept_all(listener, Arc::clone(&self.seats), found.clone()));
        }
        let mut stop = std::pin::pin!(stop);
        loop {
            tokio::select! {
                () = &mut stop => break,
                Some(arrival) = arrivals.recv() => {
                    self.spawn(arrival);
                }
                Some(_ended) = self.connections.join_next() => {}
            }
        }
        accepting.shutdown().await;
        // What the system had accepted for us before the listeners closed is served too.
        arrivals.close();
        while let Some(arrival) = arrivals.recv().await {
            self.spawn(arrival);
        }
    }

    fn spawn(&mut self, arrival: Arrival) {
        let Arrival { stream, peer, tls, seat } = arrival;
        if let Err(error) = stream.set_nodelay(true) {
            debug!(%error, "cannot set TCP_NODELAY");
        }
        let (patience, stopping) = (self.patience, self.stopping.subscribe());
        let first_head = Instant::now() + patience.head;
        let speaking =
            Speaking { service: Arc::clone(&self.service), peer, patience, first_head, stopping, seat };
        // Two kinds of tasks: a plain connection has no need of the room that TLS takes.
        match tls {
            None => self.connections.spawn(speaking.speak(stream)),
            Some(tls) => self.connections.spawn(speaking.shake_hands(tls, stream)),
        };
    }

    /// Tells every connection to finish (GOAWAY, `Connection: close`) and waits until all have, or
    /// until `give_up` completes. Returns how many were cut.
    pub async fn drain(mut self, give_up: impl Future<Output = ()>) -> usize {
        self.stopping.send_replace(true);
        let finished = async { while self.connections.join_next().await.is_some() {} };
        tokio::select! {
            () = finished => return 0,
            () = give_up => {}
        }
        let mut cut = 0;
        self.connections.abort_all();
        while let Some(ended) = self.connections.join_next().await {
            cut += usize::from(ended.is_err());
        }
        cut
    }
}

struct Arrival {
    stream: TcpStream,
    peer: Peer,
    tls: Option<TlsAcceptor>,
    seat: OwnedSemaphorePermit,
}

async fn accept_all(
    listener: Listener,
    seats: Arc<Semaphore>,
    found: tokio::sync::mpsc::UnboundedSender<Arrival>,
) {
    loop {
        let Ok(seat) = Arc::clone(&seats).acquire_owned().await else { return };
        match listener.socket.accept().await {
            Ok((stream, address)) => {
                let peer = Peer { address, tls: listener.tls.is_some() };
                let arrival = Arrival { stream, peer, tls: listener.tls.clone(), seat };
                // Without a wait between the two, so that stopping never loses a connection that was
                // accepted; their number is bounded by the seats.
                if found.send(arrival).is_err() {
                    return;
                }
            }
            Err(error) => {
                // Out of file descriptors, most likely: connections that end give some back.
                warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// One connection on its way.
struct Speaking<S> {
    service: Arc<S>,
    peer: Peer,
    patience: Patience,
    first_head: Instant,
    stopping: watch::Receiver<bool>,
    seat: OwnedSemaphorePermit,
}

impl<S: Service> Speaking<S> {
    async fn shake_hands(self, tls: TlsAcceptor, stream: TcpStream) {
        let client = self.peer.address;
        match tokio::time::timeout_at(self.first_head, tls.accept(stream)).await {
            Ok(Ok(stream)) => self.speak(stream).await,
            Ok(Err(error)) => debug!(%client, %error, "TLS handshake failed"),
            Err(_elapsed) => debug!(%client, "TLS handshake not finished in time"),
        }
    }

    async fn speak<I>(self, stream: I)
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Self { service, peer, patience, first_head, stopping, seat: _seat } = self;
        let (spoken, has_spoken) = watch::channel(false);
        let conduct = Conduct::new(&patience);
        let answering = {
            let (service, conduct) = (Arc::clone(&service), Arc::clone(&conduct));
            service_fn(move |request: Request<Incoming>| {
                // Telling takes a lock, and has to be done once only.
                spoken.send_if_modified(|spoken| !std::mem::replace(spoken, true));
                let open = conduct.begin(request.version() == Version::HTTP_2);
                // In a box of its own, which is gone while the answer's body is on its way.
                let answer = Box::pin(Arc::clone(&service).call(request, peer));
                async move { Ok::<_, Infallible>(answer.await.map(|body| open.answer(body))) }
            })
        };
        let builder = protocol();
        let stream = TokioIo::new(WatchedIo::new(stream, Arc::clone(&conduct)));
        let mut connection = std::pin::pin!(builder.serve_connection(stream, answering).into_owned());
        let mut silent = std::pin::pin!(silent(first_head, has_spoken.clone()));
        let mut to_finish = std::pin::pin!(to_finish(stopping, has_spoken));
        let mut finishing = false;
        let mut tick = tokio::time::interval(patience.tick);
        let ended = loop {
            let fault = tokio::select! {
                biased;
                ended = connection.as_mut() => break ended,
                () = &mut silent => Some(Fault::SlowHead),
                () = &mut to_finish, if !finishing => Some(Fault::Idle),
                _ = tick.tick() => conduct.fault(&patience),
            };
            match fault {
                None => {}
                Some(Fault::Idle) if finishing => {}
                Some(Fault::Idle) => {
                    finishing = true;
                    connection.as_mut().graceful_shutdown();
                }
                Some(fault) => {
                    debug!(client = %peer.address, ?fault, "connection cut");
                    return;
                }
            }
        };
        if let Err(error) = ended {
            if error.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_parse) {
                service.unreadable();
            }
            debug!(client = %peer.address, %error, "connection ended");
        }
    }
}

/// Completes when no request has come in time, and never when one has.
async fn silent(first_head: Instant, has_spoken: watch::Receiver<bool>) {
    tokio::time::sleep_until(first_head).await;
    if *has_spoken.borrow() {
        std::future::pending::<()>().await;
    }
}

/// Completes when the server stops; for a connection whose first request is perhaps just arriving, a
/// moment later, since telling it to finish before it has begun would close it unread.
async fn to_finish(mut stopping: watch::Receiver<bool>, mut has_spoken: watch::Receiver<bool>) {
    // Errors say that the sender is gone, which for the server means that it stops.
    let _gone = stopping.wait_for(|stopping| *stopping).await.is_err();
    let _late = tokio::time::timeout(LAST_WORD, has_spoken.wait_for(|spoken| *spoken)).await.is_err();
}

fn protocol() -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    // How long a head may take is looked after in `conduct`, which costs no timer for each request. Of
    // header lines the library takes 100, for which alone it has room without allocating; real clients send
    // some thirty.
    builder.http1().header_read_timeout(None).max_buf_size(HEAD_BYTES as usize);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(HEAD_BYTES)
        .max_concurrent_streams(H2_STREAMS)
        .keep_alive_interval(H2_PING)
        .keep_alive_timeout(H2_PING);
    builder
}

#[cfg(test)]
mod tests;
