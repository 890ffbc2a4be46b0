//! The tests sign requests with `sign` from the tests of `signature`.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;

use super::*;
use crate::clock;
use crate::credentials::IssuedSession;
use crate::frames::tests::decode;
use crate::signature::tests::sign;

mod faults;
mod permission;
mod services;
mod world;

use world::{Answer, World, billed, claude, converse, session};

const SONNET: &str = "/model/us.anthropic.claude-sonnet-4-6-v1%3A0";
const ALICE: &str = "arn:aws:sts::123456789012:assumed-role/BedrockUser/alice@acme.org";

#[tokio::test]
async fn converse_answers_and_charges_the_principal_that_signed() {
    let world = World::start();
    let mut request = world.signed(&format!("{SONNET}/converse"), &converse("hello there"));
    request.headers_mut().insert("x-amzn-bedrock-service-tier", HeaderValue::from_static("flex"));
    let answer = world.send(request).await;
    assert_eq!(answer.status, 200, "{:?}", answer.body);
    assert_eq!(answer.headers["content-type"], "application/json");
    assert_eq!(answer.headers["x-amzn-bedrock-service-tier"], "flex");
    assert_eq!(answer.headers["x-amzn-requestid"].len(), 36);
    let body = answer.json();
    assert_eq!(body["output"]["message"]["content"][0]["text"], "You said: hello there");
    assert_eq!(body["stopReason"], "end_turn");
    assert_eq!(body["usage"]["inputTokens"], 3);
    assert_eq!(body["usage"]["outputTokens"], 6);

    let call = world.bill.calls().pop().unwrap();
    assert_eq!((call.principal.as_str(), call.region.as_str()), (ALICE, "us-east-1"));
    assert_eq!(call.model, "us.anthropic.claude-sonnet-4-6-v1:0");
    assert_eq!(call.operation, crate::bill::Operation::Converse);
    assert_eq!(call.target, format!("{SONNET}/converse"));
    assert_eq!(call.body, converse("hello there"));
    assert!(!format!("{call:?}").contains("token of"), "{call:?}");
    assert_eq!(
        billed(&world.bill),
        [
            ("USE1-Claude4.6Sonnet-input-tokens-cross-region-geo".to_owned(), 3),
            ("USE1-Claude4.6Sonnet-output-tokens-cross-region-geo".to_owned(), 6),
        ]
    );
    assert_eq!(world.bill.principals(), [ALICE]);
    assert_eq!(world.bedrock.violations(), [""; 0]);
}

#[tokio::test]
async fn converse_streams_its_events() {
    let world = World::start();
    let request = world.signed_by(
        &world.session,
        "us-west-2",
        &format!("{SONNET}/converse-stream"),
        &converse("hello"),
    );
    let answer = world.send(request).await;
    assert_eq!(answer.headers["content-type"], "application/vnd.amazon.eventstream");
    let frames = decode(&answer.body);
    let kinds: Vec<_> = frames.iter().map(|(kind, _)| kind.as_str()).collect();
    let delta = "contentBlockDelta";
    assert_eq!(
        kinds,
        ["messageStart", delta, delta, delta, delta, "contentBlockStop", "messageStop", "metadata"]
    );
    let payloads: Vec<Value> = frames.iter().map(|(_, json)| serde_json::from_slice(json).unwrap()).collect();
    let text: String = payloads.iter().filter_map(|payload| payload["delta"]["text"].as_str()).collect();
    assert_eq!(text, "You said: hello");
    assert!(payloads.iter().all(|payload| payload["p"].is_string()));
    assert_eq!(payloads[7]["usage"]["outputTokens"], 4);
    let row = world.bill.rows().pop().unwrap();
    assert_eq!(row.line_item_usage_type, "USW2-Claude4.6Sonnet-output-tokens-cross-region-geo");
    assert_eq!(billed(&world.bill)[1].1, 4);
}

#[tokio::test]
async fn invoke_answers_in_claudes_format_with_bedrocks_headers() {
    let world = World::start();
    let arn = "/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A123456789012%3A\
               application-inference-profile%2Fabcdefghijkl/invoke";
    let answer = world.post(arn, &claude("hello")).await;
    let body = answer.json();
    assert_eq!(body["content"][0]["text"], "You said: hello");
    assert_eq!((&body["type"], &body["role"]), (&json!("message"), &json!("assistant")));
    assert_eq!(body["usage"]["input_tokens"], 2);
    let counts = ["input-token-count", "output-token-count", "cache-read-input-token-count"];
    assert_eq!(counts.map(|name| answer.count(name)), [2, 4, 0]);
    assert!(answer.count("invocation-latency") > 0);
    let expected = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abcdefghijkl";
    assert_eq!(world.bill.calls()[0].model, expected);
    assert_eq!(world.bill.rows()[0].line_item_resource_id, expected);
}

