//! Every kind of invalid token gets its own answer, and nothing reaches STS or Bedrock.

use std::time::Duration;

use bedrock_standin::idp::{Algorithm, DocumentFault, Hostile};
use http::Request;

use crate::refusals::assert_is_a_case;
use crate::world::{Answer, CONVERSE, HELLO, Setup, World, post, read};

/// Checks the answer to a token, and the reason in the access log. Returns the detail of that line.
async fn refused(world: &World, token: &str, kind: &str, reason: &str) -> String {
    world.secret(token);
    let before = world.log.lines().len();
    let answer = world.send(post(CONVERSE, token, HELLO)).await;
    assert_eq!((answer.status.as_u16(), answer.kind()), (401, kind), "{reason}");
    assert!(answer.headers["www-authenticate"].to_str().unwrap().contains("invalid_token"));
    assert_is_a_case(&answer, reason);
    let line = world.logged(before + 1).await;
    assert_eq!(line["reason"], reason);
    assert_eq!(line["status"], 401);
    world.assert_untouched();
    line["detail"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_access_log_names_both_values_that_do_not_match() {
    let world = World::start().await;
    let idp = &world.standin.idp;
    let claims = || World::claims("alice");
    let invalid = "UnrecognizedClientException";
    let slash = format!("{}/", idp.issuer());
    for (token, reason, detail) in [
        (
            idp.mint(claims().audience("another")),
            "token_audience",
            "aud \"another\" is not in audiences [\"bedrock-gateway\"]".to_owned(),
        ),
        (
            idp.mint(claims().without("aud")),
            "token_audience",
            "aud is missing; it must be in audiences [\"bedrock-gateway\"]".to_owned(),
        ),
        (
            idp.mint(claims().issuer("https://evil.example")),
            "token_issuer",
            "iss \"https://evil.example\" is not the url of any issuer".to_owned(),
        ),
        (
            idp.mint(claims().issuer(&slash)),
            "token_issuer",
            format!(
                "iss {slash:?} is not the url of issuer acme, {:?}; both must be equal to the character",
                idp.issuer()
            ),
        ),
        (
            idp.mint(claims().header("kid", "gone")),
            "token_key_unknown",
            "no key of the issuer has kid \"gone\"".to_owned(),
        ),
        (idp.mint(claims().without("exp")), "token_claims", "exp is missing".to_owned()),
        (
            idp.mint(claims().claim("nbf", "soon")),
            "token_claims",
            "nbf \"soon\" is not a number of seconds since 1970".to_owned(),
        ),
    ] {
        assert_eq!(refused(&world, &token, invalid, reason).await, format!("token rejected: {detail}"));
    }
    let long = "x".repeat(10_000);
    let detail = refused(&world, &idp.mint(claims().typ(Some(&long))), invalid, "token_type").await;
    assert!(detail.contains("xxx…\" is not in types [") && detail.len() < 500, "{detail}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_invalid_token_is_refused_and_sent_nowhere() {
    let world = World::start().await;
    let idp = &world.standin.idp;
    let hour = Duration::from_secs(3600);
    let claims = || World::claims("alice");
    let invalid = "UnrecognizedClientException";

    refused(
        &world,
        &idp.mint(claims().expired_for(Duration::from_secs(60))),
        "ExpiredTokenException",
        "token_expired",
    )
    .await;
    refused(&world, &idp.mint(claims().good_in(hour)), invalid, "token_not_yet_valid").await;
    refused(&world, &idp.mint(claims().without("exp")), invalid, "token_claims").await;
    refused(&world, &idp.mint(claims().audience("another")), invalid, "token_audience").await;
    refused(&world, &idp.mint(claims().without("aud")), invalid, "token_audience").await;
    refused(&world, &idp.mint(claims().issuer("https://evil.example")), invalid, "token_issuer").await;
    refused(&world, &idp.mint(claims().without("iss")), invalid, "token_issuer").await;
    let list = serde_json::json!(["https://evil.example", idp.issuer()]);
    refused(&world, &idp.mint(claims().claim("iss", list)), invalid, "token_issuer").await;
    refused(&world, &idp.mint(claims().typ(Some("id+jwt"))), invalid, "token_type").await;
    refused(
        &world,
        &idp.mint(claims().header("crit", serde_json::json!(["x"]))),
        invalid,
        "token_critical_header",
    )
    .await;
    refused(&world, &idp.mint(claims().algorithm(Algorithm::PS256)), invalid, "token_algorithm").await;
    refused(&world, &idp.mint(claims().header("alg", "ES512")), invalid, "token_algorithm").await;
    refused(&world, &idp.mint(claims().claim("pad", "x".repeat(32 * 1024))), invalid, "token_oversized")
        .await;

    // A changed signature, and changed claims.
    let valid = idp.mint(claims());
    let (body, signature) = valid.rsplit_once('.').unwrap();
    let flipped: String = signature.chars().rev().collect();
    refused(&world, &format!("{body}.{flipped}"), invalid, "token_signature").await;
    let other = idp.mint(claims().claim("email", "ceo@acme.org"));
    let (other_body, _) = other.rsplit_once('.').unwrap();
    refused(&world, &format!("{other_body}.{signature}"), invalid, "token_signature").await;

    assert_eq!(idp.evil_fetches(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_header_without_a_token_counts_as_none() {
    let world = World::start().await;
    for value in
        ["Basic YTpi", "Bearer not-a-token", "AWS4-HMAC-SHA256 Credential=AKIA/x", "Bearer", "Bearer a.b"]
    {
        let request = Request::post(CONVERSE).header("authorization", value).body(HELLO.into()).unwrap();
        let answer = world.send(request).await;
        assert_eq!(
            (answer.status.as_u16(), answer.kind()),
            (401, "MissingAuthenticationTokenException"),
            "{value}"
        );
    }
    let answer = world.send(Request::post(CONVERSE).body(HELLO.into()).unwrap()).await;
    assert_eq!((answer.status.as_u16(), answer.kind()), (401, "MissingAuthenticationTokenException"));
    for line in 1..=6 {
        assert_eq!(world.logged(line).await["reason"], "token_missing");
    }
    world.assert_untouched();
}

#[tokio::test(flavor = "multi_thread")]
async fn two_different_tokens_and_duplicate_headers_are_refused() {
    let world = World::start().await;
    let (alice, bob) = (world.token("alice"), world.token("bob"));
    let both = |first: &str, second: &str| {
        Request::post(CONVERSE)
            .header("authorization", format!("Bearer {first}"))
            .header("x-api-key", second)
            .body(HELLO.into())
            .unwrap()
    };
    let answer = world.send(both(&alice, &bob)).await;
    assert_eq!((answer.status.as_u16(), answer.kind()), (401, "UnrecognizedClientException"));
    assert_eq!(world.logged(1).await["reason"], "tokens_differ");
    assert_is_a_case(&answer, "tokens_differ");
    let twice = Request::post(CONVERSE)
        .header("authorization", format!("Bearer {alice}"))
        .header("authorization", format!("Bearer {alice}"))
        .body(HELLO.into())
        .unwrap();
    let answer = world.send(twice).await;
    assert_eq!((answer.status.as_u16(), answer.kind()), (401, "UnrecognizedClientException"));
    assert_eq!(world.logged(2).await["reason"], "token_header_repeated");
    assert_is_a_case(&answer, "token_header_repeated");
    world.assert_untouched();

    let answer = world.send(both(&alice, &alice)).await;
    assert_eq!(answer.status, 200, "the same token twice is one token");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_of_three_headers_carries_the_token() {
    let world = World::start().await;
    let alice = world.token("alice");
    for (name, value) in [
        ("authorization", format!("bEARER {alice}")),
        ("x-api-key", alice.clone()),
        ("x-amz-security-token", alice.clone()),
    ] {
        let request = Request::post(CONVERSE).header(name, value).body(HELLO.into()).unwrap();
        assert_eq!(world.send(request).await.status, 200, "{name}");
    }
    assert_eq!(world.standin.sts.calls().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_nearly_32_kib_is_accepted_twice_on_both_protocols() {
    let world = World::start().await;
    let token = world.mint(World::claims("alice").claim("groups", "g".repeat(23_000)));
    assert!((30 * 1024..=32 * 1024).contains(&token.len()), "{}", token.len());
    let request = || {
        Request::post(CONVERSE)
            .header("authorization", format!("Bearer {token}"))
            .header("x-api-key", token.as_str())
            .body(HELLO.into())
            .unwrap()
    };
    assert_eq!(world.send(request()).await.status, 200);
    assert_eq!(read(world.open_h2c(request()).await).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_of_every_algorithm_that_an_issuer_allows_are_accepted() {
    let setup = Setup {
        issuer: r#"algorithms = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"]"#,
        ..Setup::default()
    };
    let world = World::with(&setup).await;
    for algorithm in [
        Algorithm::RS256,
        Algorithm::RS384,
        Algorithm::RS512,
        Algorithm::PS256,
        Algorithm::PS384,
        Algorithm::PS512,
        Algorithm::ES256,
        Algorithm::ES384,
        Algorithm::EdDSA,
    ] {
        let token = world.mint(World::claims("alice").algorithm(algorithm));
        assert_eq!(world.send(post(CONVERSE, &token, HELLO)).await.status, 200, "{algorithm:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_rotate_without_a_refused_caller_and_old_tokens_are_rejected() {
    let world = World::start().await;
    let old = world.token("alice");
    assert_eq!(world.send(post(CONVERSE, &old, HELLO)).await.status, 200);
    world.standin.idp.rotate();
    let new = world.token("alice");
    assert_eq!(world.send(post(CONVERSE, &new, HELLO)).await.status, 200, "an unknown kid fetches the set");
    let answer = world.send(post(CONVERSE, &old, HELLO)).await;
    assert_eq!(
        (answer.status.as_u16(), answer.kind()),
        (401, "UnrecognizedClientException"),
        "the cached token is no longer accepted"
    );

    // The cool-down: a second unknown kid does not fetch again.
    let fetches = world.standin.idp.jwks_fetches();
    world.standin.idp.rotate();
    let newer = world.token("alice");
    let answer: Answer = world.send(post(CONVERSE, &newer, HELLO)).await;
    assert_eq!(answer.status, 401);
    assert_eq!(world.standin.idp.jwks_fetches(), fetches);
    assert_eq!(world.send(post(CONVERSE, &new, HELLO)).await.status, 200, "a known key stays accepted");
}

/// Some identity providers publish keys without an id, and some give a new key the id of the old one.
#[tokio::test(flavor = "multi_thread")]
async fn keys_without_an_id_rotate_too() {
    let world = World::start().await;
    let old = world.mint(World::claims("alice").without_kid());
    assert_eq!(world.send(post(CONVERSE, &old, HELLO)).await.status, 200);
    world.standin.idp.rotate();
    let new = world.mint(World::claims("alice").without_kid());
    assert_eq!(world.send(post(CONVERSE, &new, HELLO)).await.status, 200);
    assert_eq!(world.send(post(CONVERSE, &old, HELLO)).await.status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn few_tokens_with_made_up_keys_wait_and_known_callers_do_not_wait() {
    let world = std::sync::Arc::new(World::start().await);
    let alice = world.token("alice");
    assert_eq!(world.send(post(CONVERSE, &alice, HELLO)).await.status, 200);
    world.standin.idp.jwks_faults().always(DocumentFault::Hang);
    let mut strangers = tokio::task::JoinSet::new();
    for n in 0..300 {
        let token = world.mint(World::claims("eve").header("kid", format!("made-up-{n}")));
        let world = std::sync::Arc::clone(&world);
        strangers.spawn(async move { world.send(post(CONVERSE, &token, HELLO)).await.status.as_u16() });
    }
    let mut statuses = Vec::new();
    while statuses.len() < 44 {
        statuses.push(strangers.join_next().await.unwrap().unwrap());
    }
    assert_eq!(statuses, [503; 44], "256 wait, and the others get 503 at once");
    assert_eq!(strangers.len(), 256);
    assert_eq!(world.send(post(CONVERSE, &alice, HELLO)).await.status, 200);
    let bob = world.token("bob");
    assert_eq!(
        world.send(post(CONVERSE, &bob, HELLO)).await.status,
        200,
        "a token with a known key does not wait"
    );
    while let Some(status) = strangers.join_next().await {
        assert_eq!(status.unwrap(), 401);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_are_served_while_the_identity_provider_is_down() {
    let world = World::start().await;
    let alice = world.token("alice");
    assert_eq!(world.send(post(CONVERSE, &alice, HELLO)).await.status, 200);
    world.standin.idp.server().stop().await;
    let bob = world.token("bob");
    assert_eq!(world.send(post(CONVERSE, &bob, HELLO)).await.status, 200, "the earlier keys are kept");
    let stranger = world.mint(World::claims("eve").kid("unknown-kid").header("kid", "unknown-kid"));
    assert_eq!(world.send(post(CONVERSE, &stranger, HELLO)).await.status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_hostile_token_is_accepted() {
    let world = World::start().await;
    for hostile in Hostile::ALL {
        let token = world.standin.idp.mint_hostile(hostile, World::claims("alice"));
        world.secret(&token);
        let answer = world.send(post(CONVERSE, &token, HELLO)).await;
        let expected =
            if hostile == Hostile::Expired { "ExpiredTokenException" } else { "UnrecognizedClientException" };
        assert_eq!((answer.status.as_u16(), answer.kind()), (401, expected), "{hostile:?}");
    }
    world.assert_untouched();
    assert_eq!(world.standin.idp.evil_fetches(), 0);
    let valid = world.token("alice");
    assert_eq!(world.send(post(CONVERSE, &valid, HELLO)).await.status, 200);
}

/// The faults that an issuer's documents may have. No token is accepted because of them.
#[tokio::test(flavor = "multi_thread")]
async fn documents_that_are_late_large_redirected_or_of_another_issuer_are_rejected() {
    for fault in [
        DocumentFault::Status(503),
        DocumentFault::Redirect,
        DocumentFault::Oversized,
        DocumentFault::Malformed,
        DocumentFault::Reset,
    ] {
        for discovery in [true, false] {
            let standin = bedrock_standin::Standin::start(bedrock_standin::Options::default());
            let faults = if discovery { standin.idp.discovery_faults() } else { standin.idp.jwks_faults() };
            faults.always(fault.clone());
            let world = World::before(standin, &Setup::default()).await;
            let token = world.token("alice");
            let answer = world.send(post(CONVERSE, &token, HELLO)).await;
            assert_eq!(
                (answer.status.as_u16(), answer.kind()),
                (503, "ServiceUnavailableException"),
                "{fault:?}"
            );
            assert_eq!(world.logged(1).await["reason"], "keys_unavailable");
            assert_is_a_case(&answer, "keys_unavailable");
            world.assert_untouched();
            assert_eq!(world.standin.idp.redirects_followed(), 0);
        }
    }
    let standin = bedrock_standin::Standin::start(bedrock_standin::Options::default());
    standin.idp.set_discovered_issuer(Some("https://evil.example"));
    let world = World::before(standin, &Setup::default()).await;
    assert_eq!(world.send(post(CONVERSE, &world.token("alice"), HELLO)).await.status, 503);
    for uri in ["http://evil.example/jwks", "https://169.254.169.254/latest", "file:///etc/passwd"] {
        let standin = bedrock_standin::Standin::start(bedrock_standin::Options::default());
        standin.idp.set_discovered_jwks_uri(Some(uri));
        let world = World::before(standin, &Setup::default()).await;
        assert_eq!(world.send(post(CONVERSE, &world.token("alice"), HELLO)).await.status, 503, "{uri}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cool_down_holds_after_a_failure_too() {
    let world = World::start().await;
    assert_eq!(world.send(post(CONVERSE, &world.token("alice"), HELLO)).await.status, 200);
    world.standin.idp.jwks_faults().always(DocumentFault::Status(500));
    let before = world.standin.idp.jwks_fetches();
    for n in 0..10 {
        let token = world.mint(World::claims("eve").header("kid", format!("made-up-{n}")));
        assert_eq!(world.send(post(CONVERSE, &token, HELLO)).await.status, 401);
    }
    assert_eq!(world.standin.idp.jwks_fetches(), before + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn several_issuers_by_url_and_by_file() {
    let second = bedrock_standin::idp::Idp::start(None);
    let third = bedrock_standin::idp::Idp::start(None);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), third.jwks().to_string()).unwrap();
    let mapping = format!(
        r#"
[issuer.session]
name = "issuer.name + '=' + claims.sub"
[[issuer]]
name = "second"
url = "{}"
jwks_url = "{}"
audiences = ["bedrock-gateway"]
[issuer.session]
name = "issuer.name + '=' + claims.sub"
[[issuer]]
name = "third"
url = "{}"
jwks_file = "{}"
audiences = ["bedrock-gateway"]
[issuer.session]
name = "issuer.name + '=' + claims.sub"
"#,
        second.issuer(),
        second.jwks_url(),
        third.issuer(),
        file.path().display(),
    );
    let roles = r#"
[[role]]
issuers = ["acme", "second"]
arn = "arn:aws:iam::123456789012:role/BedrockUser"
[[role]]
issuers = ["third"]
arn = "arn:aws:iam::210987654321:role/BedrockOther"
"#;
    let setup = Setup { mapping: &mapping, roles, ..Setup::default() };
    let world = World::with(&setup).await;
    let tokens = [
        world.token("alice"),
        second.mint(bedrock_standin::idp::Claims::of("alice")),
        third.mint(bedrock_standin::idp::Claims::of("alice")),
    ];
    for token in &tokens {
        world.secret(token);
        assert_eq!(world.send(post(CONVERSE, token, HELLO)).await.status, 200);
    }
    // A key of one issuer does not verify tokens of another.
    let forged = second.mint(bedrock_standin::idp::Claims::of("alice").issuer(&third.issuer()));
    assert_eq!(world.send(post(CONVERSE, &forged, HELLO)).await.status, 401);
    let principals: Vec<String> = world.standin.bill.calls().into_iter().map(|call| call.principal).collect();
    assert_eq!(
        principals,
        [
            "arn:aws:sts::123456789012:assumed-role/BedrockUser/acme=alice",
            "arn:aws:sts::123456789012:assumed-role/BedrockUser/second=alice",
            "arn:aws:sts::210987654321:assumed-role/BedrockOther/third=alice",
        ]
    );
}
