//! The process of a gateway, its memory, its log, and the honest client that calls it during an attack.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::{ChildStderr, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bedrock_bed::{Addresses, Bed, Process, Setup, free_addresses, trusting, within};
use bedrock_standin::idp::{Algorithm, Claims};
use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::ServerName;
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::Instant;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::connections::Fountain;

pub(crate) const CONVERSE: &str = "/model/us.anthropic.claude-sonnet-4-6-v1%3A0/converse";
pub(crate) const HELLO: &str = r#"{"messages":[{"role":"user","content":[{"text":"hello"}]}]}"#;
/// The address of a load balancer, whose connections begin with a PROXY header.
pub(crate) const BALANCER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
const MIB: u64 = 1024 * 1024;

/// Longest time that the honest client waits for an answer. It is far above the usual time, because the machine may be
/// busy, and far below the time of an answer that waits for another client's timeout (60 s and more).
const BOUND: Duration = Duration::from_secs(20);

/// Most bytes that an attack may add to the process log.
const LOGGED: u64 = 64 * 1024;

/// Allows one attack at a time. Otherwise they would be measured together.
static TURN: Mutex<()> = Mutex::const_new(());

/// `ordinary`, or `full` where the environment asks for it.
pub(crate) fn amount(ordinary: usize, full: usize) -> usize {
    if std::env::var("ABUSE").is_ok_and(|size| size == "full") { full } else { ordinary }
}

/// The destination of the process log, which is written to standard error. The access log goes to standard output, which
/// is discarded.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Log {
    ToFile,
    /// To a pipe that is read at 1 MB/s, for example by a slow container runtime.
    ToSlowReader,
}

/// A bed with a gateway in a process of its own.
pub(crate) struct Gate {
    child: Process,
    bed: Bed,
    /// The server of endless answers, which is Bedrock in the region `us-west-2`.
    pub(crate) fountain: Fountain,
    pub(crate) http: SocketAddr,
    pub(crate) https: SocketAddr,
    pub(crate) probe: SocketAddr,
    _turn: MutexGuard<'static, ()>,
}

impl Deref for Gate {
    type Target = Bed;

    fn deref(&self) -> &Bed {
        &self.bed
    }
}

/// The allowed growth of the gateway's memory, and its growth without limits, bytes.
pub(crate) struct Growth {
    pub(crate) ceiling: u64,
    pub(crate) unbounded: u64,
}

impl Growth {
    pub(crate) fn mib(ceiling: u64, unbounded: u64) -> Self {
        assert!(ceiling * 2 <= unbounded, "such a ceiling says little");
        Self { ceiling: ceiling * MIB, unbounded: unbounded * MIB }
    }
}

impl Gate {
    /// The number of sessions that the gateway caches.
    pub(crate) fn sessions() -> usize {
        amount(1_000, 100_000)
    }

    pub(crate) async fn open() -> Self {
        Self::open_with(Log::ToFile).await
    }

    pub(crate) async fn open_with(log: Log) -> Self {
        let turn = TURN.lock().await;
        let bed = Bed::start();
        let fountain = Fountain::start();
        let [http, https, probe] = free_addresses();
        let file = bed.write(&Setup {
            addresses: Addresses { https: Some(https), http: Some(http), probe: Some(probe), admin: None },
            listen: &format!(
                "[listen.balancers]\npeers = [\"{BALANCER}\"]\nclient_address = \"proxy-protocol\""
            ),
            bedrock_elsewhere: Some(&fountain.url()),
            sessions: &format!("max_sts_rate = 100000\ncapacity = {}", Self::sessions()),
            mapping: "[issuer.session]\nname = \"claims.email\"\n",
            ..Setup::default()
        });
        let logged = File::create(log_file(bed.folder())).unwrap();
        let stderr = match log {
            Log::ToFile => logged.try_clone().unwrap().into(),
            Log::ToSlowReader => Stdio::piped(),
        };
        let mut command = Command::new(binary());
        let command = bed.complete(&mut command, &file).stdout(Stdio::null()).stderr(stderr);
        let mut child = Process::spawn(command);
        if let Some(pipe) = child.stderr.take() {
            std::thread::spawn(move || read_slowly(pipe, logged));
        }
        let gate = Self { child, bed, fountain, http, https, probe, _turn: turn };
        gate.wait_until_ready().await;
        gate
    }

    /// Waits until the gateway has keys and credentials, and has allocated everything that it allocates once.
    async fn wait_until_ready(&self) {
        const PATIENCE: Duration = Duration::from_secs(60);
        within(PATIENCE, "the listener", async || TcpStream::connect(self.http).await.is_ok()).await;
        let honest = Honest::new(self);
        within(PATIENCE, "readiness", async || honest.call().await == StatusCode::OK).await;
        for _ in 0..50 {
            assert_eq!(honest.call().await, StatusCode::OK);
        }
    }

    /// A valid token of `user`@acme.org.
    pub(crate) fn token(&self, user: &str) -> String {
        let claims = Claims::of(user).claim("email", format!("{user}@acme.org"));
        self.standin.idp.mint(claims.algorithm(Algorithm::ES256))
    }

    /// A connection to the `https` listener for HTTP/2.
    pub(crate) async fn connect_tls(&self) -> TlsStream<TcpStream> {
        let mut trust = trusting(self.folder());
        trust.alpn_protocols = vec![b"h2".to_vec()];
        let stream = connect_narrow(self.https).await;
        let name = ServerName::try_from("localhost").unwrap();
        TlsConnector::from(Arc::new(trust)).connect(name, stream).await.unwrap()
    }

