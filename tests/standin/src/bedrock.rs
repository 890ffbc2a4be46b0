//! Amazon Bedrock's runtime: recomputes every signature from the raw request, answers in the real
//! formats, writes down who pays, and fails on command.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderValue, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use rustls::ServerConfig;
use tokio::sync::{Notify, Semaphore};

use crate::bedrock::answer::{Answered, answer};
use crate::bill::{Bill, Call};
use crate::clock;
use crate::credentials::{self, Store};
use crate::faults::Faults;
use crate::server::{self, Body, Reset, Server};
use crate::signature::{self, Expect, SignatureFault};

mod answer;
mod stream;

#[derive(Debug)]
pub struct Options {
    pub tls: Option<Arc<ServerConfig>>,
    /// Those that signatures may be for.
    pub regions: Vec<String>,
}

/// What one call is to suffer.
#[derive(Debug, Clone)]
pub enum Fault {
    /// The answer's head comes late.
    Late(Duration),
    /// 429 `ThrottlingException`.
    Throttle,
    /// 403 `AccessDeniedException`.
    Deny,
    /// Any error: status, type, message.
    Error(u16, &'static str, &'static str),
    /// 403 with a type that says the credentials are no good; in the body alone, or in the header.
    CredentialsRefused { kind: &'static str, in_body_only: bool },
    /// The connection is reset once the request was read.
    ResetBeforeHead,
    /// No answer, ever.
    HangBeforeHead,
    /// A stream's connection is reset after so many frames.
    ResetMidStream(usize),
    /// … in the middle of the next one.
    ResetMidFrame(usize),
    /// A stream ends in an exception frame of this type.
    ExceptionMidStream(usize, &'static str),
    /// A stream falls silent.
    HangMidStream(usize),
}

/// The server and what it has seen.
#[derive(Debug)]
pub struct Bedrock {
    server: Server,
    state: Arc<State>,
}

#[derive(Debug)]
pub(crate) struct State {
    store: Arc<Store>,
    bill: Arc<Bill>,
    regions: Vec<String>,
    faults: Faults<Fault>,
    violations: Mutex<Vec<String>>,
    refusals: Mutex<Vec<SignatureFault>>,
    forbidden: Mutex<BTreeSet<String>>,
    offset: AtomicI64,
    /// Each frame of a stream takes a permit; ample unless a test holds streams.
    gate: Mutex<Arc<Semaphore>>,
    frames: AtomicUsize,
    streams: AtomicUsize,
    hangups: AtomicUsize,
    changed: Notify,
}

impl Bedrock {
    /// Must be called within a tokio runtime.
    pub fn start(store: Arc<Store>, bill: Arc<Bill>, options: Options) -> Self {
        let state = Arc::new(State {
            store,
            bill,
            regions: options.regions,
            faults: Faults::new(),
            violations: Mutex::default(),
            refusals: Mutex::default(),
            forbidden: Mutex::default(),
            offset: AtomicI64::new(0),
            gate: Mutex::new(open_gate()),
            frames: AtomicUsize::new(0),
            streams: AtomicUsize::new(0),
            hangups: AtomicUsize::new(0),
            changed: Notify::new(),
        });
        let serving = Arc::clone(&state);
        let server = Server::start(options.tls, move |request| Arc::clone(&serving).serve(request));
        Self { server, state }
    }

    pub fn url(&self) -> String {
        self.server.url()
    }

    /// The socket: to stop and restart it, or count connections and requests.
    pub fn server(&self) -> &Server {
        &self.server
    }

    pub fn faults(&self) -> &Faults<Fault> {
        &self.state.faults
    }

    /// What must never have reached Bedrock: calls signed as the gateway itself, and headers that tell
    /// or smuggle something.
    pub fn violations(&self) -> Vec<String> {
        lock(&self.state.violations).clone()
    }

    /// Signatures that did not verify.
    pub fn signature_refusals(&self) -> Vec<SignatureFault> {
        lock(&self.state.refusals).clone()
    }

    /// IAM forbids this model id to everyone from now on.
    pub fn forbid_model(&self, id: &str) {
        lock(&self.state.forbidden).insert(id.to_owned());
    }

    /// Bedrock's clock is so many seconds ahead of this machine's.
    pub fn set_clock_offset(&self, seconds: i64) {
        self.state.offset.store(seconds, Ordering::Relaxed);
    }

    /// From now on a stream's frames leave only as [`release`](Self::release) lets them.
    pub fn hold(&self) {
        *lock(&self.state.gate) = Arc::new(Semaphore::new(0));
    }

    /// Lets so many frames leave.
    pub fn release(&self, frames: usize) {
        lock(&self.state.gate).add_permits(frames);
    }

    /// Frames that have left, of all streams.
    pub fn frames_sent(&self) -> usize {
        self.state.frames.load(Ordering::SeqCst)
    }

    /// Streams that have begun and not ended.
    pub fn streams_open(&self) -> usize {
        self.state.streams.load(Ordering::SeqCst)
    }

    /// Streams and waiting calls whose client left before their end.
    pub fn hangups(&self) -> usize {
        self.state.hangups.load(Ordering::SeqCst)
    }

    /// Waits until `holds`, which may look at anything here.
    pub async fn wait_until(&self, holds: impl Fn(&Self) -> bool) {
        loop {
            let changed = self.state.changed.notified();
            if holds(self) {
                return;
            }
            // Connections and the bill change without a notice here.
            let _looked_again = tokio::time::timeout(Duration::from_millis(20), changed).await;
        }
    }
}

fn open_gate() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(Semaphore::MAX_PERMITS >> 3))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl State {
    async fn serve(self: Arc<Self>, request: Request<Incoming>) -> Result<Response<Body>, Reset> {
        let mut response = Arc::clone(&self).respond(request).await?;
        let headers = response.headers_mut();
        let id = HeaderValue::from_str(&credentials::request_id()).expect("a UUID is ASCII");
        headers.insert("x-amzn-requestid", id);
        headers.insert(header::DATE, http_date(self.now()));
        headers.insert(header::SET_COOKIE, HeaderValue::from_static("session=must-not-pass"));
        Ok(response)
    }

    async fn respond(self: Arc<Self>, request: Request<Incoming>) -> Result<Response<Body>, Reset> {
        let (head, body) = request.into_parts();
        let Ok(body) = server::read(body, 64 << 20).await else { return Err(Reset) };
        let fault = self.faults.take();
        match &fault {
            Some(Fault::ResetBeforeHead) => return Err(Reset),
            Some(Fault::HangBeforeHead) => {
                let _waiting = Waiting(&self);
                std::future::pending::<()>().await;
            }
            Some(Fault::Late(by)) => tokio::time::sleep(*by).await,
            _ => {}
        }
        let call = match self.authenticate(&head, &body) {
            Ok(call) => call,
            Err(refusal) => return Ok(*refusal),
        };
        self.bill.arrived(call.clone());
        self.changed.notify_waiters();
        let refusal = match fault {
            Some(Fault::Throttle) => Some(error(429, "ThrottlingException", "Too many tokens, please wait.")),
            Some(Fault::Deny) => Some(error(403, "AccessDeniedException", "You are not allowed.")),
            Some(Fault::Error(status, kind, message)) => Some(error(status, kind, message)),
            Some(Fault::CredentialsRefused { kind, in_body_only }) => {
                let mut refusal = error(403, kind, "The security token included in the request is invalid.");
                if in_body_only {
                    refusal.headers_mut().remove("x-amzn-errortype");
                    let body =
                        serde_json::json!({ "__type": kind, "message": "The security token is invalid." });
                    *refusal.body_mut() = server::full(body.to_string());
                }
                Some(refusal)
            }
            _ => None,
        };
        if let Some(refusal) = refusal {
            return Ok(refusal);
        }
        if lock(&self.forbidden).contains(&call.model) {
            return Ok(error(
                403,
                "AccessDeniedException",
                "You don't have access to the model with the specified model ID.",
            ));
        }
        if call.model.starts_with("unknown.") {
            return Ok(error(404, "ResourceNotFoundException", "Could not resolve the foundation model."));
        }
        match answer(&call) {
            Err(message) => Ok(error(400, "ValidationException", message)),
            Ok(Answered::Whole { response, usage }) => {
                self.bill.used(&call, usage);
                Ok(response)
            }
            Ok(Answered::Stream { head, frames, usage }) => {
                self.bill.used(&call, usage);
                let (head, ()) = head.into_parts();
                Ok(Response::from_parts(head, stream::body(self, frames, fault)))
            }
        }
    }

    /// The call, if it is signed by a session that is good; else Bedrock's refusal.
    fn authenticate(&self, head: &Parts, body: &Bytes) -> Result<Call, Box<Response<Body>>> {
        let authorization =
            head.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or("");
        let scope_region = authorization.split('/').nth(2).unwrap_or("");
        let region = self.regions.iter().find(|region| *region == scope_region).unwrap_or(&self.regions[0]);
        let expect = Expect { service: "bedrock", region, now: self.now() };
        let signer = signature::verify_request(head, body, &expect, |key| self.store.credential(key))
            .map_err(|fault| {
                let refusal = match &fault {
                    SignatureFault::UnknownKey(_) | SignatureFault::TokenMismatch => error(
                        403,
                        "UnrecognizedClientException",
                        "The security token included in the request is invalid.",
                    ),
                    SignatureFault::MissingAuthorization => {
                        error(403, "MissingAuthenticationTokenException", "Missing Authentication Token")
                    }
                    SignatureFault::Skewed { .. } => {
                        error(403, "InvalidSignatureException", "Signature expired")
                    }
                    _ => error(
                        403,
                        "InvalidSignatureException",
                        "The request signature we calculated does not match.",
                    ),
                };
                lock(&self.refusals).push(fault);
                Box::new(refusal)
            })?;
        for stray in &signer.strays {
            lock(&self.violations).push(format!("the header {stray}"));
        }
        if self.store.is_gateway(&signer.access_key_id) {
            lock(&self.violations).push("a call signed as the gateway itself".to_owned());
            return Err(Box::new(error(
                403,
                "AccessDeniedException",
                "The gateway's role has no access to Bedrock.",
            )));
        }
        let session = self.store.session(&signer.access_key_id);
        let Some(session) = session.filter(|session| !session.revoked && !session.expired(self.now())) else {
            return Err(Box::new(error(
                403,
                "ExpiredTokenException",
                "The security token included in the request is expired",
            )));
        };
        let target = head.uri.path_and_query().map_or_else(String::new, ToString::to_string);
        let segments: Vec<&str> = head.uri.path().split('/').collect();
        let &["", "model", model, operation] = segments.as_slice() else {
            return Err(Box::new(error(404, "UnknownOperationException", "no such operation")));
        };
        Ok(Call {
            principal: session.principal,
            tags: session.tags,
            model: percent_encoding::percent_decode_str(model).decode_utf8_lossy().into_owned(),
            operation: operation.to_owned(),
            region: signer.region,
            access_key_id: signer.access_key_id,
            target,
            headers: head.headers.clone(),
            body: body.clone(),
            at: clock::now(),
        })
    }

    fn now(&self) -> SystemTime {
        let offset = self.offset.load(Ordering::Relaxed);
        let by = Duration::from_secs(offset.unsigned_abs());
        if offset < 0 { clock::now() - by } else { clock::now() + by }
    }
}

/// Counts a client that leaves while it waits for the head.
struct Waiting<'a>(&'a State);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.hangups.fetch_add(1, Ordering::SeqCst);
        self.0.changed.notify_waiters();
    }
}

/// An error as Bedrock writes it.
fn error(status: u16, kind: &str, message: &str) -> Response<Body> {
    let mut response = Response::new(server::full(serde_json::json!({ "message": message }).to_string()));
    *response.status_mut() = StatusCode::from_u16(status).expect("a legal status");
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let kind = format!("{kind}:http://internal.amazon.com/coral/com.amazon.bedrock/");
    headers.insert("x-amzn-errortype", HeaderValue::from_str(&kind).expect("ASCII"));
    response
}

fn http_date(at: SystemTime) -> HeaderValue {
    let format = time::macros::format_description!(
        "[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT"
    );
    let text = time::OffsetDateTime::from(at).format(&format).expect("a date of our days");
    HeaderValue::from_str(&text).expect("ASCII")
}
