//! `POST /sessions/revoke`: cuts somebody off in this process.

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

/// Largest body, bytes: an expression has 4 KiB at most.
const LARGEST: usize = 64 * 1024;
/// Longest time that it may take to arrive.
const DEADLINE: Duration = Duration::from_secs(10);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Told {
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
    // A web page can have its reader's browser post anywhere, but not JSON without asking first.
    let kind = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let kind = kind.and_then(|kind| kind.split(';').next()).map(str::trim);
    let is_json = kind.is_some_and(|kind| kind.eq_ignore_ascii_case("application/json"));
    if !is_json {
        return refused(StatusCode::UNSUPPORTED_MEDIA_TYPE, "send application/json");
    }
    let entry = match read(request.into_body()).await.and_then(|body| entry(&body, &gateway)) {
        Ok(entry) => entry,
        Err(fault) => return refused(StatusCode::BAD_REQUEST, &fault),
    };
    let (selector, until) = (entry.selector.to_string(), told_until(&entry));
    let cut_streams = entry.cut_streams;
    let told = match gateway.revocations.tell(entry) {
        Ok(told) => told,
        Err(full) => return refused(StatusCode::INSUFFICIENT_STORAGE, &full.to_string()),
    };
    info!(whom = ?selector, until, cut_streams, ?told, "told at the admin port whom to cut off");
    match told {
        RevokeOutcome::Revoked => {}
        RevokeOutcome::Removed => {
            return json_answer(StatusCode::OK, &json!({ "revoked": false, "taken_back": true }));
        }
        RevokeOutcome::NothingToRemove => {
            let message = "until is over, and there was nothing to take back: nobody was cut off";
            return refused(StatusCode::CONFLICT, message);
        }
    }
    // It counts from here on, whatever becomes of the sessions.
    let dropped = tokio::task::spawn_blocking(move || gateway.drop_revoked()).await.unwrap_or_default();
    json_answer(StatusCode::OK, &json!({ "revoked": true, "sessions_dropped": dropped }))
}

fn told_until(entry: &Entry) -> Option<String> {
    entry.until.map(clock::rfc3339)
}

async fn read(body: Incoming) -> Result<Bytes, String> {
    #[expect(clippy::disallowed_methods, reason = "it is limited")]
    let read = tokio::time::timeout(DEADLINE, Limited::new(body, LARGEST).collect()).await;
    match read {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) => Err(format!("the body cannot be read: {error}")),
        Err(_elapsed) => Err("the body did not arrive in time".to_owned()),
    }
}

fn entry(body: &[u8], gateway: &Gateway) -> Result<Entry, String> {
    let told: Told = serde_json::from_slice(body).map_err(|error| format!("this cannot be read: {error}"))?;
    let selector = Selector::of(SelectorInput {
        issuer: told.issuer.as_deref(),
        subject: told.subject.as_deref(),
        principal: told.principal.as_deref(),
        expression: told.expression.as_deref(),
    });
    let selector = selector.map_err(|error| format!("{error}; {}", error.help()))?;
    if let Selector::Subject { issuer, .. } = &selector
        && !gateway.config.load().mapping.issuers.iter().any(|known| *known.issuer == *issuer)
    {
        return Err(format!("no issuer is named \"{issuer}\"; give the name of an [[issuer]]"));
    }
    let moment = |text: &str| {
        clock::parse_rfc3339(text).ok_or("until is no moment; write it like 2026-12-01T18:00:00Z")
    };
    let until = told.until.as_deref().map(moment).transpose()?;
    Ok(Entry { selector, until, cut_streams: told.cut_streams, origin: "the admin port".into() })
}

fn refused(status: StatusCode, message: &str) -> Response<Page> {
    json_answer(status, &json!({ "message": message }))
}
