//! Requests to Bedrock and answers from it: unchanged bytes, only listed headers, one attempt.

use std::time::Duration;

use bedrock_bed::until;
use bedrock_standin::bedrock::Fault;
use http::Request;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use http_body_util::BodyExt as _;

use crate::world::{CONVERSE, HELLO, Setup, World, parrot, post, read};

#[tokio::test(flavor = "multi_thread")]
async fn only_listed_headers_pass_in_both_directions() {
    let world = World::start().await;
    let token = world.token("alice");
    let request = Request::post(CONVERSE)
        .header("authorization", format!("Bearer {token}"))
        .header("content-type", "application/json")
        .header("accept", "application/json")
        .header("x-amzn-bedrock-service-tier", "flex")
        .header("x-amzn-bedrock-from-next-year", "yes")
        .header("anthropic-beta", "b1")
        .header("cookie", "a=b")
        .header("x-forwarded-for", "10.0.0.1")
        .header("x-amz-date", "20200101T000000Z")
        .header("x-amz-content-sha256", "0000")
        .header("x-amz-user-agent", "aws-sdk-js")
        .header("te", "trailers")
        .header("connection", "x-amzn-bedrock-secret")
        .header("x-amzn-bedrock-secret", "1")
        .body(HELLO.into())
        .unwrap();
    let answer = world.send(request).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.headers["x-amzn-bedrock-service-tier"], "flex");
    assert!(!answer.headers.contains_key("set-cookie"));
    let call = &world.standin.bill.calls()[0];
    for passed in ["x-amzn-bedrock-from-next-year", "anthropic-beta", "x-amzn-bedrock-service-tier", "accept"]
    {
        assert!(call.headers.contains_key(passed), "{passed}");
    }
    for stays in [
        "cookie",
        "x-forwarded-for",
        "x-amz-content-sha256",
        "x-amz-user-agent",
        "x-amzn-bedrock-secret",
        "te",
    ] {
        assert!(!call.headers.contains_key(stays), "{stays}");
    }
    let line = world.logged(1).await;
    assert_eq!(line["aws_request_id"], answer.headers["x-amzn-requestid"].to_str().unwrap());
}

/// HTTP/1.1 allows white space around a value. Some HTTP/2 clients send it too, and no receiver treats it as part of
/// the value. AWS does not document how it treats a tab within a signed value.
#[tokio::test(flavor = "multi_thread")]
async fn tabs_around_a_value_are_removed_and_a_tab_within_is_refused() {
    let world = World::start().await;
    let token = world.token("alice");
    let mut sent = 0;
    for is_h2 in [true, false] {
        for name in ["accept", "content-type", "x-amzn-bedrock-from-next-year", "anthropic-beta"] {
            let answered = async |value: &str| {
                let mut request = post(CONVERSE, &token, HELLO);
                request.headers_mut().insert(name, value.parse().unwrap());
                let opened = if is_h2 { world.open_h2c(request).await } else { world.open(request).await };
                read(opened).await
            };
            for value in ["\tone  two", "one  two\t", " \t one  two\t\t "] {
                assert_eq!(answered(value).await.status, 200, "{name}: {value:?}, HTTP/2: {is_h2}");
                assert_eq!(world.standin.bill.calls().last().unwrap().headers[name], "one  two");
                sent += 1;
                world.logged(sent).await;
            }
            for value in ["one\ttwo", "\tone\ttwo"] {
                let answer = answered(value).await;
                let what = (answer.status.as_u16(), answer.kind());
                assert_eq!(what, (400, "ValidationException"), "{name}: {value:?}, HTTP/2: {is_h2}");
                sent += 1;
                assert_eq!(world.logged(sent).await["reason"], "header_malformed");
            }
        }
    }
    assert_eq!(world.standin.bill.call_count(), 24);
    assert_eq!(world.standin.bedrock.signature_refusals(), []);
}

