//! The record of one request. Each stage of the request adds to it; the record is written once, at the end, however
//! the request ends. Nothing here can fail or delay a byte.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::request::Parts;
use http::{HeaderMap, HeaderValue, StatusCode, Version, header};
use tokio::time::Instant;
use tracing::debug;
use uuid::Uuid;

use crate::auth::{AuthError, Caller, UnverifiedClaims, Verified};
use crate::authorize::{Authorized, Permit};
use crate::clock;
use crate::error::{ErrorResponse, Failure};
use crate::headers::REQUEST_ID;
use crate::identity::{ClaimsRead, Identified, Identity, IdentityMemo};
use crate::limits::requests::RequestSlot;
use crate::reason::Reason;
use crate::record::upstream_message::ErrorBody;
use crate::route::{Call, ModelId, ModelIn, Operation};
use crate::server::Peer;
use crate::sessions::Session;
use crate::state::{ActiveConfig, Gateway};
use crate::telemetry::access::{self, AccessRecord, Ended};

mod upstream_message;

/// The record of one request; writes itself on drop.
#[derive(Debug)]
pub struct Record(Box<Fields>);

/// The facts about the request that are known so far.
#[derive(Debug)]
struct Fields {
    /// Holds the sinks that the record is written to.
    gateway: Arc<Gateway>,
    started: Instant,
    time: SystemTime,
    request_id: String,
    client: SocketAddr,
    protocol: &'static str,
    user_agent: Option<Box<str>>,
    operation: Option<Operation>,
    caller: Option<Arc<Caller<IdentityMemo>>>,
    unverified: Option<UnverifiedClaims>,
    identity: Option<Arc<Identity>>,
    region: Option<Arc<str>>,
    model: Option<ModelId>,
    session: Option<Session>,
    /// How the first session was found.
    lookup: Option<&'static str>,
    attempts: u32,
    status: u16,
    aws_request_id: Option<Box<str>>,
    error_type: Option<Box<str>>,
    reason: Reason,
    detail: Option<String>,
    /// The claims that decided a refusal.
    claims: Option<ClaimsRead>,
    /// The role rule that had matched when the mapping refused the caller. Otherwise the identity has it.
    refused_after: Option<usize>,
    /// Whether the message of an error that Bedrock answers is logged. A reload does not change it for this request.
    upstream_messages: bool,
    /// Set for an error that Bedrock answered, if its message is logged.
    error_body: Option<Box<ErrorBody>>,
    request_bytes: u64,
    response_bytes: u64,
    first_byte: Option<Duration>,
    stream: bool,
    ended: Ended,
    /// Freed after the record is written: when a slot is free again, the record of its last request is in the log.
    /// The gateway's own answers free it before they are sent.
    slot: Option<RequestSlot>,
}

/// The status in the log of a request whose client left before there was an answer. No client ever receives it.
const CLIENT_LEFT: u16 = 499;

