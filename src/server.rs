//! The HTTP server. It accepts connections up to a limit, with TLS or without. The client chooses HTTP/1.1 or HTTP/2.
//! When the server stops, it drains the connections.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use http::header::CONNECTION;
use http::{HeaderValue, Request, Response, Version};
use http_body::Body;
use hyper::body::{Bytes, Incoming};
use hyper::rt::Executor;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;
use tracing::{debug, warn};

pub use crate::server::listener::Listener;

use crate::server::activity::{Activity, CloseReason, Timeouts, TrackedIo};
use crate::server::balancers::{Balancers, ExpectedHeader};
use crate::server::connections::{Connections, OpenConnection};
use crate::server::listener::{Accepted, accept_all};
use crate::server::protocol::{Beginning, Connection};
use crate::server::throttle::Throttle;
use crate::workers::Workers;

mod activity;
pub mod balancers;
pub mod connections;
mod listener;
mod protocol;
mod throttle;
pub mod tls;

/// The most concurrent connections of the probe port, and of the admin port.
pub const OPERATORS_CONNECTIONS: usize = 256;
/// The largest head of a request, bytes. Claude Code sends its token, up to 32 KiB, twice in one head.
const HEAD_BYTES: u32 = 128 * 1024;
/// The most bytes that the server holds of an answer that an HTTP/2 peer does not read. The bytes that the connection
/// to Bedrock holds come on top.
const H2_SEND_BYTES: usize = 64 * 1024;
/// How long the server, while it stops, waits for the first request of a connection that has sent none.
const FIRST_REQUEST_GRACE: Duration = Duration::from_secs(1);
/// After this silence the server sends an HTTP/2 peer a PING. After as long without an acknowledgement it closes the
/// connection.
const H2_PING: Duration = Duration::from_secs(20);

/// The connection that a request arrived over.
#[derive(Debug, Clone, Copy)]
pub struct Peer {
    pub address: SocketAddr,
    pub tls: bool,
}

/// A service that answers requests.
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

    /// Notes that the HTTP parser rejected a request, and answered with a bare 4xx.
    fn unreadable(&self) {}
}

/// The stage of a server's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd)]
enum Stage {
    Serving,
    /// The server still serves every request, and asks the client to use another connection for the next one: over
    /// HTTP/2 by GOAWAY, over HTTP/1.1 by `Connection: close` on the answer. Without that header, a close between two
    /// requests could cross with the next request.
    Leaving,
    /// The server closes connections that have no request.
    Closing,
}

/// The connections of one or more listeners.
#[derive(Debug)]
pub struct Server<S> {
    service: Arc<S>,
    open: Arc<Connections>,
    workers: Arc<Workers>,
    stage: watch::Sender<Stage>,
    timeouts: Timeouts,
    connections: JoinSet<()>,
    /// The throttle of the warning about a balancer that does not speak the PROXY protocol.
    throttle: Arc<Throttle>,
}

impl<S: Handler> Server<S> {
    /// A server whose connections are counted and limited by `open`, and served by `workers`.
    pub fn new(service: Arc<S>, open: Arc<Connections>, workers: Arc<Workers>) -> Self {
        Self {
            service,
            open,
            workers,
            stage: watch::Sender::new(Stage::Serving),
            timeouts: Timeouts::default(),
            connections: JoinSet::new(),
            throttle: Arc::default(),
        }
    }

    /// A function that asks clients to use another connection for their next request, while the server still accepts.
    pub fn leaving(&self) -> impl FnOnce() + use<S> {
        let stage = self.stage.clone();
        move || {
            stage.send_replace(Stage::Leaving);
        }
    }

    /// Accepts connections on `listeners` until `stop` completes, then closes the listeners.
    pub async fn accept(&mut self, listeners: Vec<Listener>, stop: impl Future<Output = ()>) {
        let (found, mut arrivals) = tokio::sync::mpsc::unbounded_channel();
        let mut accepting = JoinSet::new();
        for listener in listeners {
            accepting.spawn(accept_all(listener, Arc::clone(&self.open.slots), found.clone()));
        }
        let mut stop = std::pin::pin!(stop);
        loop {
            tokio::select! {
                () = &mut stop => break,
                Some(accepted) = arrivals.recv() => {
                    self.serve(accepted);
                }
                Some(_ended) = self.connections.join_next() => {}
            }
        }
        accepting.shutdown().await;
        // The server also serves connections that it accepted just before the listeners closed.
        arrivals.close();
        while let Some(accepted) = arrivals.recv().await {
            self.serve(accepted);
        }
    }

