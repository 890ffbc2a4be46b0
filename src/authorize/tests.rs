//! A call reaches only what its role names, whatever its method, path, headers and body are.

use http::{HeaderName, HeaderValue, Method, Uri};
use http_body_util::Full;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::decision::PROJECTS;
use super::*;
use crate::identity::models::ModelPattern;
use crate::identity::role::Role;
use crate::limits::memory::MemoryLimits;
use crate::route::{self, Route, Service};

const ROWS: &str = include_str!("../../tests/cases/routes/served.txt");

fn rows() -> Vec<(String, String)> {
    let rows = ROWS.lines().filter(|line| !line.starts_with('#'));
    rows.map(|row| {
        let mut words = row.split(' ').map(str::to_owned);
        (words.next().unwrap(), words.next().unwrap())
    })
    .collect()
}

fn regions() -> Vec<Arc<str>> {
    vec!["us-east-1".into(), "us-west-2".into()]
}

fn home() -> Arc<str> {
    "us-east-1".into()
}

fn call(method: &str, target: &str) -> Option<Call> {
    let (method, uri): (Method, Uri) = (method.parse().ok()?, target.parse().ok()?);
    match route::parse(&route::head(&method, uri), &regions()) {
        Ok(Route::Call(call)) => Some(call),
        _ => None,
    }
}

/// An identity whose role is the default one with `change`.
fn role(change: impl FnOnce(&mut Role)) -> Arc<Identity> {
    Arc::new(Identity::for_tests("alice", change))
}

fn headers(named: &[(&str, &str)]) -> HeaderMap {
    let pairs = named
        .iter()
        .map(|(name, value)| (HeaderName::try_from(*name).unwrap(), HeaderValue::from_str(value).unwrap()));
    pairs.collect()
}

async fn decide(
    identity: Arc<Identity>,
    call: Call,
    head: &HeaderMap,
    body: &str,
) -> Result<Authorized, Refused> {
    let permit = authorize(Clearance::for_tests(identity), call, &home(), head)?;
    let bodies = Bodies::new(1 << 20, MemoryLimits::default());
    let body = Unread::new(Full::new(Bytes::from(body.to_owned())));
    let endpoints = Endpoints::for_tests(&["us-east-1", "us-west-2"]);
    permit.read_body(&endpoints, Forwarded::for_tests(head), body, &bodies).await
}

fn now<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(future)
}

#[test]
fn shared_operations_need_a_role_that_names_them() {
    for (method, target) in rows() {
        let call = call(&method, &target).unwrap();
        let shared = call.operation().is_shared();
        let default = authorize(Clearance::for_tests(role(|_| {})), call.clone(), &home(), &HeaderMap::new());
        assert_eq!(
            default.err().map(|refusal| refusal.forbidden),
            shared.then_some(Forbidden::Operation),
            "{method} {target}"
        );
        let operation = call.operation();
        let naming = role(|role| role.operations = Some(vec![operation]));
        assert!(authorize(Clearance::for_tests(naming), call, &home(), &HeaderMap::new()).is_ok());
    }
}

#[test]
fn only_a_role_that_names_responses_stored_continues_a_stored_response() {
    let body = json!({ "model": "m", "previous_response_id": "resp_1" }).to_string();
    for target in ["/openai/v1/responses", "/mantle/v1/responses", "/mantle/openai/v1/responses"] {
        let create = call("POST", target).unwrap();
        let refused = now(decide(role(|_| {}), create.clone(), &HeaderMap::new(), &body));
        assert!(
            matches!(&refused, Err(Refused::Forbidden(RoleRefusal { forbidden: Forbidden::Stored, .. }))),
            "{refused:?}"
        );
        let naming = role(|role| role.operations = Some(Operation::ALL.to_vec()));
        assert!(now(decide(naming, create, &HeaderMap::new(), &body)).is_ok());
    }
}

#[test]
fn only_projects_and_workspaces_of_the_role_are_allowed() {
    let create = || call("POST", "/openai/v1/responses").unwrap();
    let allowing = || role(|role| role.projects = vec!["search".to_owned()]);
    let check = |identity, named: &[(&str, &str)]| {
        authorize(Clearance::for_tests(identity), create(), &home(), &headers(named))
            .err()
            .map(|refusal| refusal.forbidden)
    };
    for header in PROJECTS.each_ref().map(HeaderName::as_str) {
        assert_eq!(check(role(|_| {}), &[(header, "search")]), Some(Forbidden::Project));
        assert_eq!(check(allowing(), &[(header, "search")]), None);
        assert_eq!(check(allowing(), &[(header, "Search")]), Some(Forbidden::Project));
        assert_eq!(check(allowing(), &[(header, "")]), Some(Forbidden::Project));
        assert_eq!(check(allowing(), &[(header, "search"), (header, "search")]), Some(Forbidden::Project));
    }
}

