//! A connection to the gateway, over TLS, HTTP/1.1 or HTTP/2.

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio_rustls::TlsConnector;

use crate::world::World;

type Body = Full<Bytes>;

/// A connection that opens at the first call, and again after it was closed.
pub(crate) enum Line {
    H1 {
        trust: TlsConnector,
        sender: Option<http1::SendRequest<Body>>,
    },
    /// Shared by several callers.
    H2(Arc<Shared>),
}

pub(crate) struct Shared {
    trust: TlsConnector,
    sender: Mutex<Option<http2::SendRequest<Body>>>,
}

impl Line {
    pub(crate) fn h1(world: &World) -> Self {
        Self::H1 { trust: TlsConnector::from(Arc::new(world.trust(b"http/1.1"))), sender: None }
    }

    pub(crate) fn h2(world: &World) -> Arc<Shared> {
        let trust = TlsConnector::from(Arc::new(world.trust(b"h2")));
        Arc::new(Shared { trust, sender: Mutex::default() })
    }

    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::H1 { .. } => "HTTP/1.1",
            Self::H2(_) => "HTTP/2",
        }
    }

    pub(crate) fn is_h2(&self) -> bool {
        matches!(self, Self::H2(_))
    }

    /// Sends a request and waits for the head of the answer. If the connection had closed and the request was provably
    /// never sent, it sends the request again, as any client does.
    pub(crate) async fn send(
        &mut self,
        world: &World,
        request: Request<Body>,
    ) -> Result<Response<Incoming>, hyper::Error> {
        loop {
            let (unsent, error) = match self {
                Self::H1 { trust, sender } => {
                    let mut ready = if let Some(kept) = ready(sender.take()).await {
                        kept
                    } else {
                        let io = connect(trust, world).await;
                        let (ready, connection) = http1::handshake(io).await?;
                        tokio::spawn(connection);
                        ready
                    };
                    let mut plain = request.clone();
                    *plain.uri_mut() = plain.uri().path_and_query().unwrap().as_str().parse().unwrap();
                    match ready.try_send_request(plain).await {
                        Ok(answer) => {
                            *sender = Some(ready);
                            return Ok(answer);
                        }
                        Err(mut failed) => (failed.take_message().is_some(), failed.into_error()),
                    }
                }
                Self::H2(shared) => {
                    let mut ready = shared.ready(world).await?;
                    match ready.try_send_request(request.clone()).await {
                        Ok(answer) => return Ok(answer),
                        Err(mut failed) => (failed.take_message().is_some(), failed.into_error()),
                    }
                }
            };
            if !unsent {
                return Err(error);
            }
        }
    }

    /// Drops an HTTP/1.1 connection: after a hang-up it cannot carry another request.
    pub(crate) fn hang_up(&mut self) {
        if let Self::H1 { sender, .. } = self {
            *sender = None;
        }
    }
}

impl Shared {
    async fn ready(&self, world: &World) -> Result<http2::SendRequest<Body>, hyper::Error> {
        let mut kept = self.sender.lock().await;
        if let Some(sender) = &*kept
            && !sender.is_closed()
        {
            return Ok(sender.clone());
        }
        let io = connect(&self.trust, world).await;
        let (sender, connection) = http2::handshake(TokioExecutor::new(), io).await?;
        tokio::spawn(connection);
        *kept = Some(sender.clone());
        Ok(sender)
    }
}

/// The connection, if it is still open.
async fn ready(kept: Option<http1::SendRequest<Body>>) -> Option<http1::SendRequest<Body>> {
    let mut kept = kept?;
    kept.ready().await.is_ok().then_some(kept)
}

async fn connect(trust: &TlsConnector, world: &World) -> TokioIo<tokio_rustls::client::TlsStream<TcpStream>> {
    let stream = TcpStream::connect(world.address).await.expect("the gateway always accepts");
    let name = ServerName::try_from("localhost").unwrap();
    TokioIo::new(trust.connect(name, stream).await.expect("the gateway always speaks TLS"))
}
