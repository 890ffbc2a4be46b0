//! Callers' connections: accepted up to a number, TLS or plain, HTTP/1.1 or HTTP/2 by what the client
//! speaks, drained in the end.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::header::CONNECTION;
use http::{HeaderValue, Request, Response, Version};
use http_body::Body;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;
use tracing::{debug, warn};

pub use crate::server::listener::Listener;

use crate::server::activity::{Activity, CloseReason, Timeouts, TrackedIo};
use crate::server::balancers::{Balancers, ExpectedHeader};
use crate::server::listener::{Accepted, accept_all};
use crate::server::throttle::Throttle;

mod activity;
pub mod balancers;
mod listener;
mod throttle;
pub mod tls;

/// Connections of callers held at once; further ones wait in the listener's backlog.
pub const CONNECTIONS: usize = 10_000;
/// The same of the probe listener, and of the admin listener.
pub const OPERATORS_CONNECTIONS: usize = 256;
/// A request's head, bytes: Claude Code sends its token of up to 32 KiB twice.
const HEAD_BYTES: u32 = 128 * 1024;
/// Streams of one HTTP/2 connection at once.
const H2_STREAMS: u32 = 256;
/// What is held of one answer that an HTTP/2 peer does not read, bytes, beside what is read of it upstream.
const H2_SEND_BYTES: usize = 64 * 1024;
/// How long a connection without a request yet may still send one while the server stops.
const LAST_WORD: Duration = Duration::from_secs(1);
/// A silent HTTP/2 peer is asked whether it lives.
const H2_PING: Duration = Duration::from_secs(20);

/// What a request comes by.
#[derive(Debug, Clone, Copy)]
pub struct Peer {
    pub address: SocketAddr,
    pub tls: bool,
}

/// What answers requests.
pub trait Handler: Send + Sync + 'static {
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

/// How far a server's end has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd)]
enum Stage {
    Serving,
    /// Whoever comes is served, and asked to come by another connection the next time: HTTP/2 by GOAWAY,
    /// HTTP/1.1 by `Connection: close`, since to close between two requests could cross with the next.
    Leaving,
    /// Connections without a request are closed.
    Closing,
}

/// The connections of one or more listeners.
#[derive(Debug)]
pub struct Server<S> {
    service: Arc<S>,
    seats: Arc<Semaphore>,
    stage: watch::Sender<Stage>,
    timeouts: Timeouts,
    connections: JoinSet<()>,
    /// Throttles the warning that a balancer does not speak the PROXY protocol.
    throttle: Arc<Throttle>,
}

impl<S: Handler> Server<S> {
    /// Holds `connections` at once.
    pub fn new(service: Arc<S>, connections: usize) -> Self {
        Self {
            service,
            seats: Arc::new(Semaphore::new(connections)),
            stage: watch::Sender::new(Stage::Serving),
            timeouts: Timeouts::default(),
            connections: JoinSet::new(),
            throttle: Arc::default(),
        }
    }

