//! The routes other than `/model/…`, on all three services.

use super::*;
use crate::bill::Call;

const BOB: &str = "arn:aws:sts::123456789012:assumed-role/BedrockUser/bob@acme.org";
const GPT: &str = "openai.gpt-oss-120b-1:0";

impl World {
    async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, "").await
    }

    async fn ask(&self, method: &str, path: &str, body: &str) -> Answer {
        self.ask_as(&self.session, method, path, body).await
    }

    async fn ask_as(&self, session: &IssuedSession, method: &str, path: &str, body: &str) -> Answer {
        let head = Request::builder().method(method).uri(path).header("anthropic-version", "2023-06-01");
        self.send(self.sign(session, "us-east-1", head, body)).await
    }

    /// A session of another user, of the same account or another one.
    fn other(&self, id: &str, principal: &str) -> IssuedSession {
        let other = IssuedSession { principal: principal.to_owned(), ..session(id, Duration::from_hours(1)) };
        self.store.issue(other.clone());
        other
    }

    fn last_call(&self) -> Call {
        self.bill.calls().pop().unwrap()
    }
}

/// The data of the events of a stream.
fn events(answer: &Answer) -> Vec<String> {
    assert_eq!(answer.headers["content-type"], "text/event-stream");
    let text = std::str::from_utf8(&answer.body).unwrap();
    text.split_terminator("\n\n")
        .map(|event| event.lines().find_map(|line| line.strip_prefix("data: ")).unwrap().to_owned())
        .collect()
}

fn parsed(events: &[String]) -> Vec<Value> {
    events.iter().map(|event| serde_json::from_str(event).unwrap()).collect()
}

fn kinds(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["type"].as_str().unwrap()).collect()
}

fn chat(stream: bool) -> String {
    json!({
        "model": GPT,
        "messages": [{ "role": "user", "content": "hello" }],
        "stream": stream,
        "stream_options": if stream { json!({ "include_usage": true }) } else { Value::Null },
    })
    .to_string()
}

fn response(more: &Value) -> String {
    let mut body = json!({ "model": GPT, "input": "hello" });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body.to_string()
}

fn messages(model: &str, stream: bool) -> String {
    let messages = [json!({ "role": "user", "content": "hello" })];
    json!({ "model": model, "max_tokens": 9, "messages": messages, "stream": stream }).to_string()
}

fn tokens(bill: &Bill) -> Vec<u64> {
    billed(bill).iter().map(|(_, tokens)| *tokens).collect()
}

#[tokio::test]
async fn chat_completions_answer_and_stream() {
    let world = World::start();
    let path = "/openai/v1/chat/completions";
    let answer = world.post(path, &chat(false)).await.json();
    assert_eq!(answer["choices"][0]["message"]["content"], "You said: hello");
    assert_eq!(answer["usage"]["total_tokens"], 6);
    let call = world.last_call();
    assert_eq!((call.operation.name(), call.model.as_str()), ("ChatCompletions", GPT));
    assert_eq!((call.method.as_str(), call.path(), call.service), ("POST", path, Service::Runtime));

    let events = events(&world.post(path, &chat(true)).await);
    let (done, chunks) = events.split_last().unwrap();
    assert_eq!(done, "[DONE]");
    let chunks = parsed(chunks);
    let text: String =
        chunks.iter().filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str()).collect();
    assert_eq!(text, "You said: hello");
    assert_eq!(chunks.last().unwrap()["usage"]["completion_tokens"], 4);
    assert_eq!(tokens(&world.bill), [2, 2, 4, 4]);

    for body in ["{}", "", r#"{"messages":[]}"#] {
        let answer = world.post(path, body).await;
        let error = &answer.json()["error"];
        assert_eq!((answer.status, &error["type"]), (400, &json!("invalid_request_error")), "{body}");
        assert!(error["message"].is_string() && error["code"].is_string());
    }
    assert_eq!(world.get("/openai/v1/models").await.status, 404);
}

