//! A gateway, a stand-in for AWS and clients for one test. At the end it searches all logs for secrets.

use std::io::Write;
use std::ops::Deref;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use aws_credential_types::Credentials;
use aws_sdk_bedrockruntime::Client;
use aws_sdk_bedrockruntime::config::{Builder, Token};
use bedrock_bed::{Bed, memory_log, sdk, until};
use bedrock_gateway::gateway::GatewayHandle;
use bedrock_gateway::telemetry::access::AccessLog;
use bedrock_gateway::telemetry::log::keeps_secrets;
use bedrock_standin::bedrock::Bedrock;
use bedrock_standin::idp::Claims;
use bedrock_standin::{Options, Standin};
use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tracing::Level;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Layer, SubscriberExt};

pub(crate) use bedrock_bed::Setup;

use crate::debug_text::{debug_text, own_lines};

pub(crate) const MODEL: &str = "us.anthropic.claude-sonnet-4-6-v1:0";
pub(crate) const ARN: &str =
    "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abcdefghijkl";
pub(crate) const CONVERSE: &str = "/model/us.anthropic.claude-sonnet-4-6-v1%3A0/converse";
pub(crate) const CONVERSE_STREAM: &str = "/model/us.anthropic.claude-sonnet-4-6-v1%3A0/converse-stream";
pub(crate) const HELLO: &str = r#"{"messages":[{"role":"user","content":[{"text":"hello"}]}]}"#;

/// A test bed with a gateway in this process.
pub(crate) struct World {
    pub(crate) gateway: GatewayHandle,
    pub(crate) log: Arc<AccessLog>,
    bed: Bed,
    secrets: Mutex<Vec<String>>,
}

impl Deref for World {
    type Target = Bed;

    fn deref(&self) -> &Bed {
        &self.bed
    }
}

impl World {
    pub(crate) async fn start() -> Self {
        Self::with(&Setup::default()).await
    }

    pub(crate) async fn with(setup: &Setup<'_>) -> Self {
        Self::before(Standin::start(Options::default()), setup).await
    }

    /// A gateway with a prepared stand-in.
    pub(crate) async fn before(standin: Standin, setup: &Setup<'_>) -> Self {
        capture_logs();
        let bed = Bed::around(standin);
        let log = memory_log();
        let gateway = bed.serve(&bed.write(setup), &log).await;
        let key = std::fs::read_to_string(bed.folder().join("tls.key")).unwrap();
        Self { gateway, log, bed, secrets: Mutex::new(vec![key]) }
    }

    /// Another gateway with the same configuration file.
    pub(crate) async fn replica(&self) -> GatewayHandle {
        self.serve(&self.folder().join("gateway.toml"), &self.log).await
    }

    pub(crate) fn https(&self) -> String {
        format!("https://{}", self.gateway.addresses().https.unwrap())
    }

    /// A valid token of `user`@acme.org in the team `search`.
    pub(crate) fn token(&self, user: &str) -> String {
        self.mint(Self::claims(user))
    }

    pub(crate) fn claims(user: &str) -> Claims {
        let email = format!("{user}@acme.org");
        Claims::of(user).claim("email", email).claim("team", "search")
    }

    pub(crate) fn mint(&self, claims: Claims) -> String {
        let token = self.standin.idp.mint(claims);
        self.secret(&token);
        token
    }

    /// Registers a secret that must not be logged.
    pub(crate) fn secret(&self, secret: &str) {
        self.secrets.lock().unwrap().push(secret.to_owned());
    }

    /// The AWS SDK over TLS with a bearer token, as applications use it, but without retries.
    pub(crate) fn sdk(&self, token: &str) -> Client {
        self.sdk_at(&self.https(), token)
    }

    pub(crate) fn sdk_at(&self, endpoint: &str, token: &str) -> Client {
        Client::from_conf(self.sdk_config(endpoint).bearer_token(Token::new(token, None)).build())
    }

    /// The AWS SDK with placeholder credentials. Their session token is the caller's token, and the SDK signs as usual.
    pub(crate) fn signing_sdk(&self, token: &str) -> Client {
        let placeholder =
            Credentials::new("placeholder", "placeholder", Some(token.to_owned()), None, "test");
        Client::from_conf(self.sdk_config(&self.https()).credentials_provider(placeholder).build())
    }

    /// The settings of such an SDK, without a token.
    pub(crate) fn sdk_config(&self, endpoint: &str) -> Builder {
        sdk(endpoint, self.sdk_connections())
    }

    /// Sends over plain HTTP/1.1 and reads the answer to its end.
    pub(crate) async fn send(&self, request: Request<Full<Bytes>>) -> Answer {
        read(self.open(request).await).await
    }

    /// Sends over plain HTTP/1.1 on a new connection.
    pub(crate) async fn open(&self, request: Request<Full<Bytes>>) -> http::Response<Incoming> {
        bedrock_bed::send(self.gateway.addresses().http.unwrap(), request).await
    }

    /// Sends over HTTP/2 with prior knowledge on a new connection.
    pub(crate) async fn open_h2c(&self, mut request: Request<Full<Bytes>>) -> http::Response<Incoming> {
        *request.uri_mut() = self.absolute(request.uri());
        self.connect_h2c().await.send_request(request).await.unwrap()
    }

    /// Opens an HTTP/2 connection. Requests on it need absolute targets.
    pub(crate) async fn connect_h2c(&self) -> hyper::client::conn::http2::SendRequest<Full<Bytes>> {
        let stream = tokio::net::TcpStream::connect(self.gateway.addresses().http.unwrap()).await.unwrap();
        let (sender, connection) = hyper::client::conn::http2::Builder::new(TokioExecutor::new())
            .max_header_list_size(256 * 1024)
            .handshake(hyper_util::rt::TokioIo::new(stream))
            .await
            .unwrap();
        tokio::spawn(connection);
        sender
    }

