//! `POST /sessions/revoke`: revokes a caller's access at this replica.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use serde::Deserialize;
use serde_json::json;
use tracing::info;

use crate::clock;
use crate::operator::answer::{Page, json_answer};
use crate::revoke::{Entry, RevokeOutcome, Selector, SelectorInput};
use crate::state::Gateway;
use crate::verdict::RefusedRequests;

/// Bytes of a body that are read at most. An expression has 4 KiB at most.
const LARGEST: usize = 64 * 1024;
/// The timeout for reading the body.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The body of the request.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Revocation {
    issuer: Option<String>,
    subject: Option<String>,
    principal: Option<String>,
    expression: Option<String>,
    /// RFC 3339.
    until: Option<String>,
    #[serde(default)]
    cut_streams: bool,
}

pub(super) async fn answer(gateway: Arc<Gateway>, request: Request<Incoming>) -> Response<Page> {
    // A web page can make a browser post a form to this port, but not JSON: browsers ask the server before that
    // (CORS preflight).
    let kind = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let kind = kind.and_then(|kind| kind.split(';').next()).map(str::trim);
    let is_json = kind.is_some_and(|kind| kind.eq_ignore_ascii_case("application/json"));
    if !is_json {
        return refused(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "send the body as Content-Type: application/json",
        );
    }
    let entry = match read(request.into_body()).await.and_then(|body| entry(&body, &gateway)) {
        Ok(entry) => entry,
        Err(fault) => return refused(StatusCode::BAD_REQUEST, &fault),
    };
    let (selector, until) = (entry.selector.to_string(), entry.until.map(clock::rfc3339));
    let cut_streams = entry.cut_streams;
    let outcome = match gateway.revocations.tell(entry) {
        Ok(outcome) => outcome,
        Err(full) => return refused(StatusCode::INSUFFICIENT_STORAGE, &full.to_string()),
    };
    match outcome {
        RevokeOutcome::Revoked => {
            info!(selector, until, cut_streams, outcome = "revoked", "revoked on the admin port");
        }
        RevokeOutcome::Removed => {
            info!(selector, until, outcome = "removed", "revocation removed on the admin port");
            return json_answer(StatusCode::OK, &json!({ "revoked": false, "removed": true }));
        }
        RevokeOutcome::NothingToRemove => {
            info!(
                selector,
                until,
                outcome = "nothing_to_remove",
                "no revocation to remove on the admin port"
            );
            let message =
                "`until` is in the past and there is no such revocation to remove; nothing was revoked";
            return refused(StatusCode::CONFLICT, message);
        }
    }
    // The revocation is in force from here on, also if dropping the sessions fails.
    let dropped = tokio::task::spawn_blocking(move || gateway.drop_revoked()).await.unwrap_or_default();
    json_answer(StatusCode::OK, &json!({ "revoked": true, "sessions_dropped": dropped }))
}

async fn read(body: Incoming) -> Result<Bytes, String> {
    #[expect(clippy::disallowed_methods, reason = "its length and its time are limited")]
    let read = tokio::time::timeout(TIMEOUT, Limited::new(body, LARGEST).collect()).await;
    match read {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) => Err(format!("the body cannot be read: {error}")),
        Err(_elapsed) => Err("the body did not arrive within 10 s".to_owned()),
    }
}

fn entry(body: &[u8], gateway: &Gateway) -> Result<Entry, String> {
    let revocation: Revocation =
        serde_json::from_slice(body).map_err(|error| format!("the body is not a revocation: {error}"))?;
    let selector = Selector::of(SelectorInput {
        issuer: revocation.issuer.as_deref(),
        subject: revocation.subject.as_deref(),
        principal: revocation.principal.as_deref(),
        expression: revocation.expression.as_deref(),
    });
    let selector = selector.map_err(|error| format!("{error}; {}", error.help()))?;
    if let Selector::Subject { issuer, .. } = &selector
        && !gateway.config.load().mapping.issuers.iter().any(|known| *known.issuer == *issuer)
    {
        return Err(format!("no issuer is named \"{issuer}\"; send the `name` of an [[issuer]] table"));
    }
    let moment = |text: &str| {
        clock::parse_rfc3339(text).ok_or("`until` is not a time; write it like 2026-12-01T18:00:00Z")
    };
    let until = revocation.until.as_deref().map(moment).transpose()?;
    Ok(Entry {
        selector,
        until,
        cut_streams: revocation.cut_streams,
        origin: "the admin port".into(),
        line: None,
        since: clock::now(),
        refused: RefusedRequests::default(),
    })
}

fn refused(status: StatusCode, message: &str) -> Response<Page> {
    json_answer(status, &json!({ "message": message }))
}