#[test]
fn a_body_that_names_the_model_must_not_be_encoded() {
    let create = call("POST", "/openai/v1/chat/completions").unwrap();
    let encoded = headers(&[("content-encoding", "gzip")]);
    let refused = now(decide(role(|_| {}), create.clone(), &encoded, r#"{"model":"m"}"#));
    assert!(matches!(refused, Err(Refused::Inspect(InspectError::Encoded))), "{refused:?}");
    let plain = headers(&[("content-encoding", "identity")]);
    assert!(now(decide(role(|_| {}), create, &plain, r#"{"model":"m"}"#)).is_ok());
    let in_path = call("POST", "/model/m/invoke").unwrap();
    assert!(now(decide(role(|_| {}), in_path, &encoded, "not JSON, and not inspected")).is_ok());
    let hidden = headers(&[("content-encoding", "identity"), ("content-encoding", "gzip")]);
    let create = call("POST", "/openai/v1/chat/completions").unwrap();
    let refused = now(decide(role(|_| {}), create, &hidden, r#"{"model":"m"}"#));
    assert!(matches!(refused, Err(Refused::Inspect(InspectError::Encoded))), "{refused:?}");
}

#[test]
fn a_body_that_names_the_model_must_have_the_type_json() {
    let decide = |target, types: &[&str]| {
        let types: Vec<_> = types.iter().map(|value| ("content-type", *value)).collect();
        now(decide(role(|_| {}), call("POST", target).unwrap(), &headers(&types), r#"{"model":"m"}"#))
    };
    for types in [
        &[][..],
        &["application/json"],
        &["Application/JSON"],
        &["application/json; charset=utf-8"],
        &["application/json ; Charset=\"UTF-8\""],
        &["application/json;profile=x"],
    ] {
        assert!(decide("/anthropic/v1/messages", types).is_ok(), "{types:?}");
    }
    for types in [
        &["application/json", "application/json"][..],
        &["application/json, text/plain"],
        &["application/x-www-form-urlencoded"],
        &["multipart/form-data; boundary=x"],
        &["application/json; charset=utf-16"],
        &["application/json; charset=utf-8; charset=utf-7"],
        &["application/json-seq"],
        &["text/plain"],
        &[""],
    ] {
        let refused = decide("/anthropic/v1/messages", types);
        assert!(matches!(refused, Err(Refused::Inspect(InspectError::OtherType))), "{types:?}");
        assert!(decide("/model/m/invoke", types).is_ok(), "{types:?}");
    }
}

fn target() -> impl Strategy<Value = (String, String)> {
    let rows = rows();
    let words = "model|mantle|openai|anthropic|v1|responses|messages|chat|completions|async-invoke|us-west-2|cancel\
                 |invoke|converse|foundation-models|inference-profiles|m|amazon.nova|anthropic.claude-x|%2F|resp_1\
                 |arn%3Aaws%3Abedrock%3A%3A%3Afoundation-model%2Famazon.nova|a%2Fb|\\.\\.|%2e%2e";
    let method = prop::sample::select(vec!["POST", "GET", "DELETE", "PUT", "HEAD"]);
    let free = (method, prop::collection::vec(words, 1..6))
        .prop_map(|(method, words)| (method.to_owned(), format!("/{}", words.join("/"))));
    prop_oneof![prop::sample::select(rows), free]
}

fn body() -> impl Strategy<Value = String> {
    let model = prop::sample::select(vec![
        json!("amazon.nova"),
        json!("anthropic.claude-x"),
        json!(["m"]),
        json!(null),
    ]);
    let member = ("model|modelId|messages|conversation|previous_response_id|prompt", model);
    let members = prop::collection::vec(member, 0..4);
    (members, prop::bool::ANY).prop_map(|(members, cut)| {
        let members: Vec<String> =
            members.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
        let body = format!("{{{}}}", members.join(","));
        if cut { body.trim_end_matches('}').to_owned() } else { body }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn no_call_reaches_more_than_the_role_names(
        (method, target) in target(),
        body in body(),
        operations in prop::option::of(prop::sample::subsequence(Operation::ALL.to_vec(), 1..6)),
        only_claude in prop::bool::ANY,
        region in prop::option::of(prop::sample::select(regions())),
        project in prop::option::of(prop::sample::select(vec!["search", "ads"])),
    ) {
        let Some(call) = call(&method, &target) else { return Ok(()) };
        let identity = role(|role| {
            role.operations = operations.clone();
            role.models = only_claude.then(|| vec![ModelPattern::parse("anthropic.*").unwrap()]);
            role.regions = region.as_ref().map(|region| vec![region.to_string()]);
            role.projects = vec!["search".to_owned()];
        });
        let head = project.map(|project| headers(&[("openai-project", project)])).unwrap_or_default();
        let Ok(authorized) = now(decide(identity, call, &head, &body)) else { return Ok(()) };

        let call = authorized.call();
        let named = |operation| operations.as_ref().is_some_and(|named| named.contains(&operation));
        prop_assert!(named(call.operation()) || operations.is_none() && !call.operation().is_shared());
        prop_assert!(region.is_none_or(|region| region == *authorized.region()));
        prop_assert_ne!(project, Some("ads"));
        if let Some(model) = authorized.model() {
            prop_assert!(!only_claude || model.as_str().starts_with("anthropic."));
        }
        if let ModelIn::Body(member) = call.model_in() {
            // Any later reader of the body finds the model that was allowed.
            let parsed: Value = serde_json::from_str(&body).unwrap();
            prop_assert_eq!(parsed[*member].as_str(), authorized.model().map(ModelId::as_str));
            let stored = ["conversation", "previous_response_id", "prompt"].iter().any(|name| !parsed[*name].is_null());
            prop_assert!(!stored || named(Operation::ResponsesStored));
        }
        prop_assert_eq!(&authorized.body().bytes()[..], body.as_bytes());
        prop_assert!(call.service() != Service::Mantle || target.contains("/mantle/"));
    }
}
