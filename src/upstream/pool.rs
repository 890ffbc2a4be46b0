//! The connections to Bedrock: HTTP/1.1 over TLS. Idle ones are kept for the next request, with timeouts that respect
//! NAT gateways and load balancers on the way.
//!
//! HTTP/1.1, because long streams starve all others on one HTTP/2 connection. The pool is hand-written, because it
//! decides the cost of a request: each endpoint has its own pool, no request needs a look-up, and the future of a
//! request holds no more than it needs. `hyper_util::client::pool` (0.1) has no types that can be named yet.

use std::fmt;
use std::future::Future;
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::Uri;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::rt::{Read, Write};
use hyper_rustls::{HttpsConnector, MaybeHttpsStream};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::GaiResolver;
use tower_service::Service as _;
use tracing::debug;

use crate::endpoint::Endpoint;
use crate::endpoint::idle::Connection;
use crate::keep_alive;
use crate::proxy::{self, NoConnection, Proxy, ProxyConnector};
use crate::trust::{self, CaError};

/// The most bytes that are read of an answer at once, and the largest head of an answer. An answer whose caller does
/// not read holds this much memory.
const READ_BYTES: usize = 64 * 1024;

/// An answer's body. At its end it returns its connection to the pool. Dropped earlier, it closes the connection.
pub struct PooledBody {
    body: Incoming,
    connection: Option<(Connection, Arc<Endpoint>)>,
}

impl PooledBody {
    pub(super) fn new(body: Incoming, connection: Connection, endpoint: Arc<Endpoint>) -> Self {
        let mut pooled = Self { body, connection: Some((connection, endpoint)) };
        pooled.give_back_at_end();
        pooled
    }

    /// The longest silence that the gateway accepts within the answer. `None`: the answer has ended.
    pub(super) fn longest_silence(&self) -> Option<Duration> {
        self.connection.as_ref().map(|(_, endpoint)| endpoint.timeouts.stream_idle)
    }

    fn give_back_at_end(&mut self) {
        if self.body.is_end_stream() {
            self.give_back();
        }
    }

    fn give_back(&mut self) {
        if let Some((connection, endpoint)) = self.connection.take() {
            endpoint.idle.put(connection);
        }
    }
}

impl fmt::Debug for PooledBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PooledBody").field("body", &self.body).finish_non_exhaustive()
    }
}