#[tokio::test]
async fn responses_are_stored_for_the_whole_account() {
    for (service, base) in [
        (Service::Runtime, "/openai/v1/responses"),
        (Service::Mantle, "/openai/v1/responses"),
        (Service::Mantle, "/v1/responses"),
    ] {
        let world = World::start_as(service);
        let bob = world.other("ASIABOB", BOB);
        let stranger = world.other("ASIAEVE", &ALICE.replace("123456789012", "210987654321"));
        let answer = world.post(base, &response(&json!({}))).await.json();
        assert_eq!((&answer["object"], &answer["status"]), (&json!("response"), &json!("completed")));
        assert_eq!(answer["output"][0]["content"][0]["text"], "You said: hello");
        assert_eq!(answer["usage"]["total_tokens"], 6);
        let id = answer["id"].as_str().unwrap();
        assert!(id.starts_with("resp_"), "{id}");
        let one = format!("{base}/{id}");

        assert_eq!(world.ask_as(&bob, "GET", &one, "").await.json(), answer);
        assert_eq!(world.last_call().subject.as_deref(), Some(id));
        let foreign = world.ask_as(&stranger, "GET", &one, "").await;
        assert_eq!((foreign.status, &foreign.json()["error"]["code"]), (404, &json!("response_not_found")));

        let next = response(&json!({ "previous_response_id": id }));
        assert_eq!(world.ask_as(&bob, "POST", base, &next).await.status, 200);
        assert_eq!(world.ask_as(&stranger, "POST", base, &next).await.status, 404);
        let cancelled = world.ask("POST", &format!("{one}/cancel"), "").await;
        assert_eq!(cancelled.json()["status"], "cancelled");
        assert_eq!(world.ask("DELETE", &one, "").await.json()["deleted"], true);
        assert_eq!(world.get(&one).await.status, 404);

        let unstored = world.post(base, &response(&json!({ "store": false }))).await.json();
        let one = format!("{base}/{}", unstored["id"].as_str().unwrap());
        assert_eq!(world.get(&one).await.status, 404);
        assert_eq!(tokens(&world.bill), [4, 8, 2, 4], "alice's two, and bob's");
    }
}

#[tokio::test]
async fn responses_stream_and_can_be_read_again() {
    let world = World::start();
    let path = "/openai/v1/responses";
    let answer = world.post(path, &response(&json!({ "stream": true }))).await;
    let sent = parsed(&events(&answer));
    let delta = "response.output_text.delta";
    let begin = ["response.created", "response.output_item.added", "response.content_part.added"];
    let end = [
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ];
    assert_eq!(kinds(&sent), [&begin[..], &[delta; 4], &end].concat());
    let last = &sent[10]["response"];
    assert_eq!(sent[9]["item"], last["output"][0]);
    assert_eq!(last["usage"]["output_tokens"], 4);
    assert_eq!(world.last_call().operation.name(), "Responses");
    assert_eq!(world.get(&format!("{path}/{}", last["id"].as_str().unwrap())).await.json(), *last);

    world.bedrock.faults().next(1, Fault::ExceptionMidStream(1, "throttlingException"));
    let answer = world.post(path, &response(&json!({ "stream": true }))).await;
    assert_eq!(parsed(&events(&answer))[1]["error"]["code"], "throttlingException");
    assert_eq!(world.post(path, &response(&json!({ "background": true }))).await.status, 400);
}

#[tokio::test]
async fn messages_answer_and_stream() {
    let profile = "global.anthropic.claude-opus-4-8";
    let path = "/anthropic/v1/messages";
    for (service, model) in [(Service::Runtime, profile), (Service::Mantle, "anthropic.claude-opus-4-8")] {
        let world = World::start_as(service);
        let answer = world.ask("POST", path, &messages(model, false)).await.json();
        assert_eq!(answer["content"][0]["text"], "You said: hello");
        assert_eq!((&answer["model"], &answer["usage"]["output_tokens"]), (&json!(model), &json!(4)));
        let events = parsed(&events(&world.ask("POST", path, &messages(model, true)).await));
        let kinds = kinds(&events);
        assert_eq!(kinds[..3], ["message_start", "content_block_start", "content_block_delta"]);
        assert_eq!(kinds[6..], ["content_block_stop", "message_delta", "message_stop"]);
        assert_eq!(tokens(&world.bill).iter().sum::<u64>(), 12);

        let unversioned = world.post(path, &messages(model, false)).await;
        assert_eq!(unversioned.status, 400);
        assert_eq!(unversioned.json()["type"], "error");
        assert_eq!(unversioned.json()["error"]["type"], "invalid_request_error");
        world.bedrock.faults().next(1, Fault::Throttle);
        let throttled = world.ask("POST", path, &messages(model, false)).await;
        assert_eq!((throttled.status, &throttled.json()["error"]["type"]), (429, &json!("rate_limit_error")));

        let counted = world.ask("POST", &format!("{path}/count_tokens"), &messages(model, false)).await;
        if service == Service::Mantle {
            assert_eq!(counted.json(), json!({ "input_tokens": 2 }));
            let refused = world.ask("POST", path, &messages(profile, false)).await;
            assert_eq!(refused.status, 404, "mantle knows no profiles");
        } else {
            assert_eq!(counted.status, 404);
        }
    }
}

