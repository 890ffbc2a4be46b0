//! `GET /requests/{id}`: one of the last requests, and the steps of the mapping that led to its end.

use std::sync::Arc;

use http::{Response, StatusCode};
use serde_json::{Value, json};

use crate::clock;
use crate::identity::mapped_value::Requirement;
use crate::identity::role::Role;
use crate::identity::{IssuerMapping, Mapping};
use crate::operator::answer::{Page, json_answer};
use crate::reason::Reason;
use crate::state::{ActiveConfig, Gateway};
use crate::telemetry::access::{MOST_RECENT, SHORTEST_ID};

/// Answers with the request whose id, or Bedrock's id of it, begins with `id`.
pub(super) fn answer(gateway: &Gateway, id: &str) -> Response<Page> {
    let refused = |status, message: String| json_answer(status, &json!({ "message": message }));
    if id.len() < SHORTEST_ID || !id.is_ascii() {
        let message = format!("write the request id, or at least its first {SHORTEST_ID} characters");
        return refused(StatusCode::BAD_REQUEST, message);
    }
    let found = gateway.log.find(id);
    match found.lines.as_slice() {
        [] => {
            let since = found.since.map_or_else(
                || "it has recorded no request yet".to_owned(),
                |since| format!("it has the last {MOST_RECENT} requests at most, since {since}"),
            );
            let message = format!("this replica has no request {id}: {since}");
            refused(StatusCode::NOT_FOUND, message)
        }
        [line] => {
            let request = serde_json::from_str(line).unwrap_or_default();
            json_answer(StatusCode::OK, &story(&request, &gateway.config.load()))
        }
        _ => refused(StatusCode::CONFLICT, format!("several requests begin with {id}: write more of the id")),
    }
}

/// The request, and the steps of the mapping by the configuration that is active now.
fn story(request: &Value, config: &ActiveConfig) -> Value {
    let mapping = &config.mapping;
    let issuer = request["issuer"].as_str();
    let of_issuer = mapping.issuers.iter().find(|mapping| Some(&*mapping.issuer) == issuer);
    let requirements = of_issuer.map(|mapping| requirements(request, mapping)).unwrap_or_default();
    let roles = issuer.map(|issuer| roles(request, issuer, mapping)).unwrap_or_default();
    let since = clock::rfc3339(config.since);
    json!({
        "requirements": requirements,
        "roles": roles,
        "config_generation": mapping.generation,
        "config_since": since,
        "request": request,
    })
}

/// The number in `detail` behind `name`, for example 1 in `require[1] is not met`.
fn failed_at(request: &Value, name: &str) -> Option<usize> {
    let rest = request["detail"].as_str()?.strip_prefix(name)?.strip_prefix('[')?;
    rest.split_once(']')?.0.parse().ok()
}

/// Whether the mapping decided the end of the request.
fn is_of_mapping(request: &Value) -> bool {
    let of_mapping = [
        Reason::RequirementFailed,
        Reason::NoRole,
        Reason::ValueMissing,
        Reason::ValueInvalid,
        Reason::EvaluationFailed,
        Reason::GroupsOverage,
        Reason::SessionNameForbidden,
    ];
    of_mapping.iter().any(|reason| request["reason"] == reason.as_str())
}

/// The outcome of each requirement, with the words of `explain --json`.
fn requirements(request: &Value, mapping: &IssuerMapping) -> Vec<Value> {
    let is_decided = !request["role_rule"].is_null() || is_of_mapping(request);
    if !is_decided {
        return Vec::new();
    }
    let failed = if is_of_mapping(request) { failed_at(request, "require") } else { None };
    let outcome = |index| match failed {
        Some(failed) if index > failed => "not_reached",
        Some(failed) if index == failed && request["reason"] == Reason::RequirementFailed.as_str() => {
            "not_met"
        }
        Some(failed) if index == failed => "failed",
        Some(_) | None => "met",
    };
    let shown = |(index, requirement): (usize, &Requirement)| {
        json!({
            "expression": requirement.expression.source(),
            "message": requirement.message,
            "outcome": outcome(index),
        })
    };
    mapping.require.iter().enumerate().map(shown).collect()
}

/// The role rules up to the one that decided, with the words of `explain --json`.
fn roles(request: &Value, issuer: &str, mapping: &Mapping) -> Vec<Value> {
    let matched = request["role_rule"].as_u64().and_then(|rule| usize::try_from(rule).ok());
    let failed = if is_of_mapping(request) { failed_at(request, "role") } else { None };
    let none = request["reason"] == Reason::NoRole.as_str();
    let Some(last) = matched.or(failed).or_else(|| none.then_some(mapping.roles.len())) else {
        return Vec::new();
    };
    let outcome = |index, role: &Role| match index {
        index if Some(index) == matched => "matches",
        index if Some(index) == failed => "failed",
        _ if !role.is_for(issuer) => "other_issuers",
        _ => "does_not_match",
    };
    let shown = |(index, role): (usize, &Arc<Role>)| {
        let mut shown = json!({
            "role_rule": index,
            "role_arn": role.arn.as_str(),
            "outcome": outcome(index, role),
        });
        if let Some(when) = &role.when {
            shown["when"] = when.source().into();
        }
        shown
    };
    mapping.roles.iter().enumerate().take(last + 1).map(shown).collect()
}
