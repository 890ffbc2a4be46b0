//! Refusals that need a setup of their own. Each test checks the status, the case in `tests/cases/answers`, and the
//! reason in the access log.

use std::sync::Arc;

use bedrock_bed::until;
use bedrock_gateway::limits::memory::PRINCIPAL_BYTES;
use bedrock_standin::sts::StsFault;
use http::HeaderValue;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use self::case::{Case, cases};
use crate::world::{Answer, CONVERSE, HELLO, Setup, World, post};

#[path = "../cases/answers/case.rs"]
mod case;

impl Case {
    fn of_reason(reason: &str) -> Vec<Self> {
        cases().into_values().filter(|case| case.reason == reason).collect()
    }

    fn is(&self, answer: &Answer) -> bool {
        let body = answer.json();
        let error = &body["error"];
        let (kind, expected) = match (&body["message"], &error["code"]) {
            (Value::String(_), _) => (json!(answer.kind()), &self.aws),
            (_, Value::String(_)) => (error["type"].clone(), &self.openai),
            _ => (error["type"].clone(), &self.anthropic),
        };
        let message = body["message"].as_str().or_else(|| error["message"].as_str()).unwrap_or_default();
        let id = answer.headers["x-gateway-request-id"].to_str().unwrap();
        let Some(message) = message.strip_suffix(&format!(" Request id: {id}")) else { return false };
        let (before, after) = self.words.split_once("{}").unwrap_or((&self.words, ""));
        self.status == answer.status.as_u16()
            && self.aws == answer.kind()
            && kind == *expected
            && message.starts_with(before)
            && message.ends_with(after)
            && (self.words.contains("{}") || self.words == message)
            && ["retry-after", "www-authenticate", "x-should-retry"].into_iter().all(|name| {
                let sent = answer.headers.get(name).map(HeaderValue::as_bytes);
                sent == self.headers.get(name).map(String::as_bytes)
            })
    }
}

/// Checks that an answer of the gateway equals a case with this reason, headers included.
pub(crate) fn assert_is_a_case(answer: &Answer, reason: &str) {
    let cases = Case::of_reason(reason);
    assert!(cases.iter().any(|case| case.is(answer)), "{answer:?} is none of {cases:#?}");
}

/// Checks an answer, and that the access log has the same status and this reason.
async fn refused(world: &World, answer: Answer, status: u16, reason: &str) {
    assert_refused(world, &answer, status, reason).await;
}

