//! `GET /revocations`: every entry in force, of the deny file and of the admin port.

use http::{Response, StatusCode};
use serde_json::{Value, json};

use crate::clock;
use crate::operator::answer::{Page, json_answer};
use crate::revoke::{Entry, SelectorInput};
use crate::state::Gateway;

pub(super) fn answer(gateway: &Gateway) -> Response<Page> {
    let entries: Vec<Value> = gateway.revocations.in_force().iter().map(|entry| shown(entry)).collect();
    json_answer(StatusCode::OK, &json!({ "revocations": entries }))
}

/// An entry, with the keys of a `[[revoke]]` table.
fn shown(entry: &Entry) -> Value {
    let mut shown = json!({
        "source": if entry.line.is_some() { "deny_file" } else { "admin" },
        "since": clock::rfc3339(entry.since),
        "cut_streams": entry.cut_streams,
        "requests_refused": entry.refused.count(),
    });
    let SelectorInput { issuer, subject, principal, expression } = entry.selector.input();
    let selector =
        [("issuer", issuer), ("subject", subject), ("principal", principal), ("expression", expression)];
    for (key, value) in selector.into_iter().filter_map(|(key, value)| Some((key, value?))) {
        shown[key] = value.into();
    }
    if let Some(line) = entry.line {
        shown["line"] = line.into();
    }
    if let Some(until) = entry.until {
        shown["until"] = clock::rfc3339(until).into();
    }
    shown
}
