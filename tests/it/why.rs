//! A refusal can be traced: the caller sees the operator's advice, the log has what decided, and `why` finds the
//! request by the id that the caller saw.

use bedrock_bed::{ANY_PORT, Addresses, until};
use bedrock_standin::bedrock::Fault;
use http::StatusCode;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::listeners::get;
use crate::process;
use crate::reload::replace;
use crate::world::{Answer, CONVERSE, HELLO, Setup, World, parrot, post};

const MAPPING: &str = "\
[[issuer.require]]
expression = \"claims.kind != 'contractor'\"
message = \"contractors have no Bedrock\"
tell = \"Ask your manager for an account.\"

[issuer.session]
name = \"claims.email\"
[issuer.session.tags]
team = \"claims.team\"
";

const ROLES: &str = "\
[[role]]
when = \"'ml' in claims.groups\"
arn = \"arn:aws:iam::123456789012:role/BedrockMl\"
models = [\"*amazon.nova-*\"]
tell = \"Ask in #ml-platform.\"

[[role]]
when = \"'users' in claims.groups\"
arn = \"arn:aws:iam::123456789012:role/BedrockUser\"

[no_role]
tell = \"Ask for the group bedrock-users at https://go.acme.example/ai.\"
";

fn setup() -> Setup<'static> {
    Setup { mapping: MAPPING, roles: ROLES, ..Setup::default() }
}

impl World {
    /// A token of alice, who is of this kind and in these groups.
    fn token_of(&self, kind: Option<&str>, groups: &[&str]) -> String {
        let claims = Self::claims("alice").claim("groups", json!(groups));
        self.mint(match kind {
            Some(kind) => claims.claim("kind", kind),
            None => claims,
        })
    }

    /// The page of a request, when its record is written.
    async fn traced(&self, id: &str) -> Value {
        let admin = self.gateway.addresses().admin.unwrap();
        let path = format!("/requests/{id}");
        let answer = until("the record", async || {
            let answer = get(admin, &path).await;
            (answer.status == StatusCode::OK).then_some(answer)
        });
        answer.await.json()
    }

    fn admin(&self) -> String {
        format!("http://{}", self.gateway.addresses().admin.unwrap())
    }
}

