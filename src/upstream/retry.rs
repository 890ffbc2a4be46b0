//! The reasons for a retry. If Bedrock refuses the session's credentials or the time of the signature, the gateway may
//! sign and send again. Every other refusal is Bedrock's answer to the caller.

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode, header};
use http_body::{Body, Frame};
use http_body_util::BodyExt as _;

use crate::upstream::pool::PooledBody;

/// The most bytes of a refusal's body that the gateway reads to find the error type.
const TYPE_BYTES: usize = 16 * 1024;
/// The longest time that the gateway waits for those bytes.
const TYPE_TIMEOUT: Duration = Duration::from_secs(5);
/// The smallest difference of clocks that counts as the reason of a refused signature (the AWS SDKs' threshold).
// Assumption A21.
const SKEW: Duration = Duration::from_secs(4 * 60);

/// Why a new signature may succeed after a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryReason {
    /// The session's credentials are expired, unknown or revoked; another session may be accepted.
    Credentials,
    /// The time of the signature was too far from Bedrock's time, which this is.
    Clock(SystemTime),
}

/// The head and the body of an answer.
pub struct UpstreamResponse {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: RewoundBody,
}

/// An answer's body: the pieces that were read already, then the rest.
pub struct RewoundBody {
    read: VecDeque<Bytes>,
    rest: PooledBody,
    /// The error that ended the body after those pieces.
    broken: Option<hyper::Error>,
}

impl fmt::Debug for RewoundBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RewoundBody").field("pieces_read", &self.read.len()).finish_non_exhaustive()
    }
}

impl fmt::Debug for UpstreamResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UpstreamResponse").field("status", &self.status).finish_non_exhaustive()
    }
}

impl RewoundBody {
    /// The longest silence that the gateway accepts within the answer. `None`: the answer has ended.
    pub fn longest_silence(&self) -> Option<Duration> {
        self.rest.longest_silence()
    }
}

impl Body for RewoundBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        if let Some(data) = self.read.pop_front() {
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        if let Some(error) = self.broken.take() {
            return Poll::Ready(Some(Err(error)));
        }
        Pin::new(&mut self.rest).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.read.is_empty() && self.broken.is_none() && self.rest.is_end_stream()
    }
}

/// Finds out whether to retry after `response`, the answer to a request that was signed at `signed_at`. It reads a
/// refusal's body as far as it needs for the error type; the returned body still has every byte.
pub async fn classify(
    response: Response<PooledBody>,
    signed_at: SystemTime,
) -> (UpstreamResponse, Option<RetryReason>) {
    let (head, rest) = response.into_parts();
    let body = RewoundBody { read: VecDeque::new(), rest, broken: None };
    let mut answer = UpstreamResponse { status: head.status, headers: head.headers, body };
    if !matches!(answer.status, StatusCode::BAD_REQUEST | StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
        return (answer, None);
    }
    let kind = match answer.headers.get("x-amzn-errortype").and_then(|value| value.to_str().ok()) {
        Some(kind) => Some(bare(kind).to_owned()),
        None => kind_in_body(&mut answer.body).await,
    };
    let date = answer
        .headers
        .get(header::DATE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| httpdate::parse_http_date(value).ok());
    let reason = kind.and_then(|kind| reason_for(&kind, signed_at, date));
    (answer, reason)
}

fn reason_for(kind: &str, signed_at: SystemTime, date: Option<SystemTime>) -> Option<RetryReason> {
    match kind.strip_suffix("Exception").unwrap_or(kind) {
        // Assumption A20.
        "ExpiredToken" | "InvalidClientTokenId" | "UnrecognizedClient" | "InvalidToken" => {
            Some(RetryReason::Credentials)
        }
        "InvalidSignature"
        | "SignatureDoesNotMatch"
        | "RequestTimeTooSkewed"
        | "RequestExpired"
        | "AuthFailure" => {
            let date = date?;
            let apart = date.duration_since(signed_at).unwrap_or_else(|before| before.duration());
            (apart > SKEW).then_some(RetryReason::Clock(date))
        }
        _ => None,
    }
}