/// The same for an answer that the test still needs.
pub(crate) async fn assert_refused(world: &World, answer: &Answer, status: u16, reason: &str) {
    assert_eq!(answer.status.as_u16(), status, "{reason}: {answer:?}");
    assert_is_a_case(answer, reason);
    let id = answer.headers["x-gateway-request-id"].to_str().unwrap();
    let line = || world.log.lines().into_iter().find(|line| line.contains(id));
    until("the access log line", async || line().is_some()).await;
    let line: Value = serde_json::from_str(&line().unwrap()).unwrap();
    assert_eq!((&line["status"], &line["reason"]), (&json!(status), &json!(reason)));
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_tokens_and_tokens_with_an_unknown_key() {
    let world = World::start().await;
    let unknown = world.mint(World::claims("alice").header("kid", "unknown"));
    for (token, reason) in [("bm8.anNvbg.aGVyZQ", "token_malformed"), (&unknown, "token_key_unknown")] {
        let answer = world.send(post(CONVERSE, token, HELLO)).await;
        refused(&world, answer, 401, reason).await;
    }
    world.assert_untouched();
}

const STRICT: &str = r#"
request_headers = ["x-project"]
[issuer.session]
name = { from = "claims.email", on_invalid = "reject" }
[issuer.session.tags]
ml = "'ml' in claims.groups ? 'yes' : 'no'"
"#;

#[tokio::test(flavor = "multi_thread")]
async fn claims_and_headers_that_the_mapping_rejects() {
    let world = World::with(&Setup { mapping: STRICT, ..Setup::default() }).await;
    let claims = || World::claims("alice").claim("groups", json!(["ml"]));
    let overage = claims().without("groups").claim("_claim_names", json!({ "groups": "elsewhere" }));
    for (claims, reason) in
        [(claims().claim("email", "alice smith"), "value_invalid"), (overage, "groups_overage")]
    {
        let answer = world.send(post(CONVERSE, &world.mint(claims), HELLO)).await;
        refused(&world, answer, 403, reason).await;
    }
    let token = world.mint(claims());
    for value in [&b"p".repeat(257), &b"\xff".to_vec()] {
        let mut request = post(CONVERSE, &token, HELLO);
        request.headers_mut().insert("x-project", HeaderValue::from_bytes(value).unwrap());
        let answer = world.send(request).await;
        refused(&world, answer, 403, "request_header_illegal").await;
    }
    world.assert_untouched();
    assert_eq!(world.send(post(CONVERSE, &token, HELLO)).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_header_to_bedrock_that_is_not_ascii() {
    let world = World::start().await;
    let mut request = post(CONVERSE, &world.token("alice"), HELLO);
    request.headers_mut().insert("anthropic-beta", HeaderValue::from_bytes("für".as_bytes()).unwrap());
    let answer = world.send(request).await;
    refused(&world, answer, 400, "header_malformed").await;
    world.assert_untouched();
}

/// One body without its last byte: the gateway has reserved memory for its whole length.
#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_uses_all_memory_of_its_caller() {
    let world = World::with(&Setup { listen: "max_body = \"128MiB\"", ..Setup::default() }).await;
    let (alice, bob) = (world.token("alice"), world.token("bob"));
    let mut stream = tokio::net::TcpStream::connect(world.gateway.addresses().http.unwrap()).await.unwrap();
    let head = format!(
        "POST {CONVERSE} HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer {alice}\r\nContent-Length: {PRINCIPAL_BYTES}\r\n\r\n",
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&vec![b' '; PRINCIPAL_BYTES - 1]).await.unwrap();
    // The gateway may not have read all of it yet.
    let mut answer = world.send(post(CONVERSE, &alice, HELLO)).await;
    for _ in 0..500 {
        if answer.status != 200 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        answer = world.send(post(CONVERSE, &alice, HELLO)).await;
    }
    refused(&world, answer, 429, "busy_caller_bodies").await;
    assert_eq!(world.send(post(CONVERSE, &bob, HELLO)).await.status, 200);
}

async fn with_sts_fault(fault: StsFault, reason: &str) {
    let world = World::start().await;
    world.standin.sts.faults().always(fault);
    let answer = world.send(post(CONVERSE, &world.token("alice"), HELLO)).await;
    refused(&world, answer, 503, reason).await;
    assert_eq!(world.standin.bedrock.server().requests(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_sts_that_throttles_every_call() {
    with_sts_fault(StsFault::Throttle, "sts_throttled").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_sts_that_fails_or_answers_incompletely() {
    with_sts_fault(StsFault::Unavailable, "sts_failed").await;
    with_sts_fault(StsFault::Malformed, "sts_failed").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_sts_that_is_unreachable() {
    let world = World::start().await;
    world.standin.sts.server().stop().await;
    let answer = world.send(post(CONVERSE, &world.token("alice"), HELLO)).await;
    refused(&world, answer, 503, "sts_unreachable").await;
}

/// At one call a second, a queue of ten seconds is full after about ten users. The gateway refuses the next user at once.
#[tokio::test(flavor = "multi_thread")]
async fn more_new_sessions_than_the_rate_to_sts_allows() {
    let world = Arc::new(World::with(&Setup { sessions: "max_sts_rate = 1", ..Setup::default() }).await);
    let mut calls = JoinSet::new();
    for user in 0..20 {
        let (world, token) = (Arc::clone(&world), world.token(&format!("user-{user}")));
        calls.spawn(async move { world.send(post(CONVERSE, &token, HELLO)).await });
    }
    let answer = loop {
        let answer = calls.join_next().await.unwrap().unwrap();
        if answer.status != 200 {
            break answer;
        }
    };
    refused(&world, answer, 503, "sts_rate_exhausted").await;
}

/// Mantle has no FIPS endpoint.
#[tokio::test(flavor = "multi_thread")]
async fn a_service_without_an_endpoint() {
    let mut world = World::start().await;
    let file = world.folder().join("gateway.toml");
    let text = std::fs::read_to_string(&file).unwrap().replace("[aws]\n", "[aws]\nfips = true\n");
    let lines = text.lines().filter(|line| !line.starts_with("bedrock_mantle"));
    std::fs::write(&file, lines.collect::<Vec<_>>().join("\n")).unwrap();
    world.gateway = world.replica().await;
    let answer = world.send(post("/mantle/v1/responses", &world.token("alice"), r#"{"model":"m"}"#)).await;
    refused(&world, answer, 404, "no_endpoint").await;

    // The head is enough for the refusal, so the gateway does not wait for a body that never arrives.
    let mut stream = TcpStream::connect(world.gateway.addresses().http.unwrap()).await.unwrap();
    let head = format!(
        "POST /mantle/v1/responses HTTP/1.1\r\nhost: gateway\r\nauthorization: Bearer {}\r\n\
         content-type: application/json\r\ncontent-length: 1000\r\n\r\n",
        world.token("alice")
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut status = [0; 12];
    stream.read_exact(&mut status).await.unwrap();
    assert_eq!(&status, b"HTTP/1.1 404");
    world.assert_untouched();
}