    pub(crate) fn absolute(&self, target: &http::Uri) -> http::Uri {
        format!("http://{}{target}", self.gateway.addresses().http.unwrap()).parse().unwrap()
    }

    pub(crate) fn bedrocks(&self) -> [&Bedrock; 3] {
        [&self.standin.bedrock, &self.standin.control, &self.standin.mantle]
    }

    /// Asserts that the gateway called neither STS nor Bedrock.
    pub(crate) fn assert_untouched(&self) {
        assert_eq!(self.standin.sts.calls().len(), 0, "STS was called");
        for service in self.bedrocks() {
            assert_eq!(service.server().requests(), 0, "{:?} was called", service.service());
        }
    }

    /// Line `count` of the access log. Waits until it is there.
    pub(crate) async fn logged(&self, count: usize) -> Value {
        let line = until("the access log line", async || self.log.lines().get(count - 1).cloned()).await;
        serde_json::from_str(&line).unwrap()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        let mut secrets = std::mem::take(&mut *self.secrets.lock().unwrap());
        secrets.push(self.standin.credentials.gateway_secret_access_key().to_owned());
        for session in self.standin.credentials.sessions() {
            secrets.push(session.secret);
            secrets.push(session.session_token);
        }
        let mut logged = process_log();
        logged.extend(self.log.lines());
        for secret in secrets {
            // The end of a token is its signature, so a search for the end finds any use of it.
            let tail: String = secret.chars().rev().take(40).collect::<Vec<_>>().into_iter().rev().collect();
            assert!(!logged.contains(&tail), "a secret was logged");
        }
        for line in self.log.lines() {
            let line: Value = serde_json::from_str(&line).unwrap();
            let detail = line["detail"].as_str().unwrap_or_default();
            assert_eq!(debug_text(detail), None, "debug output in a detail of the access log: {detail}");
        }
        let new = new_process_log();
        for line in own_lines(&new) {
            assert_eq!(debug_text(line), None, "debug output in the process log: {line}");
        }
        for service in self.bedrocks() {
            let violations = service.violations();
            assert!(
                violations.is_empty(),
                "{:?} received what it must never receive: {violations:?}",
                service.service()
            );
        }
    }
}

/// An answer and its whole body.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn kind(&self) -> &str {
        self.headers.get("x-amzn-errortype").map_or("", |kind| kind.to_str().unwrap())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("not JSON: {:?}", self.body))
    }
}

pub(crate) async fn read(response: http::Response<Incoming>) -> Answer {
    let (head, body) = response.into_parts();
    let body = Limited::new(body, 64 << 20);
    #[expect(clippy::disallowed_methods, reason = "limited in the line above")]
    let body = body.collect().await.unwrap().to_bytes();
    if head.status.is_client_error() || head.status.is_server_error() {
        let text = String::from_utf8_lossy(&body);
        assert_eq!(debug_text(&text), None, "debug output in an answer: {text}");
    }
    Answer { status: head.status, headers: head.headers, body }
}

/// A POST of `body` with a bearer token.
pub(crate) fn post(path: &str, token: &str, body: impl Into<Bytes>) -> Request<Full<Bytes>> {
    Request::builder()
        .method(Method::POST)
        .uri(path)
        .header("authorization", format!("Bearer {token}"))
        .header("content-type", "application/json")
        .body(Full::new(body.into()))
        .unwrap()
}

/// A server that reads a request's head on each connection, answers with these bytes, and closes the connection.
pub(crate) async fn parrot(answer: &'static str) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = [0; 16 * 1024];
            if stream.read(&mut head).await.is_ok() {
                stream.write_all(answer.as_bytes()).await.unwrap();
                stream.shutdown().await.unwrap();
            }
        }
    });
    format!("http://{address}")
}

/// Everything that this process has logged so far.
pub(crate) fn process_log() -> String {
    let logs = LOGS.get().unwrap().0.lock().unwrap_or_else(PoisonError::into_inner);
    String::from_utf8_lossy(&logs).into_owned()
}

/// The whole lines of the process log that no earlier call has returned.
fn new_process_log() -> String {
    static SEARCHED: Mutex<usize> = Mutex::new(0);
    let mut searched = SEARCHED.lock().unwrap_or_else(PoisonError::into_inner);
    let logs = LOGS.get().unwrap().0.lock().unwrap_or_else(PoisonError::into_inner);
    let end = logs.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
    let new = String::from_utf8_lossy(&logs[*searched..end]).into_owned();
    *searched = end;
    new
}

struct Logs(Mutex<Vec<u8>>);

static LOGS: OnceLock<Logs> = OnceLock::new();

/// Captures everything that any library logs in this process at `debug`. The filter for secrets is the one of the
/// gateway's own log.
fn capture_logs() {
    LOGS.get_or_init(|| {
        let lines = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(LogsWriter);
        let shown = filter_fn(|event| *event.level() <= Level::DEBUG && keeps_secrets(event));
        let subscriber = tracing_subscriber::registry().with(lines.with_filter(shown));
        tracing::subscriber::set_global_default(subscriber).unwrap();
        Logs(Mutex::new(Vec::new()))
    });
}

#[derive(Clone, Copy)]
struct LogsWriter;

impl Write for LogsWriter {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if let Some(logs) = LOGS.get() {
            logs.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for LogsWriter {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        *self
    }
}
