//! Sockets that connections arrive at.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::TlsAcceptor;
use tracing::warn;

use crate::server::Peer;
use crate::server::balancers::{Balancers, ClientAddress, ExpectedHeader};
use crate::server::throttle::Throttle;

const BACKLOG: u32 = 4096;

/// A listening socket and how it is spoken to.
pub struct Listener {
    socket: TcpListener,
    tls: Option<TlsAcceptor>,
    balancers: Option<Arc<Balancers>>,
    /// Of balancers that speak the PROXY protocol.
    expected_header: ExpectedHeader,
}

impl std::fmt::Debug for Listener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Listener")
            .field("socket", &self.socket)
            .field("tls", &self.tls.is_some())
            .field("balancers", &self.balancers)
            .field("expected_header", &self.expected_header)
            .finish()
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
        Ok(Self { socket, tls, balancers: None, expected_header: ExpectedHeader::Never })
    }

    /// For clients that may come by these balancers.
    #[must_use]
    pub fn behind(mut self, balancers: Option<Arc<Balancers>>) -> Self {
        (self.balancers, self.expected_header) = (balancers, ExpectedHeader::Always);
        self
    }

    /// For the health checks of these balancers.
    #[must_use]
    pub fn checked_by(mut self, balancers: Option<Arc<Balancers>>) -> Self {
        (self.balancers, self.expected_header) = (balancers, ExpectedHeader::Perhaps);
        self
    }

    fn arrived(&self, stream: TcpStream, address: SocketAddr, seat: OwnedSemaphorePermit) -> Accepted {
        let speaks_proxy = |balancers: &Arc<Balancers>| {
            balancers.client_address == ClientAddress::ProxyProtocol && balancers.is_one(address.ip())
        };
        // As an IPv4 address where a socket of both families has made IPv6 of it.
        let address = SocketAddr::new(address.ip().to_canonical(), address.port());
        let spoken = self.balancers.as_ref().is_some_and(speaks_proxy);
        Accepted {
            stream,
            peer: Peer { address, tls: self.tls.is_some() },
            tls: self.tls.clone(),
            expected_header: if spoken { self.expected_header } else { ExpectedHeader::Never },
            balancers: self.balancers.clone(),
            seat,
        }
    }

    /// The address that was bound; the port is the real one where 0 was asked for.
    ///
    /// # Errors
    /// As the system says.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }
}

/// A connection that was accepted.
pub(super) struct Accepted {
    pub(super) stream: TcpStream,
    pub(super) peer: Peer,
    pub(super) tls: Option<TlsAcceptor>,
    pub(super) expected_header: ExpectedHeader,
    pub(super) balancers: Option<Arc<Balancers>>,
    pub(super) seat: OwnedSemaphorePermit,
}

/// Accepts for as long as it is polled, and only while there is a seat.
pub(super) async fn accept_all(listener: Listener, seats: Arc<Semaphore>, found: UnboundedSender<Accepted>) {
    let throttle = Throttle::default();
    loop {
        let Ok(seat) = Arc::clone(&seats).acquire_owned().await else { return };
        match listener.socket.accept().await {
            Ok((stream, address)) => {
                // Without a wait between the two, so that stopping never loses a connection that was
                // accepted; their number is bounded by the seats.
                if found.send(listener.arrived(stream, address, seat)).is_err() {
                    return;
                }
            }
            Err(error) => {
                // Out of file descriptors, most likely: connections that end give some back.
                if let Some(left_out) = throttle.line() {
                    warn!(%error, left_out, "cannot accept a connection");
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}
