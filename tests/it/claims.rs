//! From claims to principal over real sockets: for any claim the bill names one caller, or the gateway refuses the call
//! and sends nothing.

use std::sync::Arc;

use bedrock_standin::bill::Call;
use bedrock_standin::idp::{Claims, Idp};
use http::Request;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::world::{Answer, CONVERSE, HELLO, Setup, World, post};

/// The session name and team of the last call that reached Bedrock.
fn billed(world: &World) -> (String, String) {
    let call = world.standin.bill.calls().pop().unwrap();
    let team = call.tags.get("team").cloned().unwrap_or_default();
    (name(&call), team)
}

fn name(call: &Call) -> String {
    call.principal.rsplit_once('/').unwrap().1.to_owned()
}

async fn with_email(world: &World, email: Option<Value>) -> Answer {
    let claims = match email {
        Some(email) => World::claims("alice").claim("email", email),
        None => World::claims("alice").without("email"),
    };
    world.send(post(CONVERSE, &world.mint(claims), HELLO)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_is_not_a_string_is_refused() {
    let world = World::start().await;
    for (email, reason) in [
        (None, "value_missing"),
        (Some(json!(null)), "value_missing"),
        (Some(json!("")), "value_missing"),
        (Some(json!(["alice@acme.org"])), "value_invalid"),
        (Some(json!({ "value": "alice@acme.org" })), "value_invalid"),
        (Some(json!(123)), "value_invalid"),
        (Some(json!(1.5)), "value_invalid"),
        (Some(json!(true)), "value_invalid"),
    ] {
        let lines = world.log.lines().len();
        let answer = with_email(&world, email.clone()).await;
        assert_eq!((answer.status.as_u16(), answer.kind()), (403, "AccessDeniedException"), "{email:?}");
        assert_eq!(world.logged(lines + 1).await["reason"], reason, "{email:?}");
    }
    let many = World::claims("alice").claim("groups", vec!["g"; 2_000]);
    let answer = world.send(post(CONVERSE, &world.mint(many), HELLO)).await;
    assert_eq!(answer.status, 403);
    assert_eq!(world.logged(9).await["reason"], "claims_too_large");
    world.assert_untouched();
    let number = world.mint(World::claims("alice").claim("email", 123));
    assert_eq!(world.send(post(CONVERSE, &number, HELLO)).await.status, 403);
    let detail = world.logged(10).await["detail"].clone();
    assert_eq!(
        detail,
        "the value of name is a number, not a string; convert it, for example string(claims.uid)"
    );
    let string = with_email(&world, Some(json!("123"))).await;
    assert_eq!((string.status.as_u16(), billed(&world).0), (200, "123".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_texts_become_legal_and_unique_names() {
    let world = World::start().await;
    let mut seen = std::collections::BTreeSet::new();
    for email in [
        "a".repeat(10_000),
        format!("{}b", "a".repeat(9_999)),
        "alice\n@acme.org".to_owned(),
        "alice@acme.org\r\nX-Amz-Date: 1".to_owned(),
        "alice🦀@acme.org".to_owned(),
        "alice@acme.org ".to_owned(),
        "Åsa@acme.org".to_owned(),
        "a".to_owned(),
        "../../bob@acme.org".to_owned(),
        "alice@acme.org".to_owned(),
        "alice%40acme.org".to_owned(),
    ] {
        let answer = with_email(&world, Some(json!(email))).await;
        assert_eq!(answer.status, 200, "{email:?}");
        let (name, _) = billed(&world);
        assert!((2..=64).contains(&name.len()), "{name}");
        assert!(
            name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_+=,.@-".contains(&byte)),
            "{name}"
        );
        assert!(seen.insert(name.clone()), "{email:?} has the name of another caller: {name}");
        // A caller whose claim equals a replaced name gets another name.
        if name != email {
            let answer = with_email(&world, Some(json!(name))).await;
            assert_eq!(answer.status, 200);
            assert_ne!(billed(&world).0, name);
        }
    }
    assert_eq!(world.standin.sts.refusals(), []);
}

/// The name of one issuer is a prefix of the other's, and subjects are chosen so that the names nearly collide.
#[tokio::test(flavor = "multi_thread")]
async fn callers_of_two_issuers_never_share_a_name() {
    let second = Idp::start(None);
    let mapping = format!(
        r#"
[issuer.session]
name = "issuer.name + '=' + claims.sub"
[[issuer]]
name = "acme-eu"
url = "{}"
jwks_url = "{}"
audiences = ["bedrock-gateway"]
[issuer.session]
name = "issuer.name + '=' + claims.sub"
"#,
        second.issuer(),
        second.jwks_url(),
    );
    let roles = r#"
[[role]]
issuers = ["acme", "acme-eu"]
arn = "arn:aws:iam::123456789012:role/BedrockUser"
"#;
    let world = World::with(&Setup { mapping: mapping.leak(), roles, ..Setup::default() }).await;
    let pairs = [("eu-alice", "alice"), ("-eu=alice", "alice"), ("eu=bob", "bob"), ("acme-eu", "acme")];
    for (first, other) in pairs {
        let before = world.standin.bill.calls().len();
        for token in [world.mint(Claims::of(first)), second.mint(Claims::of(other))] {
            world.secret(&token);
            assert_eq!(world.send(post(CONVERSE, &token, HELLO)).await.status, 200);
        }
        let names: Vec<String> = world.standin.bill.calls().iter().skip(before).map(name).collect();
        assert_eq!(names, [format!("acme={first}"), format!("acme-eu={other}")]);
    }
    // The subject alice appears twice.
    assert_eq!(world.standin.sts.calls().len(), 7);
}

/// JSON numbers beyond 64 bits become an `f64`, and as such the first two are equal.
#[tokio::test(flavor = "multi_thread")]
async fn a_number_that_is_not_a_64_bit_integer_never_becomes_a_name_or_tag() {
    let mapping = r#"
[issuer.session]
name = "string(claims.uid)"
[issuer.session.tags]
team = "claims.team"
"#;
    let world = World::with(&Setup { mapping, ..Setup::default() }).await;
    for (uid, team) in [
        ("100000000000000000001", "\"search\""),
        ("100000000000000000002", "\"search\""),
        ("7.5", "\"search\""),
        ("7", "1.5"),
        ("7", "18446744073709551616"),
    ] {
        let claims = World::claims("alice").written("uid", uid).written("team", team);
        let lines = world.log.lines().len();
        let answer = world.send(post(CONVERSE, &world.mint(claims), HELLO)).await;
        assert_eq!((answer.status.as_u16(), answer.kind()), (403, "AccessDeniedException"), "{uid} {team}");
        let line = world.logged(lines + 1).await;
        assert_eq!(line["reason"], "evaluation_failed", "{uid} {team}");
        assert!(line["detail"].as_str().unwrap().contains("64-bit integer"), "{line}");
    }
    world.assert_untouched();
    for uid in ["9007199254740992", "9007199254740993"] {
        let claims = World::claims("alice").written("uid", uid).written("team", "1");
        assert_eq!(world.send(post(CONVERSE, &world.mint(claims), HELLO)).await.status, 200);
        assert_eq!(billed(&world), (uid.to_owned(), "1".to_owned()));
    }
}

const PROJECTS: &str = r#"
[issuer.session]
name = "claims.email"
[issuer.session.tags]
team = "claims.team"
project = "request.headers['x-project'] in claims.projects ? request.headers['x-project'] : null"
"#;

fn naming_project(token: &str, projects: &[&str]) -> Request<http_body_util::Full<bytes::Bytes>> {
    let mut request = post(CONVERSE, token, HELLO);
    for project in projects {
        request.headers_mut().append("x-project", project.parse().unwrap());
    }
    request
}

/// All calls have the same token. A header chooses a project that the claims allow, and each call is billed to its own
/// choice.
#[tokio::test(flavor = "multi_thread")]
async fn alternating_values_of_a_listed_header_are_never_mixed_up() {
    let mapping = "request_headers = [\"x-project\"]\n[issuer.session]\nname = \"claims.email + '+' + request.headers['x-project']\"\n\
                   [issuer.session.tags]\nproject = \"request.headers['x-project'] in claims.projects ? request.headers['x-project'] : null\"";
    let setup = Setup { mapping, ..Setup::default() };
    let world = Arc::new(World::with(&setup).await);
    let token = world.mint(World::claims("alice").claim("projects", vec!["apollo", "gemini"]));
    let mut calls = JoinSet::new();
    for n in 0..200 {
        let (world, token) = (Arc::clone(&world), token.clone());
        calls.spawn(async move {
            let project = if n % 2 == 0 { "apollo" } else { "gemini" };
            let mut request = naming_project(&token, &[project]);
            let body = HELLO.replace("hello", &format!("for {project}"));
            *request.body_mut() = body.into();
            assert_eq!(world.send(request).await.status, 200);
        });
    }
    calls.join_all().await;
    let billed = world.standin.bill.calls();
    assert_eq!(billed.len(), 200);
    for call in billed {
        let asked = String::from_utf8_lossy(&call.body).contains("for apollo");
        let project = if asked { "apollo" } else { "gemini" };
        assert_eq!(call.tags["project"], project);
        assert!(call.principal.ends_with(&format!("/alice@acme.org+{project}")), "{}", call.principal);
    }
    assert_eq!(world.standin.sts.calls().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listed_header_that_is_forbidden_missing_or_repeated_is_refused() {
    let setup = Setup { issuer: "request_headers = [\"x-project\"]", mapping: PROJECTS, ..Setup::default() };
    let world = World::with(&setup).await;
    let token = world.mint(World::claims("alice").claim("projects", vec!["apollo"]));
    for (projects, reason) in [
        (&["gemini"][..], "value_missing"),
        (&[], "value_missing"),
        (&["apollo", "apollo"], "request_header_repeated"),
        (&["apollo,gemini"], "value_missing"),
    ] {
        let lines = world.log.lines().len();
        let answer = world.send(naming_project(&token, projects)).await;
        assert_eq!((answer.status.as_u16(), answer.kind()), (403, "AccessDeniedException"), "{projects:?}");
        assert_eq!(world.logged(lines + 1).await["reason"], reason, "{projects:?}");
    }
    world.assert_untouched();
    assert_eq!(world.send(naming_project(&token, &["apollo"])).await.status, 200);
}

/// Headers that are not listed, queries and bodies do not change the principal or the tags.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_else_changes_the_attribution() {
    let world = World::start().await;
    let token = world.token("alice");
    let path = format!("{CONVERSE}?RoleSessionName=bob&team=ads");
    let body = HELLO.replacen('{', r#"{"requestMetadata":{"team":"ads","user":"bob"},"#, 1);
    let mut request = post(&path, &token, body);
    for (name, value) in [
        ("x-project", "ads"),
        ("x-amzn-oidc-identity", "bob"),
        ("x-forwarded-user", "bob@acme.org"),
        ("x-amz-tags", "team=ads"),
        ("x-amz-source-identity", "bob"),
        ("team", "ads"),
        ("cookie", "user=bob"),
    ] {
        request.headers_mut().insert(name, value.parse().unwrap());
    }
    assert_eq!(world.send(request).await.status, 200);
    assert_eq!(billed(&world), ("alice@acme.org".to_owned(), "search".to_owned()));
}

const NARROW_FIRST: &str = r#"
[[role]]
when = "claims.level > 3"
arn = "arn:aws:iam::123456789012:role/BedrockUser"
models = ["amazon.nova-lite-v1:0"]
[[role]]
arn = "arn:aws:iam::210987654321:role/BedrockMl"
"#;

#[tokio::test(flavor = "multi_thread")]
async fn neither_an_error_nor_a_refusal_leads_to_a_wider_role() {
    let world = World::with(&Setup { roles: NARROW_FIRST, ..Setup::default() }).await;
    for level in [json!("7"), json!([7]), json!({ "n": 7 }), json!(true)] {
        let token = world.mint(World::claims("alice").claim("level", level.clone()));
        let lines = world.log.lines().len();
        let answer = world.send(post(CONVERSE, &token, HELLO)).await;
        assert_eq!(answer.status, 403, "{level}");
        assert_eq!(world.logged(lines + 1).await["reason"], "evaluation_failed", "{level}");
    }
    // The narrow role forbids this model, and the gateway does not try the wider one after it.
    let token = world.mint(World::claims("alice").claim("level", 7));
    let answer = world.send(post(CONVERSE, &token, HELLO)).await;
    assert_eq!(answer.status, 403);
    assert_eq!(world.logged(5).await["reason"], "model_forbidden");
    world.assert_untouched();
    // A missing level does not match the first rule; a level of three does not either.
    for claims in [World::claims("bob"), World::claims("bob").claim("level", 3)] {
        let token = world.mint(claims);
        assert_eq!(world.send(post(CONVERSE, &token, HELLO)).await.status, 200);
        let call = world.standin.bill.calls().pop().unwrap();
        assert!(call.principal.contains("assumed-role/BedrockMl/"), "{}", call.principal);
    }
}
