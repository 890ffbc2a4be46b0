//! Every operation on all three services, signed as its caller. Operations on state that the users of an account share
//! need a role rule that names them.

use bedrock_bed::until;
use bedrock_standin::bill::Service;
use http::Method;
use serde_json::{Value, json};

use crate::world::{Answer, Setup, World, post};

const GPT: &str = "openai.gpt-oss-120b-1:0";
const CLAUDE: &str = "us.anthropic.claude-sonnet-4-6-v1:0";

const ALL: &str = r#"
[[role]]
arn = "arn:aws:iam::123456789012:role/BedrockUser"
operations = [
  "invoke", "converse", "count-tokens", "guardrail", "openai-chat", "responses", "messages", "list-models",
  "mantle", "async-start", "async-get", "async-list", "responses-stored",
]
projects = ["proj_search"]
"#;

/// Sends a request with a bearer token.
async fn call(world: &World, token: &str, method: Method, path: &str, body: &Value) -> Answer {
    let text = if body.is_null() { String::new() } else { body.to_string() };
    let mut request = post(path, token, text);
    *request.method_mut() = method;
    request.headers_mut().insert("anthropic-version", "2023-06-01".parse().unwrap());
    world.send(request).await
}

fn chat(model: &str) -> Value {
    json!({ "model": model, "max_tokens": 50, "messages": [{ "role": "user", "content": "hello" }] })
}