impl Record {
    /// Begins the record of a request that `config` is in force for, and gives it the gateway's own id.
    pub fn start(gateway: Arc<Gateway>, config: &ActiveConfig, head: &Parts, peer: Peer) -> Self {
        let request_id = Uuid::new_v4().hyphenated().encode_lower(&mut Uuid::encode_buffer()).to_owned();
        let user_agent = head.headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok());
        Self(Box::new(Fields {
            gateway,
            started: Instant::now(),
            time: clock::now(),
            request_id,
            client: peer.address,
            protocol: protocol(head.version, peer.tls),
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
            reason: Reason::ClientLeft,
            detail: None,
            claims: None,
            refused_after: None,
            upstream_messages: config.upstream_messages,
            error_body: None,
            request_bytes: 0,
            response_bytes: 0,
            first_byte: None,
            stream: false,
            ended: Ended::Client,
            slot: None,
        }))
    }

    /// The gateway's id of the request.
    pub fn request_id(&self) -> &str {
        &self.0.request_id
    }

    /// Keeps the request's slot until the record is written.
    pub fn admitted(&mut self, slot: RequestSlot) {
        self.0.slot = Some(slot);
    }

    /// Frees the request's slot, before the gateway sends an answer of its own.
    pub(crate) fn free_slot(&mut self) {
        self.0.slot = None;
    }

    pub fn routed(&mut self, call: &Call) {
        self.0.operation = Some(call.operation());
        if let ModelIn::Path(model) = call.model_in() {
            self.0.model = Some(model.clone());
        }
        self.0.region = call.region().cloned();
        debug!(
            request_id = self.request_id(),
            client = %self.0.client,
            operation = call.operation().as_str(),
            "request routed"
        );
    }

    pub fn verified(&mut self, caller: &Arc<Caller<IdentityMemo>>) {
        self.0.caller = Some(Arc::clone(caller));
    }

    /// Notes the issuer and the subject that a rejected token claims.
    pub fn unverified(&mut self, error: &AuthError) {
        self.0.unverified = error.unverified().cloned();
    }

    pub fn identified(&mut self, caller: &Identified) {
        for target in caller.identity().replaced() {
            self.0.gateway.metrics.value_replaced(target);
        }
        let identity = caller.identity();
        debug!(
            request_id = self.request_id(),
            role_rule = identity.rule(),
            principal = &**identity.principal(),
            "role rule matched"
        );
        self.0.identity = Some(Arc::clone(identity));
    }

    /// Notes that the head of the request passed its checks.
    pub fn permitted(&mut self, permit: &Permit) {
        self.0.region = Some(Arc::clone(permit.region()));
    }

    /// Notes that the request is read and authorized.
    pub fn received(&mut self, call: &Authorized) {
        self.0.model = call.model().cloned();
        self.0.request_bytes = call.body().len() as u64;
    }

    pub fn session(&mut self, session: &Session) {
        self.0.lookup = self.0.lookup.or_else(|| Some(session.lookup().as_str()));
        debug!(
            request_id = self.request_id(),
            lookup = session.lookup().as_str(),
            access_key_id = session.access_key_id(),
            "session found"
        );
        self.0.session = Some(session.clone());
    }

    pub fn attempted(&mut self) {
        self.0.attempts += 1;
    }

    /// Notes that the gateway refused the request because of `failure`, with this answer of its own.
    pub fn refused(&mut self, answer: &ErrorResponse, failure: &Failure) {
        self.0.status = answer.status.as_u16();
        self.0.error_type = Some(answer.kind.into());
        self.0.detail = Some(failure.detail());
        self.0.claims = failure.claims().cloned();
        self.0.refused_after = failure.role_rule();
        self.0.model = self.0.model.take().or_else(|| failure.model().cloned());
        self.0.reason = answer.reason;
    }

    /// Notes an answer with `status` that is not a refusal: from Bedrock, or the gateway's answer to a client that only
    /// asks whether a server is here.
    pub fn answered(&mut self, status: StatusCode, headers: &HeaderMap, stream: bool) {
        self.0.status = status.as_u16();
        self.0.aws_request_id = text(headers.get(&REQUEST_ID));
        self.0.reason = if status.is_client_error() || status.is_server_error() {
            Reason::UpstreamError
        } else {
            Reason::Ok
        };
        if self.0.reason != Reason::Ok {
            if self.0.upstream_messages {
                self.0.error_body = Some(Box::default());
            }
            self.0.error_type = text(headers.get("x-amzn-errortype"));
            if let Some(kind) = &self.0.error_type
                && let Some((kind, _address)) = kind.split_once(':')
            {
                self.0.error_type = Some(kind.into());
            }
            let throttled = |kind: &str| kind.contains("Throttling");
            if status == StatusCode::TOO_MANY_REQUESTS || self.0.error_type.as_deref().is_some_and(throttled)
            {
                let region = self.0.region.as_deref().unwrap_or_default();
                self.0.gateway.metrics.upstream_throttled(self.0.operation, region);
            }
        }
        if stream {
            self.0.stream = true;
            self.0.gateway.metrics.stream_opened();
        }
    }

    /// Counts `data` of the answer's body, which is passed on.
    pub(crate) fn passed(&mut self, data: &[u8]) {
        if self.0.first_byte.is_none() {
            self.0.first_byte = Some(self.0.started.elapsed());
        }
        self.0.response_bytes += data.len() as u64;
        if let Some(body) = &mut self.0.error_body {
            body.follow(data);
        }
    }

    /// Notes that the whole answer was passed on.
    pub(crate) fn complete(&mut self) {
        self.0.ended = Ended::Complete;
    }

    /// Whether the gateway must abort this answer because its caller was revoked.
    pub(crate) fn is_revoked(&self) -> bool {
        let (Some(caller), Some(identity)) = (&self.0.caller, &self.0.identity) else { return false };
        self.0.gateway.revocations.cuts(caller.verified(), identity)
    }

    /// Notes that the gateway aborts the answer because its caller was revoked.
    pub(crate) fn revoked(&mut self) {
        self.0.ended = Ended::Revoked;
        self.0.reason = Reason::Revoked;
    }

    /// Notes that Bedrock aborted the answer.
    pub(crate) fn broken(&mut self, detail: String) {
        self.0.ended = Ended::Upstream;
        self.0.detail = Some(detail);
        self.0.reason = Reason::UpstreamAborted;
    }
}

