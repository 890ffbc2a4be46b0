//! One request's record: filled in as the request goes its way, written once at its end, however it
//! ends. Nothing here can fail or hold a byte back.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::{HeaderMap, StatusCode, header};
use tokio::time::Instant;

use crate::auth::Verified;
use crate::clock;
use crate::identity::Identity;
use crate::route::{Call, Deciding, ModelId};
use crate::sessions::Session;
use crate::telemetry::access::{AccessLog, AccessRecord, Ended, Unverified};
use crate::telemetry::metrics::Metrics;

pub mod relay;
pub mod tap;

/// Where records go, and whether the process is cutting off what is still open.
#[derive(Debug)]
pub struct Books {
    pub log: Arc<AccessLog>,
    pub metrics: Arc<Metrics>,
    pub cutting: AtomicBool,
}

/// The record of one request; writes itself on drop.
#[derive(Debug)]
pub struct Meter {
    books: Arc<Books>,
    started: Instant,
    record: AccessRecord,
    operation: &'static str,
    reason: &'static str,
    first_byte: Option<Duration>,
    stream: bool,
}

/// The status in the log of a request whose client left before there was an answer; no such answer is
/// ever sent.
const CLIENT_LEFT: u16 = 499;

impl Meter {
    /// Begins the record of a request with the gateway's own id for it.
    pub fn start(
        books: Arc<Books>,
        request_id: String,
        client: SocketAddr,
        headers: &HeaderMap,
        protocol: &'static str,
    ) -> Self {
        let user_agent = headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok()).map(clipped);
        let record = AccessRecord {
            client: Some(client.ip()),
            user_agent,
            protocol,
            status: CLIENT_LEFT,
            ended: Ended::Client,
            ..AccessRecord::begin(clock::now(), request_id)
        };
        Self {
            books,
            started: Instant::now(),
            record,
            operation: "none",
            reason: "client_left",
            first_byte: None,
            stream: false,
        }
    }

    /// The gateway's id of the request.
    pub fn request_id(&self) -> &str {
        &self.record.request_id
    }

    pub fn routed(&mut self, call: &Call) {
        self.operation = call.operation().as_str();
        self.record.operation = Some(self.operation);
        if let Deciding::Path(model) = call.deciding() {
            self.record.model = Some(model.as_str().to_owned());
        }
        self.record.region = call.region().map(str::to_owned);
    }

    pub fn verified(&mut self, caller: &Verified) {
        self.record.issuer = Some(caller.issuer().to_owned());
        self.record.subject = caller.subject().map(clipped);
        self.record.jti = caller.jti().map(clipped);
    }

    /// What a refused token said of itself.
    pub fn unverified(&mut self, issuer: Option<&str>, subject: Option<&str>) {
        self.record.unverified =
            Some(Unverified { issuer: issuer.map(clipped), subject: subject.map(clipped) });
    }

    pub fn identified(&mut self, identity: &Identity) {
        for target in identity.replaced() {
            self.books.metrics.value_replaced(target);
        }
        self.record.role_rule = Some(identity.rule());
        self.record.principal = Some(identity.principal().to_string());
        self.record.tags = identity
            .session()
            .tags()
            .iter()
            .map(|(key, value)| (key.as_str().to_owned(), value.as_str().to_owned()))
            .collect();
    }

    /// The request has been read and may be sent.
    pub fn received(&mut self, region: &str, model: Option<&ModelId>, body: usize) {
        self.record.region = Some(region.to_owned());
        self.record.model = model.map(|model| model.as_str().to_owned());
        self.record.request_bytes = body as u64;
    }

    pub fn session(&mut self, session: &Session) {
        self.record.access_key_id = Some(session.access_key_id().to_owned());
        if self.record.session.is_none() {
            self.record.session = Some(session.lookup().as_str());
        }
    }

    pub fn attempted(&mut self) {
        self.record.upstream_attempts += 1;
    }

    /// The request ends in an answer of the gateway's own.
    pub fn refused(&mut self, status: StatusCode, kind: &'static str, reason: &'static str, detail: String) {
        self.record.status = status.as_u16();
        self.record.error_type = Some(kind.to_owned());
        self.record.detail = Some(detail);
        self.reason = reason;
    }

    /// The request is answered without a failure: by the gateway itself, or by Bedrock with `status`.
    pub fn answered(&mut self, status: StatusCode, headers: &HeaderMap, stream: bool) {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        self.record.status = status.as_u16();
        self.record.aws_request_id = text("x-amzn-requestid").map(str::to_owned);
        self.reason =
            if status.is_client_error() || status.is_server_error() { "upstream_error" } else { "ok" };
        if self.reason != "ok" {
            self.record.error_type =
                text("x-amzn-errortype").and_then(|kind| kind.split(':').next()).map(clipped);
        }
        if stream {
            self.stream = true;
            self.books.metrics.stream_opened();
        }
    }

    /// `bytes` of the answer's body are passed on.
    fn passed(&mut self, bytes: usize) {
        if self.first_byte.is_none() {
            self.first_byte = Some(self.started.elapsed());
        }
        self.record.response_bytes += bytes as u64;
    }

    /// The answer has been passed on to its end.
    fn complete(&mut self) {
        self.record.ended = Ended::Complete;
    }

    /// Bedrock broke the answer off.
    fn broken(&mut self, detail: String) {
        self.record.ended = Ended::Upstream;
        self.record.detail = Some(detail);
        self.reason = "upstream_broke_off";
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        let took = self.started.elapsed();
        if self.record.ended == Ended::Client && self.books.cutting.load(Ordering::Relaxed) {
            self.record.ended = Ended::Drain;
        }
        if self.stream {
            self.books.metrics.stream_closed();
        }
        self.record.reason = Some(self.reason);
        self.record.duration_ms = millis(took);
        self.record.first_byte_ms = self.first_byte.map(millis);
        self.books.metrics.request_finished(
            self.operation,
            self.record.status,
            self.reason,
            took,
            self.first_byte,
        );
        self.books.log.write(&self.record);
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Text of a stranger's, cut to what a log line can bear.
fn clipped(text: &str) -> String {
    const MOST: usize = 256;
    text.chars().take(MOST).collect()
}
