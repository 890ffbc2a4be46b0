//! The sockets that accept connections.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use rustix::net::sockopt;
use tokio::net::TcpListener;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::TlsAcceptor;
use tracing::warn;

use crate::keep_alive;
use crate::server::Peer;
use crate::server::balancers::{Balancers, ClientAddress, ExpectedHeader};
use crate::server::throttle::Throttle;

const BACKLOG: u32 = 4096;

/// A listening socket, with its TLS settings and its load balancers.
pub struct Listener {
    socket: TcpListener,
    tls: Option<TlsAcceptor>,
    balancers: Option<Arc<Balancers>>,
    /// Whether connections of balancers that speak the PROXY protocol begin with its header.
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
    /// A listener on `address`.
    ///
    /// # Errors
    /// Those of the system, with the address in the text.
    pub fn bind(address: SocketAddr, tls: Option<TlsAcceptor>) -> io::Result<Self> {
        let bind = || {
            let socket = if address.is_ipv4() {
                tokio::net::TcpSocket::new_v4()
            } else {
                tokio::net::TcpSocket::new_v6()
            }?;
            socket.set_reuseaddr(true)?;
            probe_when_silent(&socket)?;
            socket.bind(address)?;
            socket.listen(BACKLOG)
        };
        let socket = bind()
            .map_err(|error| io::Error::new(error.kind(), format!("cannot listen on {address}: {error}")))?;
        Ok(Self { socket, tls, balancers: None, expected_header: ExpectedHeader::Never })
    }

    /// The same listener for clients whose connections may arrive over these balancers.
    #[must_use]
    pub fn behind(mut self, balancers: Option<Arc<Balancers>>) -> Self {
        (self.balancers, self.expected_header) = (balancers, ExpectedHeader::Always);
        self
    }

    /// The same listener for the health checks of these balancers.
    #[must_use]
    pub fn checked_by(mut self, balancers: Option<Arc<Balancers>>) -> Self {
        (self.balancers, self.expected_header) = (balancers, ExpectedHeader::Perhaps);
        self
    }

    fn arrived(&self, socket: TcpStream, address: SocketAddr, slot: OwnedSemaphorePermit) -> Accepted {
        let speaks_proxy = |balancers: &Arc<Balancers>| {
            balancers.client_address == ClientAddress::ProxyProtocol && balancers.is_one(address.ip())
        };
        // A socket of both families shows IPv4 addresses as IPv6.
        let address = SocketAddr::new(address.ip().to_canonical(), address.port());
        let spoken = self.balancers.as_ref().is_some_and(speaks_proxy);
        Accepted {
            socket,
            peer: Peer { address, tls: self.tls.is_some() },
            tls: self.tls.clone(),
            expected_header: if spoken { self.expected_header } else { ExpectedHeader::Never },
            balancers: self.balancers.clone(),
            slot,
        }
    }

    /// The next connection. Its socket belongs to no runtime, because the worker that will serve it is not chosen yet.
    async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let (socket, address) = self.socket.accept().await?;
        Ok((socket.into_std()?, address))
    }

    /// The address of the socket. If port 0 was requested, it has the port that the system chose.
    ///
    /// # Errors
    /// Those of the system.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }
}

/// Turns TCP keep-alive on. Linux copies these options from a listening socket to each connection that it accepts.
fn probe_when_silent(socket: &impl AsFd) -> io::Result<()> {
    sockopt::set_socket_keepalive(socket, true)?;
    sockopt::set_tcp_keepidle(socket, keep_alive::AFTER)?;
    sockopt::set_tcp_keepintvl(socket, keep_alive::EVERY)?;
    sockopt::set_tcp_keepcnt(socket, keep_alive::PROBES)?;
    Ok(())
}

/// A connection that was accepted.
pub(super) struct Accepted {
    /// It does not block, and no runtime watches it yet.
    pub(super) socket: TcpStream,
    pub(super) peer: Peer,
    pub(super) tls: Option<TlsAcceptor>,
    pub(super) expected_header: ExpectedHeader,
    pub(super) balancers: Option<Arc<Balancers>>,
    pub(super) slot: OwnedSemaphorePermit,
}

/// Accepts connections, for as long as this is polled. Without a free slot, the last one waits here, and the next ones in
/// the backlog.
pub(super) async fn accept_all(listener: Listener, slots: Arc<Semaphore>, found: UnboundedSender<Accepted>) {
    let throttle = Throttle::default();
    loop {
        match listener.accept().await {
            Ok((socket, address)) => {
                // No wait with a free slot, so that a stop never loses a connection that could be served. The slots limit
                // the length of the queue.
                let slot = match Arc::clone(&slots).try_acquire_owned() {
                    Ok(slot) => slot,
                    Err(_full) => match Arc::clone(&slots).acquire_owned().await {
                        Ok(slot) => slot,
                        Err(_closed) => return,
                    },
                };
                if found.send(listener.arrived(socket, address, slot)).is_err() {
                    return;
                }
            }
            Err(error) => {
                // Most likely the process has no file descriptor left. Connections that end free some.
                if let Some(left_out) = throttle.line() {
                    warn!(
                        %error, left_out,
                        "cannot accept a connection; the gateway retries; check the limit of open files (ulimit -n)"
                    );
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn accepted_connections_have_keep_alive_before_a_balancer_forgets_them() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let listener = Listener::bind(address.parse().unwrap(), None).unwrap();
            let _client = TcpStream::connect(listener.address().unwrap()).unwrap();
            let (stream, _) = listener.accept().await.unwrap();
            assert!(sockopt::socket_keepalive(&stream).unwrap());
            let idle = sockopt::tcp_keepidle(&stream).unwrap();
            assert!(sockopt::tcp_keepintvl(&stream).unwrap() <= idle, "probes come at most {idle:?} apart");
            let until_closed = idle + keep_alive::PROBES * sockopt::tcp_keepintvl(&stream).unwrap();
            assert!(idle < Duration::from_secs(60), "{idle:?}");
            assert_eq!(sockopt::tcp_keepcnt(&stream).unwrap(), keep_alive::PROBES);
            assert!(until_closed < Duration::from_secs(120), "{until_closed:?}");
        }
    }
}
