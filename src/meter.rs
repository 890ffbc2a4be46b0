//! One request's record: filled in as the request goes its way, written once at its end, however it
//! ends. Nothing here can fail or hold a byte back.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderValue, StatusCode, header};
use tokio::time::Instant;

use crate::auth::{Caller, Unverified, Verified};
use crate::clock;
use crate::identity::{Identity, Outcomes};
use crate::limits::Seat;
use crate::meter::cut::Cut;
use crate::revoke::Revocations;
use crate::route::{Call, Deciding, ModelId};
use crate::sessions::Session;
use crate::telemetry::access::{self, AccessLog, AccessRecord, Ended};
use crate::telemetry::metrics::Metrics;
use crate::upstream::headers::REQUEST_ID;

pub mod cut;
pub mod relay;
pub mod tap;

/// Where records go, and what cuts off answers that are still open.
#[derive(Debug)]
pub struct Books {
    pub log: Arc<AccessLog>,
    pub metrics: Arc<Metrics>,
    pub cut: Cut,
    pub revocations: Revocations,
}

/// The record of one request; writes itself on drop.
#[derive(Debug)]
pub struct Meter(Box<Known>);

/// What is known of the request so far. Of what is kept elsewhere this holds on to it.
#[derive(Debug)]
struct Known {
    books: Arc<Books>,
    started: Instant,
    time: SystemTime,
    request_id: String,
    client: SocketAddr,
    protocol: &'static str,
    user_agent: Option<Box<str>>,
    operation: Option<&'static str>,
    caller: Option<Arc<Caller<Outcomes>>>,
    unverified: Option<Unverified>,
    identity: Option<Arc<Identity>>,
    region: Option<Arc<str>>,
    model: Option<ModelId>,
    session: Option<Session>,
    /// How the first one was had.
    lookup: Option<&'static str>,
    attempts: u32,
    status: u16,
    aws_request_id: Option<Box<str>>,
    error_type: Option<Box<str>>,
    reason: &'static str,
    detail: Option<String>,
    request_bytes: u64,
    response_bytes: u64,
    first_byte: Option<Duration>,
    stream: bool,
    ended: Ended,
    /// Given back when all of this is written, so that whoever has every seat has the record of every answer of
    /// Bedrock's; or before the gateway's own answer is sent.
    seat: Option<Seat>,
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
        let user_agent = headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok());
        Self(Box::new(Known {
            books,
            started: Instant::now(),
            time: clock::now(),
            request_id,
            client,
            protocol,
            user_agent: user_agent.map(|text| clipped(text).into()),
            operation: None,
            caller: None,
            unverified: None,
            identity: None,
            region: None,
            model: None,
            session: None,
            lookup: None,
            attempts: 0,
            status: CLIENT_LEFT,
            aws_request_id: None,
            error_type: None,
            reason: "client_left",
            detail: None,
            request_bytes: 0,
            response_bytes: 0,
            first_byte: None,
            stream: false,
            ended: Ended::Client,
            seat: None,
        }))
    }

    /// The gateway's id of the request.
    pub fn request_id(&self) -> &str {
        &self.0.request_id
    }

    /// The request is among those that are under way.
    pub fn seated(&mut self, seat: Seat) {
        self.0.seat = Some(seat);
    }

    /// Nothing is under way any more but the gateway's own answer.
    fn unseated(&mut self) {
        self.0.seat = None;
    }

    pub fn routed(&mut self, call: &Call) {
        self.0.operation = Some(call.operation().as_str());
        if let Deciding::Path(model) = call.deciding() {
            self.0.model = Some(model.clone());
        }
        self.0.region = call.region().cloned();
    }

    pub fn verified(&mut self, caller: &Arc<Caller<Outcomes>>) {
        self.0.caller = Some(Arc::clone(caller));
    }

    /// What a refused token said of itself.
    pub fn unverified(&mut self, unverified: &Unverified) {
        self.0.unverified = Some(unverified.clone());
    }

    pub fn identified(&mut self, identity: &Arc<Identity>) {
        for target in identity.replaced() {
            self.0.books.metrics.value_replaced(target);
        }
        self.0.identity = Some(Arc::clone(identity));
    }

    /// The request has been read and may be sent.
    pub fn received(&mut self, region: &Arc<str>, model: Option<&ModelId>, body: usize) {
        self.0.region = Some(Arc::clone(region));
        self.0.model = model.cloned();
        self.0.request_bytes = body as u64;
    }

    pub fn session(&mut self, session: &Session) {
        self.0.lookup = self.0.lookup.or_else(|| Some(session.lookup().as_str()));
        self.0.session = Some(session.clone());
    }

    pub fn attempted(&mut self) {
        self.0.attempts += 1;
    }

    /// The request ends in an answer of the gateway's own.
    pub fn refused(&mut self, status: StatusCode, kind: &'static str, reason: &'static str, detail: String) {
        self.0.status = status.as_u16();
        self.0.error_type = Some(kind.into());
        self.0.detail = Some(detail);
        self.0.reason = reason;
    }

    /// The request is answered without a failure: by the gateway itself, or by Bedrock with `status`.
    pub fn answered(&mut self, status: StatusCode, headers: &HeaderMap, stream: bool) {
        self.0.status = status.as_u16();
        self.0.aws_request_id = text(headers.get(&REQUEST_ID));
        self.0.reason =
            if status.is_client_error() || status.is_server_error() { "upstream_error" } else { "ok" };
        if self.0.reason != "ok" {
            self.0.error_type = text(headers.get("x-amzn-errortype"));
            if let Some(kind) = &self.0.error_type
                && let Some((kind, _address)) = kind.split_once(':')
            {
                self.0.error_type = Some(kind.into());
            }
        }
        if stream {
            self.0.stream = true;
            self.0.books.metrics.stream_opened();
        }
    }

    /// `bytes` of the answer's body are passed on.
    fn passed(&mut self, bytes: usize) {
        if self.0.first_byte.is_none() {
            self.0.first_byte = Some(self.0.started.elapsed());
        }
        self.0.response_bytes += bytes as u64;
    }

    /// The answer has been passed on to its end.
    fn complete(&mut self) {
        self.0.ended = Ended::Complete;
    }

    /// Whether an operator wants this answer broken off.
    fn is_revoked(&self) -> bool {
        let (Some(caller), Some(identity)) = (&self.0.caller, &self.0.identity) else { return false };
        self.0.books.revocations.cuts(&caller.verified, identity)
    }

    /// An operator has the answer broken off.
    fn revoked(&mut self) {
        self.0.ended = Ended::Revoked;
        self.0.reason = "revoked";
    }

    /// Bedrock broke the answer off.
    fn broken(&mut self, detail: String) {
        self.0.ended = Ended::Upstream;
        self.0.detail = Some(detail);
        self.0.reason = "upstream_broke_off";
    }
}

