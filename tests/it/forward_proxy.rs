//! A forward proxy on loopback: it opens tunnels (`CONNECT`) to servers whose names it maps to addresses.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use bedrock_bed::ANY_PORT;
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// One request for a tunnel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Asked {
    /// Host and port.
    pub(crate) server: String,
    /// The value of `Proxy-Authorization`.
    pub(crate) login: Option<String>,
}

/// A forward proxy. Dropping it closes its tunnels.
#[derive(Debug)]
pub(crate) struct ForwardProxy {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    _accepting: JoinSet<()>,
}

impl ForwardProxy {
    /// A proxy that knows these servers (host and port), and answers with `refusal` instead, if there is one: a status
    /// line. Must be called within a tokio runtime.
    pub(crate) async fn start(servers: &[(&str, SocketAddr)], refusal: Option<&'static str>) -> Self {
        let listener = TcpListener::bind(ANY_PORT).await.unwrap();
        let address = listener.local_addr().unwrap();
        let servers: BTreeMap<String, SocketAddr> =
            servers.iter().map(|(name, address)| ((*name).to_owned(), *address)).collect();
        let (servers, asked) = (Arc::new(servers), Arc::<Mutex<Vec<Asked>>>::default());
        let mut accepting = JoinSet::new();
        let seen = Arc::clone(&asked);
        accepting.spawn(async move {
            let mut tunnels = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                tunnels.spawn(tunnel(client, Arc::clone(&servers), Arc::clone(&seen), refusal));
            }
        });
        Self { address, asked, _accepting: accepting }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The tunnels that clients asked for so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().clone()
    }
}

async fn tunnel(
    mut client: TcpStream,
    servers: Arc<BTreeMap<String, SocketAddr>>,
    asked: Arc<Mutex<Vec<Asked>>>,
    refusal: Option<&'static str>,
) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        // One byte at a time: what follows the head belongs to the tunnel.
        match client.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let server =
        head.strip_prefix("CONNECT ").and_then(|rest| rest.split(' ').next()).unwrap_or("?").to_owned();
    let login = head.lines().find_map(|line| line.strip_prefix("Proxy-Authorization: ")).map(str::to_owned);
    let address = servers.get(&server).copied();
    asked.lock().push(Asked { server, login });
    let status = refusal
        .unwrap_or_else(|| if address.is_some() { "200 Connection established" } else { "502 Bad Gateway" });
    let answer = format!("HTTP/1.1 {status}\r\n\r\n");
    if client.write_all(answer.as_bytes()).await.is_err() || refusal.is_some() {
        return;
    }
    if let Some(address) = address
        && let Ok(mut server) = TcpStream::connect(address).await
    {
        let _broken = copy_bidirectional(&mut client, &mut server).await.is_err();
    }
}
