//! One request, start to finish, one line a stage.
//!
//! The order is the design: nothing reaches STS before the call is authorized and its body read,
//! nothing reaches Bedrock but a [`Signed`](crate::sign::Signed) request, and a request that Bedrock
//! may have read is never written again, save once after Bedrock itself refused its signature.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, Version, header};
use hyper::body::Incoming;
use tracing::{info, warn};
use uuid::Uuid;

use crate::auth::{AuthError, Authenticator, Caller};
use crate::authorize::body::{Bodies, discard};
use crate::authorize::{Authorized, Permit, authorize};
use crate::error::{Failure, dialect};
use crate::identity::{Mapping, Outcomes};
use crate::limits::{Limits, Place};
use crate::meter::relay::Relay;
use crate::meter::{Books, Meter};
use crate::route::{self, Dialect, Family, Route};
use crate::server::{Peer, Service};
use crate::sessions::Sessions;
use crate::sign::sign;
use crate::upstream::endpoint::Endpoint;
use crate::upstream::refusal::{self, Refusal};
use crate::upstream::skew::Skew;
use crate::upstream::{Upstream, headers};

/// What requests need, built once.
#[derive(Debug)]
pub struct Gateway {
    /// Replaced whole when the configuration is loaded again. A request goes by those that were there when
    /// it came, to its end.
    pub rules: ArcSwap<Rules>,
    pub limits: Limits,
    pub sessions: Arc<Sessions>,
    pub upstream: Upstream,
    pub skew: Skew,
    pub books: Arc<Books>,
}

/// What one configuration says of requests.
#[derive(Debug)]
pub struct Rules {
    pub auth: Authenticator<Outcomes>,
    pub mapping: Mapping,
    pub bodies: Bodies,
    /// The region of a path that names none.
    pub home: Arc<str>,
    /// Those that a path may name.
    pub regions: Vec<Arc<str>>,
    pub endpoints: EndpointsByPlace,
}

/// By region and family; one that is missing is not to be had.
pub type EndpointsByPlace = BTreeMap<(Arc<str>, Family), Arc<Endpoint>>;

impl Service for Gateway {
    type Body = Relay;

    async fn call(self: Arc<Self>, request: Request<Incoming>, peer: Peer) -> Response<Relay> {
        let id = Uuid::new_v4().hyphenated().encode_lower(&mut Uuid::encode_buffer()).to_owned();
        let protocol = protocol(request.version(), peer.tls);
        let mut meter = Meter::start(Arc::clone(&self.books), id, peer.address, request.headers(), protocol);
        let rules = self.rules.load_full();
        let dialect = Dialect::of(request.uri(), &rules.regions);
        match self.answer(&rules, request, &mut meter).await {
            Ok(Some(reply)) => reply.relayed(meter),
            Ok(None) => probed(meter),
            Err(failure) => refused(&failure, dialect, meter),
        }
    }

    fn unreadable(&self) {
        self.books.metrics.request_finished("none", 400, "not_http", Duration::ZERO, None);
    }
}

impl Gateway {
    /// The way of a request. `None` answers a client that only asks whether something is here.
    async fn answer(
        &self,
        rules: &Rules,
        request: Request<Incoming>,
        meter: &mut Meter,
    ) -> Result<Option<Reply>, Failure> {
        let (head, mut body) = request.into_parts();
        match self.limits.enter() {
            Ok(seat) => meter.seated(seat),
            Err(busy) => {
                discard(body);
                return Err(busy.into());
            }
        }
        let Admission { caller, permit, headers, place } = match self.permit(rules, &head, meter).await {
            Ok(Some(admission)) => admission,
            Ok(None) => return Ok(None),
            Err(failure) => {
                discard(body);
                return Err(failure);
            }
        };
        let call = match permit.read_body(headers, &mut body, &rules.bodies).await {
            Ok(call) => call,
            Err(error) => {
                discard(body);
                return Err(error.into());
            }
        };
        // A body takes minutes; whoever was cut off meanwhile is not served any more.
        self.books.revocations.check(&caller.verified, call.identity())?;
        meter.received(call.region(), call.model(), call.body().len());
        let answer = self.exchange(rules, &caller, &call, meter).await?;
        // Its body is not needed while the answer is on its way.
        drop(call);
        Ok(Some(Reply { answer, place }))
    }

    /// What the head of the request decides.
    async fn permit(
        &self,
        rules: &Rules,
        head: &Parts,
        meter: &mut Meter,
    ) -> Result<Option<Admission>, Failure> {
        route::check_head(head.version, &head.uri, &head.headers)?;
        let call = match route::parse(&head.method, &head.uri, &rules.regions)? {
            Route::Probe => return Ok(None),
            Route::Call(call) => call,
        };
        meter.routed(&call);
        let caller =
            rules.auth.verify(&head.headers).await.inspect_err(|error| note_unverified(error, meter))?;
        meter.verified(&caller);
        let identity = rules.mapping.resolve(&caller.verified, &caller.memo, &head.headers)?;
        meter.identified(&identity);
        self.books.revocations.check(&caller.verified, &identity)?;
        let place = self.limits.enter_as(identity.principal())?;
        let permit = authorize(identity, call, &rules.home, &head.headers)?;
        let headers = headers::to_bedrock(&head.headers)?;
        Ok(Some(Admission { caller, permit, headers, place }))
    }