    /// Gives a connection to a worker.
    fn serve(&mut self, accepted: Accepted) {
        let Accepted { socket, peer, tls, expected_header, balancers, slot } = accepted;
        if let Err(error) = socket.set_nodelay(true) {
            debug!(%error, "cannot set TCP_NODELAY");
        }
        let connection = ClientConnection {
            service: Arc::clone(&self.service),
            workers: Arc::clone(&self.workers),
            peer,
            balancers,
            timeouts: self.timeouts,
            first_head: Instant::now() + self.timeouts.head,
            stage: self.stage.subscribe(),
            slot: self.open.opened(slot),
        };
        let (workers, tasks) = (&self.workers, &mut self.connections);
        // One kind of task for each case, so that a plain connection does not hold the memory of a TLS handshake.
        let served = match (expected_header, tls) {
            (ExpectedHeader::Never, None) => workers.serve(socket, tasks, |stream| connection.speak(stream)),
            (ExpectedHeader::Never, Some(tls)) => {
                workers.serve(socket, tasks, |stream| connection.shake_hands(tls, stream))
            }
            (expected_header, tls) => {
                let throttle = Arc::clone(&self.throttle);
                workers.serve(socket, tasks, |stream| {
                    connection.listen_first(expected_header, tls, stream, throttle)
                })
            }
        };
        if let Err(error) = served {
            debug!(client = %peer.address, %error, "cannot serve a connection");
        }
    }

    /// Asks every connection to finish (GOAWAY, `Connection: close`). Waits until all have finished, or until `give_up`
    /// completes. Returns the number of connections that the server then aborted.
    pub async fn drain(mut self, give_up: impl Future<Output = ()>) -> usize {
        self.stage.send_replace(Stage::Closing);
        let finished = async { while self.connections.join_next().await.is_some() {} };
        tokio::select! {
            () = finished => return 0,
            () = give_up => {}
        }
        let mut aborted = 0;
        self.connections.abort_all();
        while let Some(ended) = self.connections.join_next().await {
            aborted += usize::from(ended.is_err());
        }
        aborted
    }
}

/// One open connection of a client.
struct ClientConnection<S> {
    service: Arc<S>,
    workers: Arc<Workers>,
    peer: Peer,
    balancers: Option<Arc<Balancers>>,
    timeouts: Timeouts,
    first_head: Instant,
    stage: watch::Receiver<Stage>,
    slot: OpenConnection,
}

impl<S: Handler> ClientConnection<S> {
    /// Reads the PROXY header of a balancer, then serves the connection.
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
            Ok(Ok(client)) => self.peer.address = client.unwrap_or(balancer),
            // Health checks may connect and close without sending anything.
            Ok(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => {
                debug!(%balancer, %error, "a balancer closed its connection before the end of the PROXY header");
                return;
            }
            Ok(Err(error)) => {
                if let Some(left_out) = throttle.line() {
                    warn!(
                        %balancer, %error, left_out,
                        "closed a balancer's connection; configure the balancer to send PROXY protocol v2, or fix [listen.balancers]"
                    );
                }
                return;
            }
            Err(_elapsed) => {
                debug!(%balancer, "a balancer did not finish its PROXY header in time");
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
            Ok(Err(error)) => debug!(%client, %error, "the TLS handshake failed"),
            Err(_elapsed) => debug!(%client, "the client did not finish the TLS handshake in time"),
        }
    }

