//! Silent streams through a middlebox that forgets a silent connection, and then drops its packets without a word.
//!
//! `.ci/idle/run` makes the middlebox, in a network of its own, and runs this program there: the gateway's real binary,
//! the stand-in for AWS and the clients. Every packet of loopback passes the middlebox, so it is on both sides of the
//! gateway. Each client requests an answer. Then Bedrock is silent for ten minutes, and then it answers. The program
//! fails unless each connection survives, or dies, as `CONNECTIONS` says.
//!
//! The clients turn no keep-alive on: what keeps a connection alive is the gateway's.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed")]

use std::fs::File;
use std::net::SocketAddr;
use std::process::{Command, ExitCode};
use std::time::Duration;

use bedrock_bed::{Addresses, Bed, Process, Setup, until};
use bedrock_standin::bedrock::Fault;
use bedrock_standin::bill::Operation;
use bedrock_standin::idp::Claims;
use bytes::Bytes;
use clap::Parser;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// Silent streams through a middlebox that forgets
#[derive(Debug, Parser)]
struct Arguments {
    /// Seconds of silence
    #[arg(long, default_value_t = 600)]
    silence: u64,
}

/// A gateway behind a middlebox that forgets a connection without packets: a NAT gateway, a network load balancer.
const COUNTS_PACKETS: &str = "127.0.0.1:8080";
/// A gateway behind a middlebox that forgets a connection without data. Probes of TCP keep-alive have none.
const COUNTS_DATA: &str = "127.0.0.1:8081";
/// A pair of sockets without keep-alive, to show that the middlebox forgets.
const CONTROL: &str = "127.0.0.1:8082";

/// The connections, and whether each survives.
const CONNECTIONS: [(&str, bool); 6] = [
    ("HTTP/1.1 stream", true),
    ("HTTP/2 stream", true),
    ("HTTP/1.1 answer that is not a stream", true),
    ("HTTP/1.1 stream, where only data counts", false),
    ("HTTP/2 stream, where only data counts: PING", true),
    ("a connection without keep-alive", false),
];

const STREAM: &str = "/model/us.anthropic.claude-sonnet-4-6-v1%3A0/converse-stream";
const WHOLE: &str = "/model/us.anthropic.claude-sonnet-4-6-v1%3A0/converse";
const HELLO: &str = r#"{"messages":[{"role":"user","content":[{"text":"hello"}]}]}"#;
/// How long a client waits for what follows the silence. TCP repeats a packet several times in it.
const PATIENCE: Duration = Duration::from_secs(20);