#[tokio::test]
async fn invoke_streams_chunks_and_ends_with_the_metrics() {
    let world = World::start();
    let path = "/model/anthropic.claude-sonnet-4-6-v1:0/invoke-with-response-stream";
    let answer = world.post(path, &claude("hello")).await;
    assert_eq!(answer.headers["content-type"], "application/vnd.amazon.eventstream");
    assert_eq!(answer.headers["x-amzn-bedrock-content-type"], "application/json");
    assert!(answer.kinds().iter().all(|kind| kind == "chunk"));
    let events: Vec<Value> = decode(&answer.body)
        .iter()
        .map(|(_, chunk)| {
            let chunk: Value = serde_json::from_slice(chunk).unwrap();
            assert!(chunk["p"].is_string());
            serde_json::from_slice(&STANDARD.decode(chunk["bytes"].as_str().unwrap()).unwrap()).unwrap()
        })
        .collect();
    let text: String = events.iter().filter_map(|event| event["delta"]["text"].as_str()).collect();
    assert_eq!(text, "You said: hello");
    assert_eq!(events[0]["message"]["usage"]["input_tokens"], 2);
    let last = events.last().unwrap();
    assert_eq!(last["type"], "message_stop");
    assert_eq!(last["amazon-bedrock-invocationMetrics"]["inputTokenCount"], 2);
    assert_eq!(last["amazon-bedrock-invocationMetrics"]["outputTokenCount"], 4);
    assert_eq!(billed(&world.bill).iter().map(|(_, tokens)| *tokens).collect::<Vec<_>>(), [2, 4]);
}

#[tokio::test]
async fn a_marked_prefix_is_written_to_the_cache_and_then_read() {
    let world = World::start();
    let marked = json!({
        "system": [{ "text": "x".repeat(40) }, { "cachePoint": { "type": "default" } }],
        "messages": [{ "role": "user", "content": [{ "text": "hi" }] }],
    });
    let body = marked.to_string();
    let usage = |answer: &Answer| {
        let usage = answer.json()["usage"].clone();
        ["inputTokens", "cacheWriteInputTokens", "cacheReadInputTokens"]
            .map(|name| usage[name].as_u64().unwrap())
    };
    let path = format!("{SONNET}/converse");
    assert_eq!(usage(&world.post(&path, &body).await), [1, 10, 0]);
    assert_eq!(usage(&world.post(&path, &body).await), [1, 0, 10]);
    let billed = billed(&world.bill);
    let cached: Vec<_> = billed.iter().filter(|(name, _)| name.contains("-cache-")).collect();
    assert_eq!(cached.iter().map(|(_, tokens)| *tokens).collect::<Vec<_>>(), [10, 10]);
}

#[tokio::test]
async fn only_valid_sessions_are_accepted() {
    let world = World::start();
    let path = format!("{SONNET}/converse");
    let hello = converse("hello");
    let send = |session: IssuedSession, region: &'static str| {
        let request = world.signed_by(&session, region, &path, &hello);
        let world = &world;
        async move {
            let (status, kind, _) = world.send(request).await.error();
            assert_eq!(status, 403);
            kind
        }
    };
    assert_eq!(send(session("ASIANOBODY", Duration::ZERO), "us-east-1").await, "UnrecognizedClientException");
    let ended = session("ASIAENDED", Duration::ZERO);
    world.store.issue(ended.clone());
    assert_eq!(send(ended, "us-east-1").await, "ExpiredTokenException");
    assert_eq!(send(world.session.clone(), "eu-west-1").await, "InvalidSignatureException");
    let forged = IssuedSession { secret: "guess".to_owned(), ..world.session.clone() };
    assert_eq!(send(forged, "us-east-1").await, "InvalidSignatureException");
    assert_eq!(world.bedrock.violations(), [""; 0]);
    assert_eq!(world.bedrock.signature_refusals().len(), 3);

    let of_bob = IssuedSession { session_token: "bob's".to_owned(), ..world.session.clone() };
    assert_eq!(send(of_bob, "us-east-1").await, "UnrecognizedClientException");
    let gateway = IssuedSession {
        access_key_id: world.store.gateway_access_key_id().to_owned(),
        secret: world.store.gateway_secret_access_key().to_owned(),
        session_token: String::new(),
        ..world.session.clone()
    };
    assert_eq!(send(gateway, "us-east-1").await, "UnrecognizedClientException");
    let violations = world.bedrock.violations();
    assert_eq!(violations.len(), 2, "{violations:?}");
    assert!(violations[1].contains("unattributed"), "{violations:?}");

    world.store.revoke(ALICE);
    assert_eq!(send(world.session.clone(), "us-east-1").await, "ExpiredTokenException");
    world.bedrock.set_revoked_kind("InvalidClientTokenId");
    assert_eq!(send(world.session.clone(), "us-east-1").await, "InvalidClientTokenId");
    assert!(world.bill.calls().is_empty() && world.bill.rows().is_empty());
}