    /// Runs `abuse`, then prints and checks the growth of the gateway's memory and log. Also checks that an honest client
    /// got all its answers meanwhile, and returns how it was served.
    pub(crate) async fn survives(
        &self,
        name: &str,
        growth: Growth,
        abuse: impl Future<Output = String>,
    ) -> Served {
        let (before, log_before) = (self.child.memory("VmRSS"), self.log().len());
        let ended = Arc::new(AtomicBool::new(false));
        let honest = tokio::spawn(Honest::new(self).calls_until(Arc::clone(&ended)));
        let done = abuse.await;
        ended.store(true, Ordering::Relaxed);
        let served = honest.await.unwrap();
        let (peak, after) = (self.child.memory("VmHWM"), self.child.memory("VmRSS"));
        let log = self.log();
        let logged = (log.len() - log_before) as u64;
        // Written directly, because the test harness would capture it.
        let report = format!(
            "abuse: {name}: {done}; RSS before {}, peak {}, after {}, ceiling {} MiB (unbounded: {} more); \
             log {logged} bytes; honest client: {} calls, p99 {} ms, slowest {} ms\n",
            before / MIB,
            peak / MIB,
            after / MIB,
            (before + growth.ceiling) / MIB,
            growth.unbounded / MIB,
            served.times.len(),
            served.p99().as_millis(),
            served.slowest().as_millis(),
        );
        std::io::stderr().write_all(report.as_bytes()).unwrap();
        assert!(peak < before + growth.ceiling, "{name}: over the ceiling");
        let last = log.lines().last().unwrap_or_default();
        assert!(logged <= LOGGED, "{name}: {logged} bytes more in the process's log, the last line {last}");
        assert!(!served.times.is_empty());
        served
    }

    /// The process log so far.
    fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(log_file(self.folder())).unwrap()).into_owned()
    }
}

fn log_file(folder: &Path) -> PathBuf {
    folder.join("process.log")
}

/// Copies 1 MB a second, until the gateway has ended.
fn read_slowly(mut pipe: ChildStderr, mut file: File) {
    let mut read = vec![0; 50_000];
    while let Ok(length @ 1..) = pipe.read(&mut read) {
        file.write_all(&read[..length]).unwrap();
        std::thread::sleep(Duration::from_micros(length as u64));
    }
}

fn binary() -> PathBuf {
    std::env::var_os("ABUSE_GATEWAY")
        .map_or_else(|| env!("CARGO_BIN_EXE_bedrock-gateway").into(), PathBuf::from)
}

/// A caller that attacks nothing.
struct Honest {
    address: SocketAddr,
    token: String,
}

/// How an honest caller was served: the time of each call.
pub(crate) struct Served {
    times: Vec<Duration>,
}

impl Served {
    pub(crate) fn slowest(&self) -> Duration {
        self.times.iter().max().copied().unwrap_or_default()
    }

    /// The time that 99 of 100 calls did not exceed.
    fn p99(&self) -> Duration {
        let mut times = self.times.clone();
        times.sort_unstable();
        times[times.len() - 1 - times.len() / 100]
    }
}

impl Honest {
    fn new(gate: &Gate) -> Self {
        Self { address: gate.http, token: gate.token("honest") }
    }

    /// Sends one call over a new connection.
    async fn call(&self) -> StatusCode {
        let stream = TcpStream::connect(self.address).await.unwrap();
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        let speaking = tokio::spawn(connection);
        let request = post(self.address, CONVERSE, &self.token, HELLO);
        let mut answer = sender.send_request(request).await.unwrap();
        while let Some(frame) = answer.body_mut().frame().await {
            assert!(frame.is_ok());
        }
        drop(sender);
        speaking.await.unwrap().unwrap();
        answer.status()
    }

    /// Sends a call every 50 ms until the attack has ended, and then one more.
    async fn calls_until(self, ended: Arc<AtomicBool>) -> Served {
        let mut served = Served { times: Vec::new() };
        loop {
            let last = ended.load(Ordering::Relaxed);
            let begun = Instant::now();
            let status =
                tokio::time::timeout(BOUND, self.call()).await.expect("an honest client was kept waiting");
            assert_eq!(status, StatusCode::OK);
            served.times.push(begun.elapsed());
            if last {
                return served;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// A POST with a bearer token, for either version of HTTP.
pub(crate) fn post(
    address: SocketAddr,
    path: &str,
    token: &str,
    body: impl Into<Bytes>,
) -> Request<Full<Bytes>> {
    Request::post(format!("http://{address}{path}"))
        .header("host", address.to_string())
        .header("authorization", format!("Bearer {token}"))
        .header("content-type", "application/json")
        .body(Full::new(body.into()))
        .unwrap()
}

/// A connection with a small receive buffer, so unread data stays in the gateway.
pub(crate) async fn connect_narrow(address: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(16 * 1024).unwrap();
    socket.connect(address).await.unwrap()
}

/// An HTTP/2 connection.
pub(crate) async fn connect_h2(address: SocketAddr) -> http2::SendRequest<Full<Bytes>> {
    let stream = TcpStream::connect(address).await.unwrap();
    let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    // An error of the connection shows where requests are sent.
    tokio::spawn(async move { connection.await.is_ok() });
    sender
}
