//! `GET /sessions`: the cached sessions, without their secrets. The sessions that were used last come first.

use http::{Response, StatusCode};
use serde_json::{Map, Value, json};
use url::form_urlencoded;

use crate::clock;
use crate::operator::answer::{Page, json_answer};
use crate::sessions::{SessionPage, SessionRecord};
use crate::state::Gateway;
use crate::wildcard;

/// The sessions of a page, unless the request sets `limit`.
const PAGE: usize = 1_000;
/// The most sessions of a page.
const MOST: usize = 10_000;

/// The parameters of the request.
struct Query {
    limit: usize,
    /// A text in which `*` matches any run of characters.
    principal: String,
}

pub(super) fn answer(gateway: &Gateway, query: Option<&str>) -> Response<Page> {
    let Query { limit, principal } = match parse(query.unwrap_or_default()) {
        Ok(query) => query,
        Err(fault) => return json_answer(StatusCode::BAD_REQUEST, &json!({ "message": fault })),
    };
    let SessionPage { sessions, matching } =
        gateway.sessions.page(limit, |name| wildcard::matches(&principal, name));
    let mut body =
        json!({ "sessions": sessions.iter().map(shown).collect::<Vec<_>>(), "matching": matching });
    if sessions.len() < matching {
        let note = format!(
            "the {} sessions that were used last; send limit (at most {MOST}) or principal, for example \
             ?principal=*alice*&limit={MOST}",
            sessions.len()
        );
        body["note"] = note.into();
    }
    json_answer(StatusCode::OK, &body)
}

fn parse(query: &str) -> Result<Query, String> {
    let mut parsed = Query { limit: PAGE, principal: "*".to_owned() };
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        match &*name {
            "limit" => {
                let limit = value.parse().ok().filter(|limit| (1..=MOST).contains(limit));
                parsed.limit =
                    limit.ok_or_else(|| format!("limit is \"{value}\"; send a number from 1 to {MOST}"))?;
            }
            "principal" => parsed.principal = value.into_owned(),
            _ => return Err(format!("there is no parameter \"{name}\"; send limit or principal")),
        }
    }
    Ok(parsed)
}

/// A session, with the field names of the access log.
fn shown(record: &SessionRecord) -> Value {
    let tags: Map<String, Value> =
        record.tags.iter().map(|(key, value)| (key.as_str().to_owned(), value.as_str().into())).collect();
    let callers: Vec<_> = record
        .callers
        .iter()
        .map(|caller| json!({ "issuer": caller.issuer, "subject": caller.subject() }))
        .collect();
    json!({
        "principal": record.principal,
        "role_arn": record.role_arn.as_str(),
        "callers": callers,
        "more_callers": record.more_callers,
        "tags": tags,
        "access_key_id": record.access_key_id,
        "granted": clock::rfc3339(record.granted),
        "last_used": clock::rfc3339(record.last_used),
        "expires": clock::rfc3339(record.expires),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parameters_are_bounded_and_known() {
        let of = |query: &str| parse(query).map(|query| (query.limit, query.principal));
        assert_eq!(of(""), Ok((PAGE, "*".to_owned())));
        assert_eq!(of("principal=*/alice%40acme.org&limit=10000"), Ok((MOST, "*/alice@acme.org".to_owned())));
        for wrong in ["limit=0", "limit=10001", "limit=all", "user=alice"] {
            assert!(of(wrong).is_err(), "{wrong}");
        }
    }
}