/// The gateway sends exactly what it signs: the stand-in computes the signature only from the raw request.
#[tokio::test(flavor = "multi_thread")]
async fn arbitrary_legal_paths_queries_and_bodies_verify() {
    let world = World::start().await;
    let token = world.token("alice");
    let segment = "[A-Za-z0-9._-][A-Za-z0-9._:-]{0,30}(%3A|%3a|:0){0,3}|arn(:|%3A)[a-z0-9:-]{0,30}(%3A|%3a|%2F[a-z0-9]{1,8}|:0){0,3}";
    let query = "(\\?[a-z]{1,5}=([a-zA-Z0-9*~.-]|%[2-7][0-9A-F]|\\+){0,8}(&[a-z]{1,4}(=[a-z]{0,3})?){0,2})?";
    let target = (segment, query)
        .prop_filter("dot segments are refused", |(segment, _)| *segment != "." && *segment != "..");
    let mut runner = TestRunner::deterministic();
    let mut sent = 0;
    for _ in 0..128 {
        let ((segment, query), text) =
            (target.clone(), "[^\\x00-\\x1f\"\\\\]{0,40}").new_tree(&mut runner).unwrap().current();
        let path = format!("/model/{segment}/converse{query}");
        if path.parse::<http::Uri>().is_err() || segment.contains("unknown.") {
            continue;
        }
        let body = serde_json::json!({ "messages": [{ "role": "user", "content": [{ "text": text }] }] })
            .to_string();
        let answer = world.send(post(&path, &token, body.clone())).await;
        assert_eq!(answer.status, 200, "{path}: {:?}", answer.body);
        sent += 1;
        let call = world.standin.bill.calls().pop().unwrap();
        assert_eq!(call.body, body);
        assert!(
            call.target.starts_with(&format!("/model/{segment}/converse")),
            "{path} became {}",
            call.target
        );
    }
    assert!(sent > 100, "{sent}");
    assert_eq!(world.standin.bedrock.signature_refusals(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn bedrocks_errors_pass_unchanged_and_are_not_retried() {
    let world = World::start().await;
    let token = world.token("alice");
    for (fault, status, kind) in [
        (Fault::Throttle, 429, "ThrottlingException"),
        (Fault::Deny, 403, "AccessDeniedException"),
        (Fault::Error(424, "ModelErrorException", "the model failed"), 424, "ModelErrorException"),
        (Fault::Error(500, "InternalServerException", "x"), 500, "InternalServerException"),
        (Fault::Error(503, "ServiceUnavailableException", "x"), 503, "ServiceUnavailableException"),
    ] {
        let before = world.standin.bill.calls().len();
        world.standin.bedrock.faults().next(1, fault);
        let answer = world.send(post(CONVERSE, &token, HELLO)).await;
        assert_eq!(answer.status.as_u16(), status);
        assert!(
            answer.kind().starts_with(&format!("{kind}:http://internal.amazon.com/")),
            "{}",
            answer.kind()
        );
        assert!(answer.json()["message"].is_string());
        let line = world.logged(before + 1).await;
        assert_eq!(
            (line["status"].as_u64(), line["reason"].as_str()),
            (Some(status.into()), Some("upstream_error"))
        );
        assert_eq!(world.standin.bill.calls().len(), before + 1, "{kind} was retried");
    }
    assert_eq!(world.standin.sts.calls().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_bedrock_may_have_read_is_not_retried() {
    let world = World::start().await;
    let token = world.token("alice");
    assert_eq!(world.send(post(CONVERSE, &token, HELLO)).await.status, 200);
    let before = world.standin.bedrock.server().requests();
    world.standin.bedrock.faults().next(1, Fault::ResetBeforeHead);
    let answer = world.send(post(CONVERSE, &token, HELLO)).await;
    assert_eq!((answer.status.as_u16(), answer.kind()), (408, "ModelTimeoutException"));
    assert_eq!(answer.headers["x-should-retry"], "false");
    assert_eq!(world.standin.bedrock.server().requests(), before + 1);
    assert_eq!(world.logged(2).await["reason"], "upstream_not_answered");
}

/// Waits until the gateway's one worker has seen everything that happened before: events reach it in their order.
async fn has_seen_all(world: &World) {
    assert_eq!(world.send(post(CONVERSE, "no token", HELLO)).await.status, 401);
}

/// One worker, so that the test knows what it has seen. A connection that closes at the moment of its use is not stale:
/// Bedrock may have read the request.
#[tokio::test(flavor = "multi_thread")]
async fn a_stale_pooled_connection_is_replaced_and_a_stopped_bedrock_is_503() {
    let world = World::with(&Setup { listen: "workers = 1", ..Setup::default() }).await;
    let token = world.token("alice");
    assert_eq!(world.send(post(CONVERSE, &token, HELLO)).await.status, 200);
    world.standin.bedrock.server().stop().await;
    world.standin.bedrock.server().restart();
    has_seen_all(&world).await;
    assert_eq!(world.send(post(CONVERSE, &token, HELLO)).await.status, 200);
    world.standin.bedrock.server().stop().await;
    has_seen_all(&world).await;
    let answer = world.send(post(CONVERSE, &token, HELLO)).await;
    assert_eq!((answer.status.as_u16(), answer.kind()), (503, "ServiceUnavailableException"));
    assert!(answer.headers.contains_key("retry-after"));
    world.standin.bedrock.server().restart();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_clock_is_corrected_from_aws_over_tls() {
    let options = bedrock_standin::Options { bedrock_tls: true, ..bedrock_standin::Options::default() };
    let world = World::before(bedrock_standin::Standin::start(options), &Setup::default()).await;
    let token = world.token("alice");
    world.standin.bedrock.set_clock_offset(1200);
    assert_eq!(
        world.send(post(CONVERSE, &token, HELLO)).await.status,
        200,
        "the gateway signs again with AWS's time"
    );
    assert_eq!(world.standin.bedrock.signature_refusals().len(), 1);
    assert_eq!(world.send(post(CONVERSE, &token, HELLO)).await.status, 200);
    assert_eq!(world.standin.bedrock.signature_refusals().len(), 1, "the gateway remembers the difference");
    assert_eq!(world.logged(1).await["upstream_attempts"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_is_not_corrected_over_plain_http() {
    let world = World::start().await;
    let token = world.token("alice");
    world.standin.bedrock.set_clock_offset(1200);
    let answer = world.send(post(CONVERSE, &token, HELLO)).await;
    assert_eq!(answer.status, 403);
    assert_eq!(world.standin.bedrock.signature_refusals().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_before_the_answer_ends_the_call() {
    let world = World::start().await;
    let token = world.token("alice");
    world.send(post(CONVERSE, &token, HELLO)).await;
    world.standin.bedrock.faults().next(1, Fault::HangBeforeHead);
    let left =
        tokio::time::timeout(Duration::from_millis(300), world.open(post(CONVERSE, &token, HELLO))).await;
    assert!(left.is_err(), "there is no answer to wait for");
    until("Bedrock to see it", async || world.standin.bedrock.hangups() == 1).await;
    let line = world.logged(2).await;
    assert_eq!((line["status"].as_u64(), line["ended"].as_str()), (Some(499), Some("client")));
    assert_eq!(line["reason"], "client_left");
}

/// The gateway reads the type of an error before it passes the error on. If the connection breaks meanwhile, it breaks
/// for the client too.
#[tokio::test(flavor = "multi_thread")]
async fn an_incomplete_error_does_not_look_complete_to_the_client() {
    let incomplete =
        "HTTP/1.1 403 Forbidden\r\ntransfer-encoding: chunked\r\n\r\n10\r\n{\"message\":\"half\r\n";
    let world = World::with(&Setup { bedrock: Some(&parrot(incomplete).await), ..Setup::default() }).await;
    let mut answer = world.open(post(CONVERSE, &world.token("alice"), HELLO)).await;
    assert_eq!(answer.status(), 403);
    let mut body = Vec::new();
    let broke = loop {
        match answer.body_mut().frame().await {
            Some(Ok(frame)) => body.extend(frame.into_data().unwrap()),
            Some(Err(_)) => break true,
            None => break false,
        }
    };
    assert!(broke && body == b"{\"message\":\"half", "{:?}", String::from_utf8_lossy(&body));
    let line = world.logged(1).await;
    assert_eq!((&line["ended"], &line["reason"]), (&"upstream".into(), &"upstream_aborted".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_answer_is_complete() {
    for empty in ["HTTP/1.1 204 No Content\r\n\r\n", "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"] {
        let world = World::with(&Setup { bedrock: Some(&parrot(empty).await), ..Setup::default() }).await;
        let answer = world.send(post(CONVERSE, &world.token("alice"), HELLO)).await;
        assert!(answer.status.is_success() && answer.body.is_empty());
        assert_eq!(world.logged(1).await["ended"], "complete", "{empty}");
    }
}