/// An error type without the namespace before `#` and the address after `:`.
fn bare(kind: &str) -> &str {
    let kind = kind.split(':').next().unwrap_or(kind);
    kind.rsplit('#').next().unwrap_or(kind).trim()
}

async fn kind_in_body(body: &mut RewoundBody) -> Option<String> {
    let end = tokio::time::Instant::now() + TYPE_TIMEOUT;
    let mut length = 0;
    loop {
        match tokio::time::timeout_at(end, body.rest.frame()).await {
            Ok(Some(Ok(frame))) => {
                if let Ok(data) = frame.into_data() {
                    length += data.len();
                    body.read.push_back(data);
                }
                if length > TYPE_BYTES {
                    return None;
                }
            }
            Ok(None) => break,
            Ok(Some(Err(error))) => {
                body.broken = Some(error);
                return None;
            }
            Err(_elapsed) => return None,
        }
    }
    let text: Vec<u8> = body.read.iter().flatten().copied().collect();
    kind_in(&serde_json::from_slice(&text).ok()?).map(str::to_owned)
}

/// The error type of a body: in AWS's own form, or within `error` on the OpenAI- and Anthropic-shaped paths.
// Assumption A20.
fn kind_in(body: &serde_json::Value) -> Option<&str> {
    let own = ["__type", "code", "Code"].iter().find_map(|name| body.get(name)?.as_str());
    let nested = || ["code", "type"].iter().find_map(|name| body.get("error")?.get(name)?.as_str());
    own.or_else(nested).map(bare)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_read_without_their_decoration() {
        assert_eq!(bare("ThrottlingException:http://internal.amazon.com/coral/"), "ThrottlingException");
        assert_eq!(bare("com.amazon.coral.service#ExpiredTokenException"), "ExpiredTokenException");
    }

    #[test]
    fn types_are_found_in_bodies_of_every_shape() {
        for (body, kind) in [
            (r#"{"__type":"com.amazon.coral.service#ExpiredTokenException"}"#, Some("ExpiredTokenException")),
            (r#"{"Code":"ExpiredToken"}"#, Some("ExpiredToken")),
            (r#"{"error":{"type":"invalid_request_error","code":"ExpiredToken"}}"#, Some("ExpiredToken")),
            (r#"{"type":"error","error":{"type":"ExpiredTokenException"}}"#, Some("ExpiredTokenException")),
            (r#"{"error":{"code":null,"type":"authentication_error"}}"#, Some("authentication_error")),
            (r#"{"error":"ExpiredToken"}"#, None),
            (r#"{"message":"ExpiredToken"}"#, None),
        ] {
            assert_eq!(kind_in(&serde_json::from_str(body).unwrap()), kind, "{body}");
        }
    }

    #[test]
    fn only_credentials_and_the_clock_are_reasons_to_retry() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        let late = now + Duration::from_secs(600);
        for kind in
            ["ExpiredToken", "ExpiredTokenException", "InvalidClientTokenId", "UnrecognizedClientException"]
        {
            assert_eq!(reason_for(kind, now, None), Some(RetryReason::Credentials), "{kind}");
        }
        assert_eq!(reason_for("InvalidSignatureException", now, Some(late)), Some(RetryReason::Clock(late)));
        assert_eq!(reason_for("InvalidSignatureException", late, Some(now)), Some(RetryReason::Clock(now)));
        assert_eq!(reason_for("InvalidSignatureException", now, Some(now)), None);
        assert_eq!(reason_for("InvalidSignatureException", now, None), None);
        assert_eq!(reason_for("AccessDeniedException", now, Some(late)), None);
        assert_eq!(reason_for("ValidationException", now, Some(late)), None);
    }
}