fn main() -> ExitCode {
    let silence = Duration::from_secs(Arguments::parse().silence);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let (survived, logs) = runtime.block_on(run(silence));
    let mut code = ExitCode::SUCCESS;
    println!("after {} silent seconds:", silence.as_secs());
    for ((name, expected), survived) in CONNECTIONS.into_iter().zip(survived) {
        let word = if survived { "survived" } else { "died" };
        let verdict = if survived == expected { "as expected" } else { "NOT AS EXPECTED" };
        println!("  {name:<48} {word:<10} {verdict}");
        if survived != expected {
            code = ExitCode::FAILURE;
        }
    }
    // The last gateway noticed by its probes that a client was gone, and did not wait for Bedrock.
    for (log, (complete, gone)) in logs.iter().zip([(3, 0), (1, 1)]) {
        for (ended, expected) in [("complete", complete), ("client", gone)] {
            let lines = log.matches(&format!(r#""ended":"{ended}""#)).count();
            if lines != expected {
                println!("{lines} requests ended by \"{ended}\", NOT {expected}:\n{log}");
                code = ExitCode::FAILURE;
            }
        }
    }
    code
}

/// Whether each of [`CONNECTIONS`] survived, and the logs of the gateways.
async fn run(silence: Duration) -> ([bool; 6], [String; 2]) {
    let bed = Bed::start();
    let (packets, data) = (COUNTS_PACKETS.parse().unwrap(), COUNTS_DATA.parse().unwrap());
    let gateways = [Gateway::start(&bed, "packets", packets).await, Gateway::start(&bed, "data", data).await];
    let bedrock = &bed.standin.bedrock;
    bedrock.hold();
    let late = Fault::Late(silence);
    bedrock.choose_faults(move |call| (call.operation == Operation::Converse).then(|| late.clone()));
    let streams = [
        http1(&bed, packets).await,
        http2(&bed, packets).await,
        http1(&bed, data).await,
        http2(&bed, data).await,
    ];
    let whole = tokio::spawn(bedrock_bed::send(packets, request(&bed, WHOLE)));
    let (control, mut silent) = pair().await;
    until("five calls", async || bed.standin.bill.call_count() == 5).await;

    let began = Instant::now();
    tokio::time::sleep(silence).await;
    assert_eq!(bedrock.frames_sent(), 0, "Bedrock was silent");
    println!("silent from the start to {:.0?}", began.elapsed());
    bedrock.flow();
    silent.write_all(b"!").await.unwrap();
    let [h1, h2, h1_data, h2_data] = streams.map(|answer| tokio::spawn(is_complete(answer)));
    let (h1, h2) = (h1.await.unwrap(), h2.await.unwrap());
    let (h1_data, h2_data) = (h1_data.await.unwrap(), h2_data.await.unwrap());
    let survived = [h1, h2, answered(whole).await, h1_data, h2_data, arrives(control).await];
    assert_eq!(bed.standin.bill.call_count(), 5, "no call was made twice");
    (survived, gateways.map(|gateway| gateway.stop(&bed)))
}

/// The gateway's binary.
struct Gateway {
    process: Process,
    name: &'static str,
}

impl Gateway {
    async fn start(bed: &Bed, name: &'static str, address: SocketAddr) -> Self {
        let addresses = Addresses { http: Some(address), ..Addresses::default() };
        // The default limit of silence is ten minutes: this test is about the middlebox.
        let setup = Setup { addresses, aws: "stream_idle_timeout = \"20m\"", ..Setup::default() };
        let file = bed.write_as(&format!("{name}.toml"), &setup);
        let log = File::create(bed.folder().join(name)).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_bedrock-gateway"));
        bed.complete(&mut command, &file).stderr(log.try_clone().unwrap()).stdout(log);
        let process = Process::spawn(&mut command);
        until("the gateway", async || TcpStream::connect(address).await.is_ok()).await;
        Self { process, name }
    }

    /// Stops it, and returns its logs.
    fn stop(mut self, bed: &Bed) -> String {
        self.process.signal(bedrock_bed::Signal::TERM);
        self.process.wait().unwrap();
        std::fs::read_to_string(bed.folder().join(self.name)).unwrap()
    }
}

fn request(bed: &Bed, path: &str) -> Request<Full<Bytes>> {
    let token =
        bed.standin.idp.mint(Claims::of("alice").claim("email", "alice@acme.org").claim("team", "search"));
    Request::post(path)
        .header("authorization", format!("Bearer {token}"))
        .header("content-type", "application/json")
        .body(Full::new(Bytes::from(HELLO)))
        .unwrap()
}

/// The head of a stream over HTTP/1.1.
async fn http1(bed: &Bed, gateway: SocketAddr) -> Response<Incoming> {
    let answer = bedrock_bed::send(gateway, request(bed, STREAM)).await;
    assert_eq!(answer.status(), 200);
    answer
}

/// The head of a stream over HTTP/2.
async fn http2(bed: &Bed, gateway: SocketAddr) -> Response<Incoming> {
    let stream = TokioIo::new(TcpStream::connect(gateway).await.unwrap());
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), stream).await.unwrap();
    tokio::spawn(connection);
    let request = request(bed, &format!("http://{gateway}{STREAM}"));
    let answer = sender.send_request(request).await.unwrap();
    assert_eq!(answer.status(), 200);
    answer
}

/// Whether the rest of a stream arrives.
async fn is_complete(answer: Response<Incoming>) -> bool {
    let body = Limited::new(answer.into_body(), 1 << 20);
    #[expect(clippy::disallowed_methods, reason = "bounded by Limited")]
    let whole = tokio::time::timeout(PATIENCE, body.collect()).await;
    whole.is_ok_and(|body| body.is_ok_and(|body| !body.to_bytes().is_empty()))
}

/// Whether an answer arrives that is not a stream.
async fn answered(answer: JoinHandle<Response<Incoming>>) -> bool {
    match tokio::time::timeout(PATIENCE, answer).await {
        Ok(Ok(answer)) => answer.status() == 200 && is_complete(answer).await,
        Ok(Err(_)) | Err(_) => false,
    }
}

/// Both ends of a connection without keep-alive.
async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind(CONTROL).await.unwrap();
    let (client, server) = tokio::join!(TcpStream::connect(CONTROL), listener.accept());
    (client.unwrap(), server.unwrap().0)
}

/// Whether a byte arrives.
async fn arrives(mut stream: TcpStream) -> bool {
    matches!(tokio::time::timeout(PATIENCE, stream.read_u8()).await, Ok(Ok(_)))
}