#[tokio::test]
async fn headers_that_must_not_arrive_are_recorded() {
    let world = World::start();
    let path = format!("{SONNET}/converse");
    let jwt = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIn0.c2ln";
    for (name, value) in [
        ("cookie", "a=b"),
        ("x-forwarded-for", "10.0.0.1"),
        ("via", "1.1 proxy"),
        ("proxy-authorization", "Basic YTpi"),
        ("x-harmless", jwt),
    ] {
        let mut request = world.signed(&path, &converse("hello"));
        let name: HeaderName = name.parse().unwrap();
        request.headers_mut().insert(name.clone(), value.parse().unwrap());
        assert_eq!(world.send(request).await.status, 200);
        let noted = world.bedrock.violations().pop().unwrap();
        assert!(noted.contains(name.as_str()) && !noted.contains(value), "{noted}");
    }
    let before = world.bedrock.violations().len();
    let mut request = world.signed(&path, &converse("hello"));
    request.headers_mut().insert("authorization", format!("Bearer {jwt}").parse().unwrap());
    assert_eq!(world.send(request).await.status, 403);
    let violations = world.bedrock.violations();
    assert!(violations.len() > before && !violations.concat().contains("eyJ"), "{violations:?}");
}

#[tokio::test]
async fn a_wrong_clock_is_rejected_and_answers_have_its_date() {
    let world = World::start();
    for (offset, words) in [(600, "Signature expired: "), (-600, "Signature not yet current: ")] {
        world.bedrock.set_clock_offset(offset);
        let answer = world.post(&format!("{SONNET}/converse"), &converse("hello")).await;
        let (status, kind, message) = answer.error();
        assert_eq!((status, kind.as_str()), (403, "InvalidSignatureException"));
        assert!(message.starts_with(words), "{message}");
        let date = answer.headers["date"].to_str().unwrap();
        let format = "[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT";
        let format = time::format_description::parse_borrowed::<1>(format).unwrap();
        let date: SystemTime = time::PrimitiveDateTime::parse(date, &format).unwrap().assume_utc().into();
        let off = clock::unix_seconds(date) - clock::unix_seconds(clock::now());
        assert!((off - offset).abs() < 5, "{off}");
    }
    assert_eq!(world.bedrock.signature_refusals().len(), 2);
    assert_eq!(world.bedrock.violations(), [""; 0]);
}

#[tokio::test]
async fn invalid_requests_are_rejected() {
    let world = World::start();
    let hello = converse("hello");
    world.bedrock.forbid_model("*.claude-opus-*");
    world.bedrock.forbid_model("amazon.nova-lite-v1:0");
    for (path, body, status, kind) in [
        ("/model/unknown.model/converse", hello.as_str(), 404, "ResourceNotFoundException"),
        ("/model/us.anthropic.claude-opus-4-6-v1/converse", &hello, 403, "AccessDeniedException"),
        ("/model/amazon.nova-lite-v1%3A0/converse", &hello, 403, "AccessDeniedException"),
        ("/model/a%20b/converse", &hello, 400, "ValidationException"),
        ("/model/m/converse", "{", 400, "ValidationException"),
        ("/model/m/converse", "{}", 400, "ValidationException"),
        ("/model/m/invoke", &hello, 400, "ValidationException"),
        ("/model/m/frobnicate", &hello, 404, "UnknownOperationException"),
        ("/guardrail/a/version/1", &hello, 404, "UnknownOperationException"),
    ] {
        let (found, found_kind, _) = world.post(path, body).await.error();
        assert_eq!((found, found_kind.as_str()), (status, kind), "{path}");
    }
    assert!(world.bill.rows().is_empty());
    world.bedrock.allow_models();
    assert_eq!(world.post("/model/amazon.nova-lite-v1%3A0/converse", &hello).await.status, 200);
}