impl Body for PooledBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        match &polled {
            Poll::Ready(None) => self.give_back(),
            Poll::Ready(Some(Ok(_))) => self.give_back_at_end(),
            Poll::Ready(Some(Err(_))) | Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Why the connector cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum ConnectorError {
    #[error(transparent)]
    Ca(#[from] CaError),
    #[error("cannot set up TLS for Bedrock: {0}")]
    Tls(#[from] rustls::Error),
    #[error("no CA certificates found on this machine; install its CA bundle or set SSL_CERT_FILE")]
    NoRoots,
}

/// A connector that trusts the CAs of this machine and those of the files in `extra`, and connects through `proxy`. It
/// waits for a connection for `timeout`, TLS included.
///
/// # Errors
/// When a CA file is unusable, or there is no CA at all.
pub fn connector(extra: &[&Path], timeout: Duration, proxy: Proxy) -> Result<Connector, ConnectorError> {
    let roots = trust::machine_and(extra.iter().copied())?;
    if roots.is_empty() {
        return Err(ConnectorError::NoRoots);
    }
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(timeout));
    tcp.set_keepalive(Some(keep_alive::AFTER));
    tcp.set_keepalive_interval(Some(keep_alive::EVERY));
    tcp.set_keepalive_retries(Some(keep_alive::PROBES));
    let tls = trust::client(roots)?;
    let tcp = ProxyConnector::new(tcp.clone(), tcp, tls.clone(), proxy.clone());
    let https = hyper_rustls::HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_or_http()
        .enable_http1()
        .wrap_connector(tcp);
    Ok(Connector { https, timeout, proxy })
}

/// The connector. Each new connection has one deadline for TCP and TLS together.
#[derive(Debug, Clone)]
pub struct Connector {
    https: HttpsConnector<ProxyConnector<GaiResolver>>,
    timeout: Duration,
    proxy: Proxy,
}

type Stream = MaybeHttpsStream<proxy::Stream>;
type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The bytes to and from a server.
trait Io: Read + Write + Send + Unpin {}

impl<T: Read + Write + Send + Unpin> Io for T {}

/// The stream, without the memory of the other kinds. The state of TLS takes more than 1 KiB, and [`Stream`] has room for
/// it twice: to Bedrock, and to the proxy.
fn compact(stream: Stream) -> Box<dyn Io> {
    match stream {
        MaybeHttpsStream::Http(MaybeHttpsStream::Http(tcp)) => Box::new(tcp),
        MaybeHttpsStream::Http(MaybeHttpsStream::Https(to_proxy)) => Box::new(to_proxy),
        MaybeHttpsStream::Https(tls) => Box::new(tls),
    }
}

impl Connector {
    /// A connection to `endpoint`.
    pub(super) async fn connect(&self, endpoint: &Endpoint) -> Result<Connection, BoxError> {
        let stream = self.open(endpoint.address());
        let timed_out = |_elapsed| {
            let seconds = self.timeout.as_secs_f64();
            let message = format!("no connection within {seconds} s (aws.connect_timeout)");
            io::Error::new(io::ErrorKind::TimedOut, message)
        };
        let stream = tokio::time::timeout(self.timeout, stream).await.map_err(timed_out)??;
        let (sender, speaking) =
            http1::Builder::new().max_buf_size(READ_BYTES).handshake(compact(stream)).await?;
        // In a box of its own, because an async block stores what it awaits twice.
        let speaking = Box::pin(speaking);
        tokio::spawn(async move {
            if let Err(error) = speaking.await {
                debug!(%error, "a connection to Bedrock ended with an error");
            }
        });
        Ok(Connection::of_this_worker(sender))
    }

    /// The failure of a connection in words. They name the proxy, if there is one.
    pub(super) fn explain(
        &self,
        error: &(dyn std::error::Error + 'static),
        endpoint: &Endpoint,
    ) -> NoConnection {
        self.proxy.explain(error, &endpoint.address())
    }

    fn open(&self, address: Uri) -> Pin<Box<dyn Future<Output = Result<Stream, BoxError>> + Send>> {
        self.https.clone().call(address)
    }
}

#[cfg(test)]
mod tests {
    use http::Request;
    use http_body_util::BodyExt as _;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;
    use crate::body::sent::SentBody;
    use crate::endpoint::CONNECT;
    use crate::endpoint::idle::{Idle, POOL_IDLE};
    use crate::route::Service;
    use crate::workers;

    /// A server that gives the same answer to every request, and an endpoint for it. Its task returns the number of
    /// requests on the first connection.
    async fn serving(answer: &'static str) -> (Arc<Endpoint>, tokio::task::JoinHandle<usize>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        let served = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let (mut asked, mut buffer) = (0, [0; 1024]);
            while stream.read(&mut buffer).await.is_ok_and(|read| read > 0) {
                asked += 1;
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
            asked
        });
        let endpoint = Endpoint::of(Service::Runtime, "us-east-1", Some(&url), false, false).await;
        (Arc::new(endpoint.unwrap().unwrap()), served)
    }

    #[test]
    fn a_ca_file_without_a_certificate_is_rejected() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(matches!(connector(&[file.path()], CONNECT, Proxy::default()), Err(ConnectorError::Ca(_))));
    }

    async fn ask(connection: Option<Connection>, endpoint: &Arc<Endpoint>) -> PooledBody {
        let mut connection = match connection {
            Some(connection) => connection,
            None => connector(&[], CONNECT, Proxy::default()).unwrap().connect(endpoint).await.unwrap(),
        };
        let request = Request::get("/").header("host", "bedrock").body(SentBody::empty()).unwrap();
        let answer = connection.sender.try_send_request(request).await.unwrap();
        PooledBody::new(answer.into_body(), connection, Arc::clone(endpoint))
    }

    /// The idle connection, as soon as it is ready.
    async fn kept(endpoint: &Endpoint) -> Connection {
        loop {
            if let Some(connection) = endpoint.idle.take() {
                return connection;
            }
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_connection_returns_to_the_pool_only_when_its_answer_has_ended() {
        for answer in [
            "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        ] {
            let (endpoint, served) = serving(answer).await;
            let mut connection = None;
            for _ in 0..3 {
                let mut body = ask(connection.take(), &endpoint).await;
                assert_eq!(endpoint.idle.len() == 0, !body.is_end_stream());
                while body.frame().await.is_some() {}
                connection = Some(kept(&endpoint).await);
            }
            drop(connection);
            assert_eq!(served.await.unwrap(), 3);
        }
    }

    #[tokio::test]
    async fn an_answer_that_is_dropped_early_closes_its_connection() {
        let (endpoint, served) = serving("HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\nhello").await;
        let mut body = ask(None, &endpoint).await;
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "hello");
        drop(body);
        assert_eq!(served.await.unwrap(), 1);
        assert_eq!(endpoint.idle.len(), 0);
    }

    #[tokio::test]
    async fn a_connection_that_was_idle_for_too_long_is_not_used() {
        let looks: [fn(&Idle); 2] = [Idle::sweep, |idle| assert!(idle.take().is_none())];
        for look in looks {
            let (endpoint, served) = serving("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
            ask(None, &endpoint).await;
            let connection = kept(&endpoint).await;
            tokio::time::pause();
            endpoint.idle.put(connection);
            endpoint.idle.sweep();
            assert_eq!(endpoint.idle.len(), 1);
            tokio::time::advance(POOL_IDLE).await;
            look(&endpoint.idle);
            assert_eq!(endpoint.idle.len(), 0);
            assert_eq!(served.await.unwrap(), 1);
            tokio::time::resume();
        }
    }

    #[tokio::test]
    async fn a_worker_without_an_idle_connection_takes_one_of_another_worker() {
        let (endpoint, served) = serving("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
        let endpoint = Arc::new(Arc::into_inner(endpoint).unwrap().of_workers(3));
        workers::become_worker(2);
        ask(None, &endpoint).await;
        for number in [0, 1, 2] {
            workers::become_worker(number);
            let taken = kept(&endpoint).await;
            ask(Some(taken), &endpoint).await;
        }
        assert_eq!(
            format!("{:?}", endpoint.idle),
            "Idle([0, 0, 1])",
            "it returns to the worker that reads it"
        );
        drop(endpoint);
        assert_eq!(served.await.unwrap(), 4);
    }
}
