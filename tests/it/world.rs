//! A gateway, a stand-in for AWS and clients, for one test; at its end, a search for secrets in all
//! that was logged.

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

pub(crate) const MODEL: &str = "us.anthropic.claude-sonnet-4-6-v1:0";
pub(crate) const ARN: &str =
    "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abcdefghijkl";
pub(crate) const CONVERSE: &str = "/model/us.anthropic.claude-sonnet-4-6-v1%3A0/converse";
pub(crate) const CONVERSE_STREAM: &str = "/model/us.anthropic.claude-sonnet-4-6-v1%3A0/converse-stream";
pub(crate) const HELLO: &str = r#"{"messages":[{"role":"user","content":[{"text":"hello"}]}]}"#;

/// A bed with a gateway that serves in this process.
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

    /// A gateway before a stand-in that was prepared in some way.
    pub(crate) async fn before(standin: Standin, setup: &Setup<'_>) -> Self {
        capture_logs();
        let bed = Bed::around(standin);
        let log = memory_log();
        let gateway = bed.serve(&bed.write(setup), &log).await;
        let key = std::fs::read_to_string(bed.folder().join("tls.key")).unwrap();
        Self { gateway, log, bed, secrets: Mutex::new(vec![key]) }
    }

    /// One more gateway by the same file.
    pub(crate) async fn replica(&self) -> GatewayHandle {
        self.serve(&self.folder().join("gateway.toml"), &self.log).await
    }

    pub(crate) fn https(&self) -> String {
        format!("https://{}", self.gateway.addresses().https.unwrap())
    }

    /// A good token of `user`@acme.org in the team `search`.
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

    /// Takes note of something that must not be logged.
    pub(crate) fn secret(&self, secret: &str) {
        self.secrets.lock().unwrap().push(secret.to_owned());
    }

    /// The AWS SDK over TLS with a bearer token, as an application has it, that never retries.
    pub(crate) fn sdk(&self, token: &str) -> Client {
        self.sdk_at(&self.https(), token)
    }

    pub(crate) fn sdk_at(&self, endpoint: &str, token: &str) -> Client {
        Client::from_conf(self.sdk_config(endpoint).bearer_token(Token::new(token, None)).build())
    }

    /// The AWS SDK with placeholder credentials whose session token is the caller's: it signs, as any does.
    pub(crate) fn signing_sdk(&self, token: &str) -> Client {
        let placeholder =
            Credentials::new("placeholder", "placeholder", Some(token.to_owned()), None, "test");
        Client::from_conf(self.sdk_config(&self.https()).credentials_provider(placeholder).build())
    }

    fn sdk_config(&self, endpoint: &str) -> Builder {
        sdk(endpoint, self.sdk_connections())
    }

    /// Sends over plain HTTP/1.1 and reads the answer to its end.
    pub(crate) async fn send(&self, request: Request<Full<Bytes>>) -> Answer {
        read(self.open(request).await).await
    }

    /// Sends over plain HTTP/1.1, on a connection of its own.
    pub(crate) async fn open(&self, request: Request<Full<Bytes>>) -> http::Response<Incoming> {
        bedrock_bed::send(self.gateway.addresses().http.unwrap(), request).await
    }

    /// The same by HTTP/2 with prior knowledge.
    pub(crate) async fn open_h2c(&self, mut request: Request<Full<Bytes>>) -> http::Response<Incoming> {
        *request.uri_mut() = self.absolute(request.uri());
        self.connect_h2c().await.send_request(request).await.unwrap()
    }

    /// An HTTP/2 connection; requests on it have absolute targets.
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

    /// Nothing was asked of STS and nothing reached Bedrock.
    pub(crate) fn assert_untouched(&self) {
        assert_eq!(self.standin.sts.calls().len(), 0, "STS was called");
        for service in self.bedrocks() {
            assert_eq!(service.server().requests(), 0, "{:?} was called", service.service());
        }
    }

    /// The last line of the access log, once there are `count` lines.
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
            // A token's signature alone gives it away as well as the whole does.
            let tail: String = secret.chars().rev().take(40).collect::<Vec<_>>().into_iter().rev().collect();
            assert!(!logged.contains(&tail), "a secret was logged");
        }
        for service in self.bedrocks() {
            let violations = service.violations();
            assert!(
                violations.is_empty(),
                "{:?} was sent what it must never see: {violations:?}",
                service.service()
            );
        }
    }
}

/// An answer, read whole.
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

/// A server that reads a request's head, answers every connection with these bytes, and closes it.
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

/// All that was logged in this process so far.
pub(crate) fn process_log() -> String {
    let logs = LOGS.get().unwrap().0.lock().unwrap_or_else(PoisonError::into_inner);
    String::from_utf8_lossy(&logs).into_owned()
}

struct Logs(Mutex<Vec<u8>>);

static LOGS: OnceLock<Logs> = OnceLock::new();

/// Everything that any library logs in this process at `debug`, by the rule that the gateway's own log
/// has for what is never written.
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