    /// What has connections go elsewhere for their next request, while the server still accepts.
    pub fn leaving(&self) -> impl FnOnce() + use<S> {
        let stage = self.stage.clone();
        move || {
            stage.send_replace(Stage::Leaving);
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
                Some(accepted) = arrivals.recv() => {
                    self.spawn(accepted);
                }
                Some(_ended) = self.connections.join_next() => {}
            }
        }
        accepting.shutdown().await;
        // What the system had accepted for us before the listeners closed is served too.
        arrivals.close();
        while let Some(accepted) = arrivals.recv().await {
            self.spawn(accepted);
        }
    }

    fn spawn(&mut self, accepted: Accepted) {
        let Accepted { stream, peer, tls, expected_header, balancers, seat } = accepted;
        if let Err(error) = stream.set_nodelay(true) {
            debug!(%error, "cannot set TCP_NODELAY");
        }
        let (service, timeouts, stage) = (Arc::clone(&self.service), self.timeouts, self.stage.subscribe());
        let first_head = Instant::now() + timeouts.head;
        let connection = ClientConnection { service, peer, balancers, timeouts, first_head, stage, seat };
        // Several kinds of tasks: a plain connection has no need of the room that TLS takes.
        match (expected_header, tls) {
            (ExpectedHeader::Never, None) => self.connections.spawn(connection.speak(stream)),
            (ExpectedHeader::Never, Some(tls)) => self.connections.spawn(connection.shake_hands(tls, stream)),
            (expected_header, tls) => {
                let throttle = Arc::clone(&self.throttle);
                self.connections.spawn(connection.listen_first(expected_header, tls, stream, throttle))
            }
        };
    }

    /// Tells every connection to finish (GOAWAY, `Connection: close`) and waits until all have, or
    /// until `give_up` completes. Returns how many were cut.
    pub async fn drain(mut self, give_up: impl Future<Output = ()>) -> usize {
        self.stage.send_replace(Stage::Closing);
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

/// One connection on its way.
struct ClientConnection<S> {
    service: Arc<S>,
    peer: Peer,
    balancers: Option<Arc<Balancers>>,
    timeouts: Timeouts,
    first_head: Instant,
    stage: watch::Receiver<Stage>,
    seat: OwnedSemaphorePermit,
}

impl<S: Handler> ClientConnection<S> {
    /// For a connection that begins with whom it is made for.
    async fn listen_first(
        mut self,
        expected_header: ExpectedHeader,
        tls: Option<TlsAcceptor>,
        mut stream: TcpStream,
        throttle: Arc<Throttle>,
    ) {
        let balancer = self.peer.address;
        match tokio::time::timeout_at(self.first_head, balancers::read_header(&mut stream, expected_header))
            .await
        {
            Ok(Ok(told)) => self.peer.address = told.unwrap_or(balancer),
            // Health checks may connect and leave without a word.
            Ok(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => {
                debug!(%balancer, %error, "a balancer's connection ended in its PROXY header");
                return;
            }
            Ok(Err(error)) => {
                if let Some(left_out) = throttle.line() {
                    warn!(
                        %balancer, %error, left_out,
                        "a balancer's connection was closed; have it speak PROXY protocol v2, or mend [listen.balancers]"
                    );
                }
                return;
            }
            Err(_elapsed) => {
                debug!(%balancer, "PROXY header not finished in time");
                return;
            }
        }
        match tls {
            None => self.speak(stream).await,
            Some(tls) => self.shake_hands(tls, stream).await,
        }
    }

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
        let Self { service, peer, balancers, timeouts, first_head, stage, seat: _seat } = self;
        let (spoken, has_spoken) = watch::channel(false);
        let activity = Activity::new(&timeouts);
        let answering = {
            let (service, activity) = (Arc::clone(&service), Arc::clone(&activity));
            service_fn(move |request: Request<Incoming>| {
                // Telling takes a lock, and has to be done once only.
                spoken.send_if_modified(|spoken| !std::mem::replace(spoken, true));
                let open = activity.begin(request.version() == Version::HTTP_2);
                let address = balancers.as_ref().map_or(peer.address, |balancers| {
                    balancers.forwarded_for(peer.address, request.headers())
                });
                let service = Arc::clone(&service);
                async move {
                    // In a box of its own, which is gone while the answer's body is on its way.
                    let mut answer = Box::pin(service.call(request, Peer { address, ..peer })).await;
                    if open.is_the_last() {
                        answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                    }
                    Ok::<_, Infallible>(answer.map(|body| open.answer(body)))
                }
            })
        };
        let builder = protocol();
        let stream = TokioIo::new(TrackedIo::new(stream, Arc::clone(&activity)));
        let mut connection = std::pin::pin!(builder.serve_connection(stream, answering).into_owned());
        let mut silent = std::pin::pin!(silent(first_head, has_spoken.clone()));
        let mut to_finish = std::pin::pin!(to_finish(stage, has_spoken, Arc::clone(&activity)));
        let mut finishing = false;
        let mut tick = tokio::time::interval(timeouts.tick);
        let ended = loop {
            let close_reason = tokio::select! {
                biased;
                ended = connection.as_mut() => break ended,
                () = &mut silent => Some(CloseReason::SlowHead),
                () = &mut to_finish, if !finishing => Some(CloseReason::Idle),
                _ = tick.tick() => activity.close_reason(&timeouts),
            };
            match close_reason {
                None => {}
                Some(CloseReason::Idle) if finishing => {}
                Some(CloseReason::Idle) => {
                    finishing = true;
                    connection.as_mut().graceful_shutdown();
                }
                Some(close_reason) => {
                    debug!(client = %peer.address, fault = ?close_reason, "connection cut");
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

/// Completes when the connection is to be told to finish: one of HTTP/2 when the server begins to leave, any
/// other when it closes; one whose first request is perhaps just arriving, a moment later, since telling it
/// to finish before it has begun would close it unread.
async fn to_finish(
    mut stage: watch::Receiver<Stage>,
    mut has_spoken: watch::Receiver<bool>,
    activity: Arc<Activity>,
) {
    // Errors say that the sender is gone, which for the server means that it stops.
    let _gone = stage.wait_for(|stage| *stage >= Stage::Leaving).await.is_err();
    activity.leave();
    let mut spoken = has_spoken.clone();
    let h2 = async {
        let _gone = spoken.wait_for(|spoken| *spoken).await.is_err();
        if !activity.is_h2() {
            std::future::pending::<()>().await;
        }
    };
    let closing = async {
        let _gone = stage.wait_for(|stage| *stage >= Stage::Closing).await.is_err();
        let _late = tokio::time::timeout(LAST_WORD, has_spoken.wait_for(|spoken| *spoken)).await.is_err();
    };
    tokio::select! {
        () = h2 => {}
        () = closing => {}
    }
}

fn protocol() -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    // How long a head may take is looked after in `activity`, which costs no timer for each request. Of
    // header lines the library takes 100, for which alone it has room without allocating; real clients send
    // some thirty.
    builder.http1().header_read_timeout(None).max_buf_size(HEAD_BYTES as usize);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(HEAD_BYTES)
        .max_concurrent_streams(H2_STREAMS)
        .max_send_buf_size(H2_SEND_BYTES)
        .keep_alive_interval(H2_PING)
        .keep_alive_timeout(H2_PING);
    builder
}

#[cfg(test)]
mod tests;