fn job() -> Value {
    json!({
        "modelId": "amazon.nova-reel-v1:1",
        "modelInput": { "taskType": "TEXT_VIDEO" },
        "outputDataConfig": { "s3OutputDataConfig": { "s3Uri": "s3://acme/out/" } },
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn each_operation_is_signed_for_its_service_as_its_caller() {
    let world = World::with(&Setup { roles: ALL, ..Setup::default() }).await;
    let alice = world.token("alice");
    let (runtime, control, mantle) = (Service::Runtime, Service::Control, Service::Mantle);
    let converse = json!({ "messages": [{ "role": "user", "content": [{ "text": "hello" }] }] });
    let count = json!({ "input": { "converse": converse } });
    let guardrail = json!({ "source": "INPUT", "content": [{ "text": { "text": "hello" } }] });
    let respond = json!({ "model": GPT, "input": "hello" });
    let bare = "openai.gpt-oss-120b";
    for (service, method, path, body) in [
        (runtime, Method::POST, "/model/anthropic.claude-sonnet-4-6-v1%3A0/count-tokens", count),
        (runtime, Method::POST, "/guardrail/abcdefghijkl/version/1/apply", guardrail.clone()),
        (runtime, Method::POST, "/guardrail-checks/invoke", guardrail),
        (runtime, Method::POST, "/openai/v1/chat/completions", chat(GPT)),
        (runtime, Method::POST, "/openai/v1/responses", respond.clone()),
        (runtime, Method::POST, "/anthropic/v1/messages", chat(CLAUDE)),
        (runtime, Method::POST, "/async-invoke", job()),
        (runtime, Method::GET, "/async-invoke?maxResults=5", Value::Null),
        (control, Method::GET, "/foundation-models?byProvider=anthropic", Value::Null),
        (control, Method::GET, "/foundation-models/anthropic.claude-sonnet-4-6-v1%3A0", Value::Null),
        (
            control,
            Method::GET,
            "/foundation-model-availability/anthropic.claude-sonnet-4-6-v1%3A0",
            Value::Null,
        ),
        (control, Method::GET, "/inference-profiles?type=SYSTEM_DEFINED", Value::Null),
        (
            control,
            Method::GET,
            "/us-west-2/inference-profiles/us.anthropic.claude-sonnet-4-6-v1%3A0",
            Value::Null,
        ),
        (mantle, Method::POST, "/mantle/v1/chat/completions", chat(bare)),
        (mantle, Method::POST, "/mantle/openai/v1/chat/completions", chat(bare)),
        (mantle, Method::POST, "/mantle/v1/responses", json!({ "model": bare, "input": "hello" })),
        (
            mantle,
            Method::POST,
            "/us-west-2/mantle/openai/v1/responses",
            json!({ "model": bare, "input": "x" }),
        ),
        (mantle, Method::GET, "/mantle/v1/models", Value::Null),
        (mantle, Method::GET, "/mantle/openai/v1/models", Value::Null),
        (mantle, Method::POST, "/mantle/anthropic/v1/messages", chat("anthropic.claude-sonnet-4-6-v1:0")),
        (
            mantle,
            Method::POST,
            "/mantle/anthropic/v1/messages/count_tokens",
            chat("anthropic.claude-sonnet-4-6-v1:0"),
        ),
    ] {
        let answer = call(&world, &alice, method.clone(), path, &body).await;
        assert_eq!(answer.status, 200, "{path}: {:?}", answer.body);
        let sent = world.standin.bill.calls().pop().unwrap();
        assert_eq!((sent.service, &sent.method), (service, &method), "{path}");
        assert_eq!(sent.principal, "arn:aws:sts::123456789012:assumed-role/BedrockUser/alice@acme.org");
        assert_eq!(sent.tags["team"], "search");
        let served = path.replacen("/us-west-2", "", 1).replacen("/mantle", "", 1);
        assert_eq!(
            (sent.target.as_str(), sent.region == "us-west-2"),
            (served.as_str(), path.starts_with("/us-west-2"))
        );
        let text = if body.is_null() { String::new() } else { body.to_string() };
        assert_eq!(sent.body, text.as_bytes(), "{path}: the body must not change");
        let line = world.logged(world.log.lines().len()).await;
        if let Some(model) = body.get("model").or_else(|| body.get("modelId")) {
            assert_eq!(&line["model"], model, "{path}");
        }
    }
    assert_eq!(world.standin.sts.calls().len(), 1, "one session serves every service and region");
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_of_events_pass_unchanged() {
    let world = World::with(&Setup { roles: ALL, ..Setup::default() }).await;
    let alice = world.token("alice");
    for (path, model, last) in [
        ("/openai/v1/chat/completions", GPT, "data: [DONE]"),
        ("/mantle/v1/chat/completions", "openai.gpt-oss-120b", "data: [DONE]"),
        ("/openai/v1/responses", GPT, "event: response.completed"),
        ("/anthropic/v1/messages", CLAUDE, "event: message_stop"),
    ] {
        let mut body = chat(model);
        body["stream"] = json!(true);
        if path.ends_with("responses") {
            body["input"] = json!("hello");
        }
        let answer = call(&world, &alice, Method::POST, path, &body).await;
        assert_eq!(answer.status, 200, "{path}: {:?}", answer.body);
        assert!(answer.headers["content-type"].to_str().unwrap().starts_with("text/event-stream"));
        let text = String::from_utf8(answer.body.to_vec()).unwrap();
        assert!(text.contains(last), "{path}: {text}");
        assert_eq!(world.logged(world.log.lines().len()).await["ended"], "complete");
    }
}

const OWN: &str = r#"
[[role]]
when = "claims.email == 'alice@acme.org'"
arn = "arn:aws:iam::123456789012:role/BedrockUser"
operations = ["responses", "mantle", "async-start", "async-get", "async-list", "responses-stored"]
[[role]]
arn = "arn:aws:iam::123456789012:role/BedrockUser"
"#;

/// Bedrock stores responses and jobs for the whole account. Without an operation in the role table a caller must not
/// reach those of another caller.
#[tokio::test(flavor = "multi_thread")]
async fn bob_cannot_reach_responses_and_jobs_of_alice() {
    let world = World::with(&Setup { roles: OWN, ..Setup::default() }).await;
    let (alice, bob) = (world.token("alice"), world.token("bob"));
    for (base, model) in [
        ("/openai/v1", GPT),
        ("/mantle/v1", "openai.gpt-oss-120b"),
        ("/mantle/openai/v1", "openai.gpt-oss-120b"),
    ] {
        let create = format!("{base}/responses");
        let stored =
            call(&world, &alice, Method::POST, &create, &json!({ "model": model, "input": "secret" })).await;
        assert_eq!(stored.status, 200, "{:?}", stored.body);
        let id = stored.json()["id"].as_str().unwrap().to_owned();
        let one = format!("{base}/responses/{id}");
        let sent = world.standin.bill.call_count();
        let goes_on = json!({ "model": model, "input": "go on", "previous_response_id": id });
        for (method, path, body) in [
            (Method::GET, one.clone(), Value::Null),
            (Method::DELETE, one.clone(), Value::Null),
            (Method::POST, format!("{one}/cancel"), Value::Null),
            (Method::POST, create.clone(), goes_on.clone()),
        ] {
            let answer = call(&world, &bob, method.clone(), &path, &body).await;
            assert_eq!(
                (answer.status.as_u16(), answer.kind()),
                (403, "AccessDeniedException"),
                "{method} {path}"
            );
        }
        assert_eq!(world.standin.bill.call_count(), sent, "no call of bob was sent");
        assert_eq!(call(&world, &alice, Method::GET, &one, &Value::Null).await.status, 200);
        assert_eq!(call(&world, &alice, Method::POST, &create, &goes_on).await.status, 200);
        let cancelled = call(&world, &alice, Method::POST, &format!("{one}/cancel"), &Value::Null).await;
        assert_eq!(cancelled.status, 200);
        assert_eq!(call(&world, &alice, Method::DELETE, &one, &Value::Null).await.status, 200);
    }

    let started = call(&world, &alice, Method::POST, "/async-invoke", &job()).await;
    let arn = started.json()["invocationArn"].as_str().unwrap().replace(':', "%3A").replace('/', "%2F");
    let one = format!("/async-invoke/{arn}");
    let sent = world.standin.bill.call_count();
    for path in [one.as_str(), "/async-invoke", "/us-west-2/async-invoke"] {
        let answer = call(&world, &bob, Method::GET, path, &Value::Null).await;
        assert_eq!((answer.status.as_u16(), answer.kind()), (403, "AccessDeniedException"), "{path}");
    }
    assert_eq!(world.standin.bill.call_count(), sent);
    for path in [one.as_str(), "/async-invoke"] {
        assert_eq!(call(&world, &alice, Method::GET, path, &Value::Null).await.status, 200, "{path}");
    }
    assert!(world.standin.bill.principals().iter().all(|principal| principal.ends_with("/alice@acme.org")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_project_that_the_role_allows_reaches_bedrock() {
    let world = World::with(&Setup { roles: ALL, ..Setup::default() }).await;
    for (path, model, header) in [
        ("/openai/v1/responses", GPT, "openai-project"),
        ("/mantle/anthropic/v1/messages", "anthropic.claude-sonnet-4-6-v1:0", "anthropic-workspace-id"),
    ] {
        let mut body = chat(model);
        body["input"] = json!("hello");
        let mut request = post(path, &world.token("alice"), body.to_string());
        request.headers_mut().insert("anthropic-version", "2023-06-01".parse().unwrap());
        request.headers_mut().insert(header, "proj_search".parse().unwrap());
        let answer = world.send(request).await;
        assert_eq!(answer.status, 200, "{:?}", answer.body);
        assert_eq!(world.standin.bill.calls().pop().unwrap().project(), Some("proj_search"));
    }
}

/// The gateway notices on mantle too when a client leaves a stream.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_a_stream_ends_the_call_to_mantle() {
    let world = World::with(&Setup { roles: ALL, ..Setup::default() }).await;
    world.standin.mantle.hold();
    let mut body = chat("openai.gpt-oss-120b");
    body["stream"] = json!(true);
    let request = post("/mantle/v1/chat/completions", &world.token("alice"), body.to_string());
    let answer = world.open(request).await;
    assert_eq!(answer.status(), 200);
    drop(answer);
    until("the hang-up", async || world.standin.mantle.hangups() == 1).await;
    assert_eq!(world.logged(1).await["ended"], "client");
}