#[tokio::test]
async fn calls_without_a_model_are_recorded_and_free() {
    let world = World::start();
    let input =
        json!({ "input": { "converse": serde_json::from_str::<Value>(&converse("hello")).unwrap() } });
    let count = world.post(&format!("{SONNET}/count-tokens"), &input.to_string()).await;
    assert_eq!(count.json(), json!({ "inputTokens": 2 }));
    let input = json!({ "input": { "invokeModel": { "body": STANDARD.encode(claude("hello")) } } });
    let count = world.post(&format!("{SONNET}/count-tokens"), &input.to_string()).await;
    assert_eq!(count.json(), json!({ "inputTokens": 2 }));

    let content = json!({ "source": "INPUT", "content": [{ "text": { "text": "hello" } }] }).to_string();
    let applied = world.post("/guardrail/abc/version/DRAFT/apply", &content).await.json();
    assert_eq!((&applied["action"], &applied["usage"]["topicPolicyUnits"]), (&json!("NONE"), &json!(1)));
    assert_eq!(world.post("/guardrail-checks/invoke", "{}").await.status, 200);
    let names: Vec<_> = world.bill.calls().iter().map(|call| call.operation.name()).collect();
    assert_eq!(names, ["CountTokens", "CountTokens", "ApplyGuardrail", "InvokeGuardrailChecks"]);
    assert_eq!(world.last_call().subject, None);
    assert!(world.bill.rows().is_empty());
}

#[tokio::test]
async fn async_jobs_belong_to_the_account() {
    let world = World::start();
    let bob = world.other("ASIABOB", BOB);
    let stranger = world.other("ASIAEVE", &ALICE.replace("123456789012", "210987654321"));
    let body = json!({
        "modelId": "amazon.nova-reel-v1:0",
        "modelInput": {},
        "outputDataConfig": { "s3OutputDataConfig": { "s3Uri": "s3://bucket" } },
    });
    let mut arns = Vec::new();
    for _ in 0..3 {
        let started = world.post("/async-invoke", &body.to_string()).await.json();
        arns.push(started["invocationArn"].as_str().unwrap().to_owned());
    }
    let call = world.last_call();
    assert_eq!((call.operation.name(), call.model.as_str()), ("StartAsyncInvoke", "amazon.nova-reel-v1:0"));
    let id = arns[0].strip_prefix("arn:aws:bedrock:us-east-1:123456789012:async-invoke/").unwrap();
    assert!(id.len() == 12 && id.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit()), "{id}");

    let page = world.ask_as(&bob, "GET", "/async-invoke?maxResults=2", "").await.json();
    assert_eq!(page["asyncInvokeSummaries"][1]["invocationArn"], arns[1].as_str());
    assert_eq!(page["asyncInvokeSummaries"][0]["status"], "InProgress");
    let token = page["nextToken"].as_str().unwrap();
    let page = world.get(&format!("/async-invoke?maxResults=2&nextToken={token}")).await.json();
    assert_eq!(page["asyncInvokeSummaries"].as_array().unwrap().len(), 1);
    assert!(page["nextToken"].is_null());
    let foreign = world.ask_as(&stranger, "GET", "/async-invoke", "").await.json();
    assert_eq!(foreign["asyncInvokeSummaries"], json!([]));

    let one = format!("/async-invoke/{}", arns[0].replace(':', "%3A").replace('/', "%2F"));
    assert_eq!(world.ask_as(&bob, "GET", &one, "").await.json()["invocationArn"], arns[0].as_str());
    let (status, kind, _) = world.ask_as(&stranger, "GET", &one, "").await.error();
    assert_eq!((status, kind.as_str()), (404, "ResourceNotFoundException"));
    assert_eq!(world.post("/async-invoke", "{}").await.error().0, 400);
    assert!(world.bill.rows().is_empty());
}