impl Fields {
    fn record<'a>(&'a self, took: Duration, upstream_message: Option<&'a str>) -> AccessRecord<'a> {
        let verified = self.caller.as_ref().map(|caller| caller.verified());
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
            role_rule: self.identity.as_ref().map(|identity| identity.rule()).or(self.refused_after),
            principal: self.identity.as_ref().map(|identity| &**identity.principal()),
            tags: tags.map(|(key, value)| (key.as_str(), value.as_str())).collect(),
            access_key_id: self.session.as_ref().map(Session::access_key_id),
            operation: self.operation.map(Operation::as_str),
            model: self.model.as_ref().map(ModelId::as_str),
            region: self.region.as_deref(),
            protocol: self.protocol,
            status: self.status,
            error_type: self.error_type.as_deref(),
            reason: Some(self.reason),
            detail: self.detail.as_deref(),
            claims: self.claims.iter().flat_map(ClaimsRead::iter).collect(),
            upstream_message,
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

impl Drop for Record {
    fn drop(&mut self) {
        let fields = &mut *self.0;
        let took = fields.started.elapsed();
        let gateway = &fields.gateway;
        let metrics = &gateway.metrics;
        if fields.stream {
            metrics.stream_closed();
        }
        if fields.ended == Ended::Client && gateway.unfinished.has_begun() {
            fields.ended = Ended::Drain;
            gateway.unfinished.count(fields.operation.map_or("none", Operation::as_str));
        }
        let outcome = (fields.status, fields.reason);
        metrics.request_finished(fields.operation, outcome, fields.ended, took, fields.first_byte);
        let message = fields.error_body.as_ref().and_then(|body| body.message());
        gateway.log.write(&fields.record(took, message.as_deref()));
    }
}

fn protocol(version: Version, tls: bool) -> &'static str {
    match (version == Version::HTTP_2, tls) {
        (true, true) => "h2",
        (true, false) => "h2c",
        (false, true) => "https/1.1",
        (false, false) => "http/1.1",
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The value of a header from Bedrock, if it is text.
fn text(value: Option<&HeaderValue>) -> Option<Box<str>> {
    value.and_then(|value| value.to_str().ok()).map(|text| clipped(text).into())
}

/// Text that a client chose, truncated to 256 characters for the log.
fn clipped(text: &str) -> &str {
    const MOST: usize = 256;
    if text.len() <= MOST {
        return text;
    }
    text.char_indices().nth(MOST).and_then(|(end, _)| text.get(..end)).unwrap_or(text)
}
