//! The answers to requests: those of Bedrock, which are passed on, and the gateway's own.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};

use crate::error::{Failure, dialect};
use crate::headers;
use crate::limits::requests::PrincipalSlot;
use crate::record::Record;
use crate::relay::Relay;
use crate::route::Dialect;
use crate::upstream::retry::UpstreamResponse;

/// The answer to a request that the gateway does not refuse.
#[expect(clippy::large_enum_variant, reason = "nearly every reply is the large one")]
pub(super) enum Reply {
    /// The empty answer to a client that only asks whether a server is here.
    Probed,
    /// Bedrock's answer, and the slot that its request holds.
    Answered(UpstreamResponse, PrincipalSlot),
}

impl Reply {
    pub(super) fn into_response(self, record: Record) -> Response<Relay> {
        match self {
            Self::Probed => probed(record),
            Self::Answered(answer, slot) => answered(answer, slot, record),
        }
    }
}

fn answered(answer: UpstreamResponse, slot: PrincipalSlot, mut record: Record) -> Response<Relay> {
    let mut headers = headers::to_caller(answer.headers);
    let is = |kind: &str| {
        headers.get(header::CONTENT_TYPE).is_some_and(|value| value.as_bytes().starts_with(kind.as_bytes()))
    };
    let event_stream = is("application/vnd.amazon.eventstream");
    let stream = event_stream || is("text/event-stream");
    // With an announced length there is no room for a frame of the gateway's own.
    let tapped = event_stream && !headers.contains_key(header::CONTENT_LENGTH);
    record.answered(answer.status, &headers, stream);
    mark(&mut headers, record.request_id());
    let mut response = Response::new(Relay::upstream(answer.body, tapped, record, slot));
    *response.status_mut() = answer.status;
    *response.headers_mut() = headers;
    response
}

fn probed(mut record: Record) -> Response<Relay> {
    let mut headers = HeaderMap::new();
    mark(&mut headers, record.request_id());
    record.answered(StatusCode::OK, &headers, false);
    let mut response = Response::new(Relay::whole(Bytes::new(), record));
    *response.headers_mut() = headers;
    response
}

/// The answer to a request that failed, in the format of the caller's client library.
pub(super) fn refused(failure: &Failure, dialect: Dialect, mut record: Record) -> Response<Relay> {
    let answer = failure.answer();
    record.refused(&answer, failure);
    // Without spare room: a client that does not read makes the gateway hold it.
    let body = dialect::body(&answer, dialect, record.request_id()).into_bytes().into_boxed_slice();
    let body = Bytes::from(body);
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert("x-amzn-errortype", HeaderValue::from_static(answer.kind));
    if answer.status == StatusCode::UNAUTHORIZED {
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
        && let Ok(id) = HeaderValue::from_str(record.request_id())
    {
        headers.insert(name, id);
    }
    mark(&mut headers, record.request_id());
    let mut response = Response::new(Relay::whole(body, record));
    *response.status_mut() = answer.status;
    *response.headers_mut() = headers;
    response
}

static GATEWAY_REQUEST_ID: HeaderName = HeaderName::from_static("x-gateway-request-id");

/// Puts both request ids on an answer: Bedrock's and the gateway's. Without one from Bedrock, both headers have the
/// gateway's.
fn mark(headers: &mut HeaderMap, request_id: &str) {
    if let Ok(id) = HeaderValue::from_str(request_id) {
        if !headers.contains_key(&headers::REQUEST_ID) {
            headers.insert(&headers::REQUEST_ID, id.clone());
        }
        headers.insert(&GATEWAY_REQUEST_ID, id);
    }
}