#[tokio::test]
async fn the_control_plane_lists_models_and_profiles() {
    let world = World::start_as(Service::Control);
    let models = world.get("/foundation-models?byProvider=anthropic").await.json();
    assert_eq!(models["modelSummaries"].as_array().unwrap().len(), 3);
    let model = world.get("/foundation-models/amazon.nova-2-lite-v1%3A0").await.json();
    assert_eq!(model["modelDetails"]["modelName"], "Nova 2 Lite");
    let found = world.get("/foundation-model-availability/amazon.nova-2-lite-v1%3A0").await.json();
    assert_eq!(found["authorizationStatus"], "AUTHORIZED");

    let (mut ids, mut token) = (Vec::new(), String::new());
    loop {
        let path = format!("/inference-profiles?type=SYSTEM_DEFINED&maxResults=4{token}");
        let page = world.get(&path).await.json();
        ids.extend(page["inferenceProfileSummaries"].as_array().unwrap().clone());
        let Some(next) = page["nextToken"].as_str() else { break };
        token = format!("&nextToken={next}");
    }
    assert_eq!(ids.len(), 10);
    assert_eq!((&ids[0]["status"], &ids[0]["type"]), (&json!("ACTIVE"), &json!("SYSTEM_DEFINED")));
    let applications = world.get("/inference-profiles?type=APPLICATION").await.json();
    assert_eq!(applications["inferenceProfileSummaries"], json!([]));
    let arn = "arn%3Aaws%3Abedrock%3Aus-east-1%3A123456789012%3Aapplication-inference-profile%2Fabc";
    let profile = world.get(&format!("/inference-profiles/{arn}")).await.json();
    assert_eq!((&profile["inferenceProfileId"], &profile["type"]), (&json!("abc"), &json!("APPLICATION")));

    let (status, kind, _) = world.get("/inference-profiles/unknown.model").await.error();
    assert_eq!((status, kind.as_str()), (404, "ResourceNotFoundException"));
    assert_eq!(world.post(&format!("{SONNET}/converse"), &converse("hello")).await.error().0, 404);
    let call = &world.bill.calls()[0];
    assert_eq!((call.operation.name(), call.service), ("ListFoundationModels", Service::Control));
    assert_eq!((call.principal.as_str(), call.tags["team"].as_str()), (ALICE, "search"));
    assert!(world.bill.rows().is_empty());
}

#[tokio::test]
async fn mantle_has_its_own_name_in_signatures_and_on_the_bill() {
    let world = World::start_as(Service::Mantle);
    for path in ["/v1/models", "/openai/v1/models"] {
        let models = world.get(path).await.json();
        assert_eq!((&models["object"], &models["data"][0]["object"]), (&json!("list"), &json!("model")));
    }
    let body = chat(false);
    let head = Request::post("/v1/chat/completions").header("openai-project", "proj_search");
    let answer = world.send(world.sign(&world.session, "us-east-1", head, &body)).await;
    assert_eq!(answer.status, 200);
    assert_eq!(world.last_call().project(), Some("proj_search"));
    assert_eq!(
        billed(&world.bill),
        [
            (format!("USE1-{GPT}-mantle-input-tokens-standard"), 2),
            (format!("USE1-{GPT}-mantle-output-tokens-standard"), 4),
        ]
    );

    let mut request = world.signed("/v1/chat/completions", &body);
    request.headers_mut().remove("authorization");
    let (id, secret) = (&world.session.access_key_id, &world.session.secret);
    let authorization = sign(&request, body.as_bytes(), id, secret, "us-east-1", "bedrock");
    request.headers_mut().insert("authorization", authorization.parse().unwrap());
    let refused = world.send(request).await;
    assert_eq!(
        (refused.status, &refused.json()["error"]["code"]),
        (403, &json!("InvalidSignatureException"))
    );
    world.bedrock.forbid_model("openai.*");
    let refused = world.post("/openai/v1/chat/completions", &body).await;
    let message = refused.json()["error"]["message"].as_str().unwrap().to_owned();
    assert!(refused.status == 403 && message.contains("bedrock-mantle:CreateInference"), "{message}");
}

#[tokio::test]
async fn a_standin_has_three_services_on_separate_sockets() {
    let aws = crate::Standin::start(crate::Options::default());
    let services = [&aws.bedrock, &aws.control, &aws.mantle];
    let names = services.map(|bedrock| bedrock.service().as_str());
    assert_eq!(names, ["bedrock-runtime", "bedrock", "bedrock-mantle"]);
    let urls: std::collections::BTreeSet<_> = services.iter().map(|bedrock| bedrock.url()).collect();
    assert_eq!(urls.len(), 3);
}
