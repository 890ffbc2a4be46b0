//! The table against the folder `tests/cases/answers`: every failure, in every dialect.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use self::case::{Case, cases};
use self::rows::{MARKER, case_of, every};
use super::*;
use crate::route::Dialect;

#[path = "../../tests/cases/answers/case.rs"]
mod case;
mod no_socket;
mod rows;

/// The words of the case, with the value that it leaves open.
fn words(case: &Case, message: &str) -> String {
    let Some((before, after)) = case.words.split_once("{}") else { return case.words.clone() };
    let value = message.strip_prefix(before).and_then(|rest| rest.strip_suffix(after)).unwrap_or_default();
    assert!(!value.is_empty(), "{message}");
    case.words.replace("{}", value)
}

#[test]
fn every_failure_has_the_answer_of_its_case_in_every_dialect() {
    let cases = cases();
    let mut compared = BTreeSet::new();
    for (name, failure) in every() {
        assert_eq!(case_of(&failure), name, "{failure:?} is in the row of another");
        let case = cases.get(name).unwrap_or_else(|| panic!("{name} is not in tests/cases/answers"));
        let answer = failure.answer();
        let message = words(case, &answer.message);
        assert_eq!(
            (answer.status.as_u16(), answer.reason.as_str(), &*answer.message, answer.kind),
            (case.status, &*case.reason, &*message, &*case.aws),
            "{name}"
        );
        let seconds = case.headers.get("retry-after").map(|seconds| seconds.parse().unwrap());
        let is_final = case.headers.get("x-should-retry").is_some_and(|value| value == "false");
        assert_eq!((answer.retry_after, answer.is_final), (seconds, is_final), "{name}");
        for dialect in [Dialect::Aws, Dialect::OpenAi, Dialect::Anthropic] {
            let body: Value = serde_json::from_str(&dialect::body(&answer, dialect, "request-1")).unwrap();
            let message = format!("{message} Request id: request-1");
            assert_eq!(body, expected(case, &message, dialect), "{name} for {dialect:?}");
        }
        compared.insert(name);
    }
    let listed: BTreeSet<&str> = cases.keys().map(String::as_str).collect();
    assert_eq!(compared, listed, "a case is of no failure");
}

/// The body, member by member, that clients of `dialect` read.
fn expected(case: &Case, message: &str, dialect: Dialect) -> Value {
    match dialect {
        Dialect::Aws => json!({ "message": message }),
        Dialect::OpenAi => json!({
            "error": { "message": message, "type": case.openai, "param": null, "code": case.aws },
        }),
        Dialect::Anthropic => json!({
            "type": "error",
            "error": { "type": case.anthropic, "message": message },
            "request_id": "request-1",
        }),
    }
}

#[test]
fn no_answer_contains_what_is_only_for_the_operator() {
    for (name, failure) in every() {
        let answer = failure.answer();
        assert!(!format!("{answer:?}").contains(MARKER), "{name}: {answer:?}");
        for dialect in [Dialect::Aws, Dialect::OpenAi, Dialect::Anthropic] {
            let body = dialect::body(&answer, dialect, "request-1");
            assert!(!body.contains(MARKER), "{name}: {body}");
        }
        // The access log has the issuer and subject of an expired token in a field of their own only.
        let has_own_field = matches!(&failure, Failure::Auth(AuthError::Expired { .. }));
        let is_internal = format!("{failure:?}").contains(MARKER) && !has_own_field;
        assert_eq!(failure.detail().contains(MARKER), is_internal, "{name}: {}", failure.detail());
    }
}

/// Every reason is one of a failure's, except those of requests that have another answer or none.
#[test]
fn every_reason_is_in_the_table_or_not_of_a_failure() {
    let without_failure =
        [Reason::Ok, Reason::UpstreamError, Reason::UpstreamAborted, Reason::ClientLeft, Reason::NotHttp];
    let given = every().into_iter().map(|(_, failure)| failure.answer().reason);
    let given: BTreeSet<Reason> = given.chain(without_failure).collect();
    assert_eq!(given, Reason::ALL.iter().copied().collect());
}