    /// Session, signature, Bedrock: at most twice, and the second time only because Bedrock refused the
    /// first for its signature and so has done nothing for it.
    async fn exchange(
        &self,
        rules: &Rules,
        caller: &Caller<Outcomes>,
        call: &Authorized,
        meter: &mut Meter,
    ) -> Result<refusal::Answer, Failure> {
        let place = (Arc::clone(call.region()), call.call().family());
        let endpoint = rules.endpoints.get(&place).ok_or(Failure::NoEndpoint)?;
        let mut session = self.sessions.get(call).await?;
        let mut again = true;
        loop {
            // STS takes its time, too; whoever was cut off meanwhile leaves no session behind.
            if let Err(revoked) = self.books.revocations.check(&caller.verified, call.identity()) {
                self.sessions.forget(|principal| *principal == **call.identity().principal());
                return Err(revoked.into());
            }
            meter.session(&session);
            let signed = sign(call, &session, endpoint, self.skew.now())?;
            let signed_at = signed.at();
            meter.attempted();
            let response = self.upstream.send(signed).await?;
            let (answer, refusal) = refusal::examine(response, signed_at).await;
            let mended = match refusal {
                Some(Refusal::Credentials) if again => match self.sessions.replace(&session).await {
                    Some(fresh) => {
                        session = fresh;
                        true
                    }
                    None => false,
                },
                Some(Refusal::Clock(date)) if again && endpoint.is_https() => self.learn_clock(date),
                Some(_) | None => false,
            };
            if !mended {
                return Ok(answer);
            }
            again = false;
        }
    }

    /// Drops the cached sessions of everybody who is cut off, and returns how many. It looks at all callers
    /// who are remembered, which takes its time: not for a thread that serves.
    pub fn drop_revoked(&self) -> usize {
        let revocations = &self.books.revocations;
        let mut principals: HashSet<Arc<str>> = revocations.principals().into_iter().collect();
        for caller in self.rules.load_full().auth.callers() {
            for identity in caller.memo.identities() {
                if revocations.check(&caller.verified, &identity).is_err() {
                    principals.insert(Arc::clone(identity.principal()));
                }
            }
        }
        if principals.is_empty() {
            0
        } else {
            self.sessions.forget(|principal| principals.contains(principal))
        }
    }

    fn learn_clock(&self, date: std::time::SystemTime) -> bool {
        let Some(seconds) = self.skew.learn(date) else {
            warn!(
                "AWS refuses signatures for their time, and its clock is over a day off ours: set this machine's clock"
            );
            return false;
        };
        info!(
            seconds,
            "AWS refuses signatures for their time: signing with its clock from now on; check this machine's clock"
        );
        self.books.metrics.clock_skew(seconds);
        true
    }
}

/// What the head of a request was found to be good for.
struct Admission {
    caller: Arc<Caller<Outcomes>>,
    permit: Permit,
    headers: HeaderMap,
    place: Place,
}

/// Bedrock's answer and the place its request holds.
struct Reply {
    answer: refusal::Answer,
    place: Place,
}

impl Reply {
    fn relayed(self, mut meter: Meter) -> Response<Relay> {
        let Self { answer, place } = self;
        let mut headers = headers::to_caller(answer.headers);
        let is = |kind: &str| {
            headers
                .get(header::CONTENT_TYPE)
                .is_some_and(|value| value.as_bytes().starts_with(kind.as_bytes()))
        };
        let event_stream = is("application/vnd.amazon.eventstream");
        let stream = event_stream || is("text/event-stream");
        // With an announced length there is no room for a frame of ours.
        let tapped = event_stream && !headers.contains_key(header::CONTENT_LENGTH);
        meter.answered(answer.status, &headers, stream);
        mark(&mut headers, meter.request_id());
        let mut response = Response::new(Relay::upstream(answer.body, tapped, meter, place));
        *response.status_mut() = answer.status;
        *response.headers_mut() = headers;
        response
    }
}

fn probed(mut meter: Meter) -> Response<Relay> {
    let mut headers = HeaderMap::new();
    mark(&mut headers, meter.request_id());
    meter.answered(http::StatusCode::OK, &headers, false);
    let mut response = Response::new(Relay::whole(Bytes::new(), meter));
    *response.headers_mut() = headers;
    response
}

fn refused(failure: &Failure, dialect: Dialect, mut meter: Meter) -> Response<Relay> {
    let answer = failure.answer();
    meter.refused(answer.status, answer.kind, answer.reason, failure.detail());
    let body = Bytes::from(dialect::body(&answer, dialect, meter.request_id()));
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert("x-amzn-errortype", HeaderValue::from_static(answer.kind));
    if answer.status == http::StatusCode::UNAUTHORIZED {
        let challenge = HeaderValue::from_static("Bearer error=\"invalid_token\"");
        headers.insert(header::WWW_AUTHENTICATE, challenge);
    }
    if let Some(seconds) = answer.retry_after {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    if answer.is_final {
        headers.insert("x-should-retry", HeaderValue::from_static("false"));
    }
    if let Some(name) = dialect::request_id_header(dialect)
        && let Ok(id) = HeaderValue::from_str(meter.request_id())
    {
        headers.insert(name, id);
    }
    mark(&mut headers, meter.request_id());
    let mut response = Response::new(Relay::whole(body, meter));
    *response.status_mut() = answer.status;
    *response.headers_mut() = headers;
    response
}

static GATEWAY_REQUEST_ID: HeaderName = HeaderName::from_static("x-gateway-request-id");

/// Puts both request ids on an answer: Bedrock's where it gave one, else ours twice.
fn mark(headers: &mut HeaderMap, request_id: &str) {
    if let Ok(id) = HeaderValue::from_str(request_id) {
        if !headers.contains_key(&headers::REQUEST_ID) {
            headers.insert(&headers::REQUEST_ID, id.clone());
        }
        headers.insert(&GATEWAY_REQUEST_ID, id);
    }
}

fn note_unverified(error: &AuthError, meter: &mut Meter) {
    if let Some(unverified) = error.unverified() {
        meter.unverified(unverified);
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
