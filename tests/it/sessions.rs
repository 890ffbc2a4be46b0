//! One `AssumeRole` for each session and lifetime, whatever happens to clients and to STS.

use std::sync::Arc;
use std::time::Duration;

use bedrock_bed::{until, within};
use bedrock_standin::bedrock::Fault;
use bedrock_standin::sts::StsFault;
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::world::{CONVERSE, HELLO, Setup, World, post};

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_first_requests_of_one_user_are_one_assume_role() {
    let world = Arc::new(World::start().await);
    let token = world.token("alice");
    world.standin.sts.faults().next(1, StsFault::Late(Duration::from_millis(300)));
    let mut first = tokio::spawn({
        let (world, token) = (Arc::clone(&world), token.clone());
        async move { world.send(post(CONVERSE, &token, HELLO)).await }
    });
    until("the first AssumeRole", async || !world.standin.sts.calls().is_empty()).await;
    let mut rest = JoinSet::new();
    for round in 0..4 {
        // One principal may have 256 concurrent requests.
        for _ in 0..250 {
            let (world, token) = (Arc::clone(&world), token.clone());
            rest.spawn(async move { world.send(post(CONVERSE, &token, HELLO)).await.status });
        }
        if round == 0 {
            // The client that started the call leaves.
            first.abort();
            assert!((&mut first).await.is_err());
        }
        while let Some(status) = rest.join_next().await {
            assert_eq!(status.unwrap(), 200);
        }
    }
    assert_eq!(world.standin.sts.calls().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_users_are_a_hundred() {
    let world = Arc::new(World::start().await);
    let mut calls = JoinSet::new();
    for user in 0..100 {
        let token = world.token(&format!("user-{user}"));
        for _ in 0..10 {
            let (world, token) = (Arc::clone(&world), token.clone());
            calls.spawn(async move { world.send(post(CONVERSE, &token, HELLO)).await.status });
        }
    }
    while let Some(status) = calls.join_next().await {
        assert_eq!(status.unwrap(), 200);
    }
    assert_eq!(world.standin.sts.calls().len(), 100);
    assert_eq!(world.standin.sts.refusals().len(), 0);
    assert_eq!(world.standin.bill.principals().len(), 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn with_sts_dead_cached_users_notice_nothing_and_new_ones_get_503_in_time() {
    let world = World::start().await;
    let alice = world.token("alice");
    assert_eq!(world.send(post(CONVERSE, &alice, HELLO)).await.status, 200);
    world.standin.sts.server().stop().await;
    let sent = Instant::now();
    let bob = world.token("bob");
    let answer = world.send(post(CONVERSE, &bob, HELLO)).await;
    assert_eq!((answer.status.as_u16(), answer.kind()), (503, "ServiceUnavailableException"));
    assert!(answer.headers.contains_key("retry-after"));
    assert!(sent.elapsed() < Duration::from_secs(11), "{:?}", sent.elapsed());
    assert_eq!(world.send(post(CONVERSE, &alice, HELLO)).await.status, 200);
    world.standin.sts.server().restart();
    let served = async || world.send(post(CONVERSE, &bob, HELLO)).await.status == 200;
    within(Duration::from_secs(10), "bob to be served, since STS is back", served).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_runs_out_while_sts_hangs_ends_in_503_and_never_unattributed() {
    let world = World::start().await;
    let token = world.token("alice");
    world.standin.sts.set_lifetime(Some(Duration::from_secs(2)));
    assert_eq!(world.send(post(CONVERSE, &token, HELLO)).await.status, 200);
    world.standin.sts.faults().always(StsFault::Unavailable);
    within(Duration::from_secs(20), "a refusal after the session's end", async || {
        let status = world.send(post(CONVERSE, &token, HELLO)).await.status.as_u16();
        assert!(matches!(status, 200 | 503), "{status}");
        status == 503
    })
    .await;
    for call in world.standin.bill.calls() {
        assert!(call.principal.ends_with("/alice@acme.org"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_sts_answers_and_what_callers_see() {
    let world = World::start().await;
    for (user, fault, status, kind) in [
        ("a1", StsFault::Deny, 403, "AccessDeniedException"),
        ("a2", StsFault::PackedPolicyTooLarge, 403, "AccessDeniedException"),
        ("a3", StsFault::RegionDisabled, 503, "ServiceUnavailableException"),
        ("a4", StsFault::InvalidClientTokenId, 503, "ServiceUnavailableException"),
        ("a5", StsFault::ExpiredToken, 503, "ServiceUnavailableException"),
    ] {
        let token = world.token(user);
        world.standin.sts.faults().next(1, fault.clone());
        let answer = world.send(post(CONVERSE, &token, HELLO)).await;
        assert_eq!((answer.status.as_u16(), answer.kind()), (status, kind), "{fault:?}");
        assert!(!String::from_utf8_lossy(&answer.body).contains("arn:aws"));
        world.standin.sts.faults().clear();
    }
    assert_eq!(world.standin.bedrock.server().requests(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_denial_is_remembered_and_throttling_is_not_a_denial() {
    let world = World::start().await;
    let token = world.token("alice");
    world.standin.sts.deny("alice@acme.org");
    for _ in 0..5 {
        assert_eq!(world.send(post(CONVERSE, &token, HELLO)).await.status, 403);
    }
    assert_eq!(world.standin.sts.calls().len(), 1);
    let bob = world.token("bob");
    world.standin.sts.faults().next(1, StsFault::Throttle);
    assert_eq!(
        world.send(post(CONVERSE, &bob, HELLO)).await.status,
        200,
        "the SDK tries a throttled call again"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_looping_on_a_forbidden_model_causes_no_assume_role() {
    let world = World::start().await;
    let token = world.token("alice");
    world.standin.bedrock.forbid_model("amazon.nova-lite-v1:0");
    for _ in 0..20 {
        let answer = world.send(post("/model/amazon.nova-lite-v1%3A0/converse", &token, HELLO)).await;
        assert_eq!(answer.status, 403);
    }
    assert_eq!(world.standin.sts.calls().len(), 1);
    assert_eq!(world.standin.bill.calls().len(), 20, "Bedrock's own refusal is not repeated");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_session_is_replaced_once_and_unseen() {
    let world = World::start().await;
    let token = world.token("alice");
    assert_eq!(world.send(post(CONVERSE, &token, HELLO)).await.status, 200);
    assert_eq!(
        world.standin.credentials.revoke("arn:aws:sts::123456789012:assumed-role/BedrockUser/alice@acme.org"),
        1
    );
    assert_eq!(world.send(post(CONVERSE, &token, HELLO)).await.status, 200);
    assert_eq!(world.standin.sts.calls().len(), 2);
    assert_eq!(world.logged(2).await["upstream_attempts"], 2);

    // Within the minute a second refusal is Bedrock's answer.
    world.standin.credentials.revoke("arn:aws:sts::123456789012:assumed-role/BedrockUser/alice@acme.org");
    for _ in 0..3 {
        assert_eq!(world.send(post(CONVERSE, &token, HELLO)).await.status, 403);
    }
    assert_eq!(world.standin.sts.calls().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn bedrocks_refusal_is_the_answer_if_sts_grants_no_other_session() {
    let world = World::start().await;
    let token = world.token("alice");
    assert_eq!(world.send(post(CONVERSE, &token, HELLO)).await.status, 200);
    world.standin.sts.server().stop().await;
    let kind = "ExpiredTokenException";
    world.standin.bedrock.faults().next(1, Fault::CredentialsRefused { kind, in_body_only: false });
    let answer = world.send(post(CONVERSE, &token, HELLO)).await;
    assert_eq!(answer.status, 403);
    assert!(answer.kind().starts_with(kind), "Bedrock's own answer: {}", answer.kind());
    assert_eq!(world.send(post(CONVERSE, &token, HELLO)).await.status, 200, "the session was not dropped");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_word_for_invalid_credentials_is_found_in_every_format() {
    for (kind, in_body_only) in [
        ("ExpiredTokenException", false),
        ("ExpiredToken", true),
        ("InvalidClientTokenId", false),
        ("UnrecognizedClientException", true),
        ("InvalidToken", false),
    ] {
        let world = World::start().await;
        let token = world.token("alice");
        world.standin.bedrock.faults().next(1, Fault::CredentialsRefused { kind, in_body_only });
        assert_eq!(world.send(post(CONVERSE, &token, HELLO)).await.status, 200, "{kind}");
        assert_eq!(world.standin.sts.calls().len(), 2, "{kind}");
    }
    // In the shapes of other clients it stands deeper.
    for (path, model) in [
        ("/openai/v1/chat/completions", "openai.gpt-oss-120b-1:0"),
        ("/anthropic/v1/messages", "us.anthropic.claude-sonnet-4-6-v1:0"),
    ] {
        let messages = json!([{ "role": "user", "content": "hello" }]);
        let hello = json!({ "model": model, "messages": messages, "max_tokens": 10 });
        let world = World::start().await;
        let token = world.token("alice");
        let fault = Fault::CredentialsRefused { kind: "ExpiredTokenException", in_body_only: true };
        world.standin.bedrock.faults().next(1, fault);
        let mut request = post(path, &token, hello.to_string());
        request.headers_mut().insert("anthropic-version", "2023-06-01".parse().unwrap());
        assert_eq!(world.send(request).await.status, 200, "{path}");
        assert_eq!(world.standin.sts.calls().len(), 2, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_differ_by_tags_and_their_number_is_bounded() {
    let world = World::with(&Setup { sessions: "per_name = 2", ..Setup::default() }).await;
    let mut statuses = Vec::new();
    for team in ["a", "b", "c", "d"] {
        let token = world.mint(World::claims("alice").claim("team", team));
        statuses.push(world.send(post(CONVERSE, &token, HELLO)).await.status.as_u16());
    }
    assert_eq!(statuses, [200, 200, 429, 429]);
    let teams: Vec<String> =
        world.standin.bill.calls().iter().map(|call| call.tags["team"].clone()).collect();
    assert_eq!(teams, ["a", "b"]);
}