/// The message in a refusal of any dialect, and the request id at its end.
fn message(answer: &Answer) -> (String, String) {
    let body = answer.json();
    let message = body["message"].as_str().or_else(|| body["error"]["message"].as_str()).unwrap();
    let (message, id) = message.split_once(" Request id: ").unwrap();
    (message.to_owned(), id.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operators_advice_reaches_the_caller_and_the_log_has_what_decided() {
    let world = World::with(&setup()).await;
    let body = json!({ "model": "anthropic.claude-sonnet-4-6-v1:0", "messages": [] }).to_string();
    for (path, body) in
        [(CONVERSE, HELLO), ("/openai/v1/chat/completions", &*body), ("/anthropic/v1/messages", &*body)]
    {
        for (kind, groups, advice, reason, claims, detail) in [
            (
                Some("contractor"),
                &["users"][..],
                "your token does not meet a requirement. Ask your manager for an account.",
                "requirement_failed",
                json!({ "kind": "contractor" }),
                "require[0] is not met: contractors have no Bedrock",
            ),
            (
                None,
                &["users"],
                "your token lacks a claim that a requirement reads. Contact the gateway's operator.",
                "requirement_failed",
                Value::Null,
                "require[0] is not met: contractors have no Bedrock; claim `kind` is missing",
            ),
            (
                Some("employee"),
                &["sales"],
                "no role matches your token. Ask for the group bedrock-users at https://go.acme.example/ai.",
                "no_role",
                json!({ "groups": "[\"sales\"]" }),
                "no role matches: no `when` is true for these claims; the role rules read `groups`",
            ),
            (
                Some("employee"),
                &["ml"],
                "your role does not allow this model. Ask in #ml-platform.",
                "model_forbidden",
                Value::Null,
                "role[0] (arn:aws:iam::123456789012:role/BedrockMl) allows the models *amazon.nova-*",
            ),
        ] {
            let answer = world.send(post(path, &world.token_of(kind, groups), body.to_owned())).await;
            assert_eq!(answer.status, 403, "{path}");
            let (message, id) = message(&answer);
            assert_eq!(message, format!("Access denied: {advice}"), "{path}");
            let line = &world.traced(&id).await["request"];
            let seen = (&line["reason"], &line["claims"], &line["detail"]);
            assert_eq!(seen, (&json!(reason), &claims, &json!(detail)), "{path}");
        }
    }
    world.assert_untouched();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_message_of_bedrocks_refusal_is_in_the_log_and_its_bytes_are_unchanged() {
    let world = World::start().await;
    let token = world.token("alice");
    world
        .standin
        .bedrock
        .faults()
        .next(1, Fault::Error(400, "ValidationException", "max_tokens is too large"));
    let answer = world.send(post(CONVERSE, &token, HELLO)).await;
    assert_eq!(answer.body, r#"{"message":"max_tokens is too large"}"#);
    assert_eq!(world.logged(1).await["upstream_message"], "max_tokens is too large");
    // An answer that is no error has none, whatever it contains.
    assert_eq!(world.send(post(CONVERSE, &token, r#"{"messages":[],"message":"x"}"#)).await.status, 200);
    assert!(world.logged(2).await.get("upstream_message").is_none());
    log_no_messages(&world).await;
    world.standin.bedrock.faults().next(1, Fault::Deny);
    let answer = world.send(post(CONVERSE, &token, HELLO)).await;
    assert!(answer.json()["message"].is_string());
    let line = world.logged(3).await;
    assert_eq!((&line["reason"], line.get("upstream_message")), (&json!("upstream_error"), None));
}

/// Sets `upstream_messages` to false in the configuration, and waits until it is the active one.
async fn log_no_messages(world: &World) {
    let file = world.folder().join("gateway.toml");
    let text = std::fs::read_to_string(&file).unwrap() + "\n[log]\nupstream_messages = false\n";
    replace(&file, &text);
    until("the reload", async || world.has_metric("bedrock_gateway_config_generation 2").await).await;
}

/// Bedrock gets the request under the first configuration, and answers it under the second.
#[tokio::test(flavor = "multi_thread")]
async fn a_reload_does_not_change_what_the_log_has_of_a_request_in_flight() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let bedrock = format!("http://{}", listener.local_addr().unwrap());
    let world = World::with(&Setup { bedrock: Some(&bedrock), ..Setup::default() }).await;
    let refusing = async {
        // The gateway also tries at the start whether it can connect, and sends nothing then.
        let mut stream = loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            if stream.read(&mut [0; 16 * 1024]).await.unwrap() > 0 {
                break stream;
            }
        };
        log_no_messages(&world).await;
        let answer = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 23\r\n\r\n{\"message\":\"too large\"}";
        stream.write_all(answer).await.unwrap();
    };
    let token = world.token("alice");
    let (answer, ()) = tokio::join!(world.send(post(CONVERSE, &token, HELLO)), refusing);
    assert_eq!(answer.body, r#"{"message":"too large"}"#);
    assert_eq!(world.logged(1).await["upstream_message"], "too large");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_of_the_openai_and_anthropic_paths_is_in_the_log() {
    let answer = "HTTP/1.1 404 Not Found\r\ncontent-type: application/json\r\ncontent-length: 59\r\n\r\n\
                  {\"error\":{\"type\":\"not_found_error\",\"message\":\"no model x\"}}";
    let bedrock = parrot(answer).await;
    let world = World::with(&Setup { bedrock: Some(&bedrock), ..Setup::default() }).await;
    let body = json!({ "model": "x", "messages": [] }).to_string();
    let answer = world.send(post("/openai/v1/chat/completions", &world.token("alice"), body)).await;
    assert_eq!(answer.body, r#"{"error":{"type":"not_found_error","message":"no model x"}}"#);
    assert_eq!(world.logged(1).await["upstream_message"], "no model x");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_found_by_either_id_with_the_steps_of_the_mapping() {
    let world = World::with(&setup()).await;
    let answer = world.send(post(CONVERSE, &world.token_of(Some("employee"), &["users"]), HELLO)).await;
    assert_eq!(answer.status, 200);
    let header = |name: &str| answer.headers[name].to_str().unwrap().to_owned();
    let (own, aws) = (header("x-gateway-request-id"), header("x-amzn-requestid"));
    let story = world.traced(&own).await;
    assert_eq!(world.traced(&aws).await, story);
    assert_eq!(world.traced(&own[..8]).await, story);
    let line: Value = world.logged(1).await;
    assert_eq!(story["request"], line);
    assert_eq!(story["requirements"][0]["outcome"], "met");
    let outcomes: Vec<_> = story["roles"].as_array().unwrap().iter().map(|role| &role["outcome"]).collect();
    assert_eq!(outcomes, ["does_not_match", "matches"]);
    let admin = world.gateway.addresses().admin.unwrap();
    for (path, status, words) in [
        ("/requests/00000000-0000", 404, "it has the last 10000 requests at most, since 20"),
        ("/requests/0000", 400, "at least its first 8 characters"),
    ] {
        let answer = get(admin, path).await;
        let message = answer.json()["message"].as_str().unwrap().to_owned();
        assert!(answer.status.as_u16() == status && message.contains(words), "{path}: {message}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_by_a_missing_value_names_the_role_that_had_matched() {
    let world = World::with(&setup()).await;
    let claims = World::claims("alice").claim("groups", json!(["users"])).claim("kind", "employee");
    let answer = world.send(post(CONVERSE, &world.mint(claims.without("email")), HELLO)).await;
    let (_, id) = message(&answer);
    let story = world.traced(&id.to_uppercase()).await;
    assert_eq!(
        (&story["request"]["reason"], &story["request"]["role_rule"]),
        (&json!("value_missing"), &json!(1))
    );
    let outcomes: Vec<_> = story["roles"].as_array().unwrap().iter().map(|role| &role["outcome"]).collect();
    assert_eq!(outcomes, ["does_not_match", "matches"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_of_a_request_needs_the_admin_token() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("admin-token");
    std::fs::write(&file, "secret-of-the-admin-port\n").unwrap();
    let listen = format!("admin_token_file = \"{}\"", file.display());
    let world = World::with(&Setup { listen: &listen, ..Setup::default() }).await;
    world.send(post(CONVERSE, &world.token("alice"), HELLO)).await;
    let id = world.logged(1).await["request_id"].as_str().unwrap().to_owned();
    let answer = get(world.gateway.addresses().admin.unwrap(), &format!("/requests/{id}")).await;
    assert_eq!(answer.status, 401);
    assert!(!String::from_utf8_lossy(&answer.body).contains("alice"));
    let file = file.to_str().unwrap();
    let why = process::run(&["why", &id, "--admin", &world.admin(), "--token-file", file], "");
    assert!(why.code == Some(0) && why.out.contains("alice@acme.org"), "{} {}", why.out, why.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn why_writes_the_story_from_a_replica_and_from_the_log() {
    let world = World::with(&setup()).await;
    let answer = world.send(post(CONVERSE, &world.token_of(Some("employee"), &["sales"]), HELLO)).await;
    let (shown, id) = message(&answer);
    world.traced(&id).await;
    let nowhere = format!("http://{}", std::net::SocketAddr::from(([127, 0, 0, 1], 9)));
    let why = process::run(
        &["why", &format!("{shown} Request id: {id}"), "--admin", &nowhere, "--admin", &world.admin()],
        "",
    );
    assert_eq!(why.code, Some(0), "{}", why.err);
    for words in [
        "Refused by the gateway: 403, no_role.",
        "Who       subject alice of issuer acme",
        "require[0] is met: claims.kind != 'contractor'",
        "role[0] does not match: 'ml' in claims.groups",
        "role[1] does not match: 'users' in claims.groups",
        "groups = [\"sales\"]",
        "issuer: add the caller to a group",
    ] {
        assert!(why.out.contains(words), "{words}: {}", why.out);
    }
    assert!(why.out.lines().all(|line| line.chars().count() <= 80), "{}", why.out);

    let json = process::run(&["why", &id, "--admin", &world.admin(), "--json"], "");
    let story: Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!(
        (&story["request"]["reason"], &story["remedy"]["who"]),
        (&json!("no_role"), &json!("issuer, operator"))
    );

    let log = world.log.lines().join("\n");
    let why = process::run(&["why", &id[..8], "--log", "-"], &log);
    assert!(
        why.code == Some(0) && why.out.contains("subject alice of issuer acme"),
        "{} {}",
        why.out,
        why.err
    );
    for (arguments, code, words) in [
        (&["why", "00000000", "--log", "-"][..], 1, "- has no request 00000000; it begins at 20"),
        (&["why", "00000000", "--admin", &world.admin()], 1, "this replica has no request 00000000"),
        (&["why", "0000", "--log", "-"], 2, "at least its first 8 characters"),
        (&["why", "00000000"], 2, "--log"),
        (&["why", "00000000", "--log", "/no/such/file"], 2, "/no/such/file cannot be read"),
    ] {
        let ended = process::run(arguments, &log);
        assert!(ended.code == Some(code) && ended.err.contains(words), "{arguments:?}: {}", ended.err);
    }
}

#[test]
fn explain_decides_a_call_with_the_words_of_the_gateway() {
    let folder = tempfile::tempdir().unwrap();
    let addresses = Addresses { http: Some(ANY_PORT), ..Addresses::default() };
    let config = folder.path().join("gateway.toml");
    std::fs::write(&config, Setup { addresses, ..setup() }.text()).unwrap();
    let claims = folder.path().join("claims.json");
    let of_ml = json!({
        "iss": "https://acme.example", "aud": "bedrock-gateway", "sub": "alice", "email": "alice@acme.org",
        "team": "search", "kind": "employee", "groups": ["ml"],
    });
    std::fs::write(&claims, of_ml.to_string()).unwrap();
    let (config, claims) = (config.to_str().unwrap(), claims.to_str().unwrap());
    let base = ["explain", "--config", config, "--claims", claims, "--issuer", "acme"];
    for (call, code, words) in [
        (&["--model", "amazon.nova-lite-v1:0", "--operation", "converse"][..], 0, "Accepted"),
        (&["--model", "anthropic.claude-sonnet-4-6-v1:0"], 1, "model_forbidden"),
        (&["--operation", "async-list"], 1, "operation_forbidden"),
        (&["--region", "us-west-2"], 0, "Accepted"),
        (&["--region", "eu-north-1"], 2, "the regions are us-east-1, us-west-2"),
        (&["--operation", "chat"], 2, "the operations are "),
    ] {
        let ended = process::run(&[&base[..], call].concat(), "");
        let all = format!("{}{}", ended.out, ended.err);
        assert!(ended.code == Some(code) && all.contains(words), "{call:?}: {all}");
    }
    let json = process::run(&[&base[..], &["--model", "m", "--json"]].concat(), "");
    let explained: Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!(explained["reason"], "model_forbidden");
    assert_eq!(
        explained["detail"],
        "role[0] (arn:aws:iam::123456789012:role/BedrockMl) allows the models *amazon.nova-*"
    );
}