impl Known {
    fn record(&self, took: Duration) -> AccessRecord<'_> {
        let verified = self.caller.as_ref().map(|caller| &caller.verified);
        let unverified = self.unverified.as_ref().map(|unverified| access::Unverified {
            issuer: unverified.issuer.as_deref().map(clipped),
            subject: unverified.subject.as_deref().map(clipped),
        });
        let tags = self.identity.iter().flat_map(|identity| identity.session().tags().iter());
        AccessRecord {
            time: self.time,
            request_id: &self.request_id,
            aws_request_id: self.aws_request_id.as_deref(),
            client: Some(self.client.ip()),
            user_agent: self.user_agent.as_deref(),
            issuer: verified.map(Verified::issuer),
            subject: verified.and_then(|verified| verified.subject()).map(clipped),
            jti: verified.and_then(|verified| verified.jti()).map(clipped),
            unverified,
            role_rule: self.identity.as_ref().map(|identity| identity.rule()),
            principal: self.identity.as_ref().map(|identity| &**identity.principal()),
            tags: tags.map(|(key, value)| (key.as_str(), value.as_str())).collect(),
            access_key_id: self.session.as_ref().map(Session::access_key_id),
            operation: self.operation,
            model: self.model.as_ref().map(ModelId::as_str),
            region: self.region.as_deref(),
            protocol: self.protocol,
            status: self.status,
            error_type: self.error_type.as_deref(),
            reason: Some(self.reason),
            detail: self.detail.as_deref(),
            request_bytes: self.request_bytes,
            response_bytes: self.response_bytes,
            first_byte_ms: self.first_byte.map(millis),
            duration_ms: millis(took),
            upstream_attempts: self.attempts,
            session: self.lookup,
            ended: self.ended,
        }
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        let known = &mut *self.0;
        let took = known.started.elapsed();
        let metrics = &known.books.metrics;
        if known.stream {
            metrics.stream_closed();
        }
        let operation = known.operation.unwrap_or("none");
        if known.ended == Ended::Client && known.books.cut.has_begun() {
            known.ended = Ended::Drain;
            known.books.cut.count(operation);
        }
        metrics.request_finished(operation, known.status, known.reason, took, known.first_byte);
        known.books.log.write(&known.record(took));
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// A header of Bedrock's, if it is text.
fn text(value: Option<&HeaderValue>) -> Option<Box<str>> {
    value.and_then(|value| value.to_str().ok()).map(|text| clipped(text).into())
}

/// Text of a stranger's, cut to what a log line can bear.
fn clipped(text: &str) -> &str {
    const MOST: usize = 256;
    if text.len() <= MOST {
        return text;
    }
    text.char_indices().nth(MOST).and_then(|(end, _)| text.get(..end)).unwrap_or(text)
}