    async fn speak<I>(self, stream: I)
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Self { service, workers, peer, balancers, timeouts, first_head, stage, slot } = self;
        let (spoken, has_spoken) = watch::channel(false);
        let activity = Activity::new(&timeouts);
        slot.has(&activity);
        let answering = {
            let (service, activity) = (Arc::clone(&service), Arc::clone(&activity));
            service_fn(move |request: Request<Incoming>| {
                // A notification takes a lock; one is enough.
                spoken.send_if_modified(|spoken| !std::mem::replace(spoken, true));
                let open = activity.begin(request.version() == Version::HTTP_2);
                let address = balancers.as_ref().map_or(peer.address, |balancers| {
                    balancers.forwarded_for(peer.address, request.headers())
                });
                let service = Arc::clone(&service);
                let request = Box::new(request);
                async move {
                    // In a box of its own, which is freed before the answer's body is sent.
                    let mut answer = Box::pin(service.call(*request, Peer { address, ..peer })).await;
                    if open.is_the_last() {
                        answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                    }
                    Ok::<_, Infallible>(answer.map(|body| open.answer(body)))
                }
            })
        };
        let mut stream = TrackedIo::new(stream, Arc::clone(&activity));
        let mut silent = std::pin::pin!(silent(first_head, has_spoken.clone()));
        let mut to_finish = std::pin::pin!(to_finish(stage, has_spoken, Arc::clone(&activity)));
        let began = tokio::select! {
            biased;
            began = Beginning::read(&mut stream) => began,
            () = &mut silent => return aborted(peer, CloseReason::SlowHead),
            () = &mut to_finish => return aborted(peer, CloseReason::Idle),
        };
        let beginning = match began {
            Ok(beginning) => beginning,
            Err(error) => return debug!(client = %peer.address, %error, "a connection ended with an error"),
        };
        let is_h2 = beginning.is_h2();
        let stream = TokioIo::new(stream.after(beginning));
        // In a box, so that neither protocol takes the memory of the other.
        let mut connection: Pin<Box<dyn Connection>> = if is_h2 {
            Box::pin(h2(Streams(workers), slot.streams()).serve_connection(stream, answering))
        } else {
            Box::pin(h1().serve_connection(stream, answering))
        };
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
                    connection.as_mut().finish();
                }
                Some(close_reason) => return aborted(peer, close_reason),
            }
        };
        if let Err(error) = ended {
            if error.is_parse() {
                service.unreadable();
            }
            debug!(client = %peer.address, %error, "a connection ended with an error");
        }
    }
}

fn aborted(peer: Peer, close_reason: CloseReason) {
    debug!(client = %peer.address, %close_reason, "aborted a connection");
}

/// Completes if no request has arrived by `first_head`. Otherwise it never completes.
async fn silent(first_head: Instant, has_spoken: watch::Receiver<bool>) {
    tokio::time::sleep_until(first_head).await;
    if *has_spoken.borrow() {
        std::future::pending::<()>().await;
    }
}

/// Completes when the server must ask the connection to finish: over HTTP/2 at [`Stage::Leaving`], otherwise at
/// [`Stage::Closing`]. For a connection without a request it waits [`FIRST_REQUEST_GRACE`] longer: the first request
/// may just be arriving, and the HTTP library would close the connection without reading it.
async fn to_finish(
    mut stage: watch::Receiver<Stage>,
    mut has_spoken: watch::Receiver<bool>,
    activity: Arc<Activity>,
) {
    // An error means that the sender is gone, and so that the server has stopped.
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
        let _late =
            tokio::time::timeout(FIRST_REQUEST_GRACE, has_spoken.wait_for(|spoken| *spoken)).await.is_err();
    };
    tokio::select! {
        () = h2 => {}
        () = closing => {}
    }
}

/// Runs the streams of HTTP/2 connections.
#[derive(Debug, Clone)]
struct Streams(Arc<Workers>);

impl<F> Executor<F> for Streams
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, stream: F) {
        self.0.serve_stream(stream);
    }
}

fn h1() -> http1::Builder {
    let mut builder = http1::Builder::new();
    // `activity` limits the time of a head, without a timer for each request. The library accepts 100 header lines,
    // as many as fit without an allocation. Real clients send about thirty.
    builder.header_read_timeout(None).max_buf_size(HEAD_BYTES as usize);
    builder
}

fn h2(executor: Streams, streams: u32) -> http2::Builder<Streams> {
    let mut builder = http2::Builder::new(executor);
    builder
        .timer(TokioTimer::new())
        .max_header_list_size(HEAD_BYTES)
        .max_concurrent_streams(streams)
        .max_send_buf_size(H2_SEND_BYTES)
        .keep_alive_interval(H2_PING)
        .keep_alive_timeout(H2_PING);
    builder
}

#[cfg(test)]
mod tests;
