//! The answers of the error table as OpenAI's and Anthropic's clients expect them, over real sockets.

use bedrock_bed::{ANY_PORT, until};
use bedrock_standin::bedrock::Fault;
use bedrock_standin::sts::StsFault;
use http::Request;
use serde_json::{Value, json};

use crate::refusals::assert_is_a_case;
use crate::world::{Answer, Setup, World, parrot, post};

#[derive(Debug, Clone, Copy, PartialEq)]
enum Words {
    OpenAi,
    Anthropic,
}

const PATHS: [(&str, Words); 4] = [
    ("/openai/v1/chat/completions", Words::OpenAi),
    ("/us-west-2/openai/v1/responses", Words::OpenAi),
    ("/mantle/v1/responses", Words::OpenAi),
    ("/anthropic/v1/messages", Words::Anthropic),
];

const ROLES: &str = r#"
[[role]]
when = "claims.team == 'narrow'"
arn = "arn:aws:iam::123456789012:role/BedrockUser"
operations = ["converse"]
[[role]]
when = "claims.team == 'east'"
arn = "arn:aws:iam::123456789012:role/BedrockUser"
regions = ["us-east-1"]
[[role]]
when = "claims.team == 'search'"
arn = "arn:aws:iam::123456789012:role/BedrockUser"
models = ["*anthropic.claude-*"]
projects = ["proj_search"]
"#;

const BODY: &str = r#"{"model":"anthropic.claude-x","messages":[],"max_tokens":5}"#;

/// Checks the status, headers and body of an answer, and the reason in the access log.
async fn expect(world: &World, answer: Answer, words: Words, status: u16, kind: &str, reason: &str) {
    assert_eq!((answer.status.as_u16(), answer.kind()), (status, kind), "{reason}: {:?}", answer.body);
    assert_is_a_case(&answer, reason);
    let id = answer.headers["x-gateway-request-id"].to_str().unwrap();
    let body = answer.json();
    let error = &body["error"];
    assert!(error["message"].as_str().is_some_and(|message| !message.is_empty()), "{body}");
    let (name, types): (_, &[(u16, &str)]) = match words {
        Words::OpenAi => {
            assert_eq!(error["code"], kind, "{body}");
            let types = &[
                (400, "invalid_request_error"),
                (401, "authentication_error"),
                (403, "permission_error"),
                (404, "invalid_request_error"),
                (408, "timeout_error"),
                (413, "invalid_request_error"),
                (429, "rate_limit_error"),
                (503, "server_error"),
            ];
            ("x-request-id", types)
        }
        Words::Anthropic => {
            assert_eq!(
                (body["type"].as_str(), body["request_id"].as_str()),
                (Some("error"), Some(id)),
                "{body}"
            );
            let types = &[
                (400, "invalid_request_error"),
                (401, "authentication_error"),
                (403, "permission_error"),
                (404, "not_found_error"),
                (408, "timeout_error"),
                (413, "request_too_large"),
                (429, "rate_limit_error"),
                (503, "overloaded_error"),
            ];
            ("request-id", types)
        }
    };
    let expected = types.iter().find(|(known, _)| *known == status).unwrap().1;
    assert_eq!(error["type"], expected, "{body}");
    assert_eq!(answer.headers[name], id);
    assert_eq!(answer.headers.contains_key("www-authenticate"), status == 401);
    assert_eq!(answer.headers.contains_key("retry-after"), matches!(status, 429 | 503));
    let found = async || world.log.lines().into_iter().find(|line| line.contains(id));
    let line: Value = serde_json::from_str(&until("the access log line", found).await).unwrap();
    assert_eq!(line["reason"], reason);
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_before_anything_is_sent() {
    let setup = Setup { listen: "max_body = \"1KiB\"", roles: ROLES, ..Setup::default() };
    let world = World::with(&setup).await;
    let (alice, narrow) = (world.token("alice"), world.mint(World::claims("nina").claim("team", "narrow")));
    let east = world.mint(World::claims("emil").claim("team", "east"));
    let nameless = world.mint(World::claims("nora").without("email"));
    let roleless = world.mint(World::claims("noah").claim("team", "none"));
    let expired = world.mint(World::claims("alice").expired_for(std::time::Duration::from_secs(60)));
    let (signed, signature) = alice.rsplit_once('.').unwrap();
    let forged = format!("{signed}.{}", signature.chars().rev().collect::<String>());
    for (path, words) in PATHS {
        let expect = async |answer, status, kind, reason| {
            expect(&world, answer, words, status, kind, reason).await;
        };
        let with = |name: &'static str, value: &'static str, body: String| {
            let mut request = post(path, &alice, body);
            request.headers_mut().append(name, value.parse().unwrap());
            request
        };
        let bare = Request::post(path).body(BODY.into()).unwrap();
        expect(world.send(bare).await, 401, "MissingAuthenticationTokenException", "token_missing").await;
        expect(world.send(post(path, &expired, BODY)).await, 401, "ExpiredTokenException", "token_expired")
            .await;
        let answer = world.send(post(path, &forged, BODY)).await;
        expect(answer, 401, "UnrecognizedClientException", "token_signature").await;

        let denied = "AccessDeniedException";
        expect(world.send(post(path, &roleless, BODY)).await, 403, denied, "no_role").await;
        expect(world.send(post(path, &narrow, BODY)).await, 403, denied, "operation_forbidden").await;
        if path.starts_with("/us-west-2") {
            expect(world.send(post(path, &east, BODY)).await, 403, denied, "region_forbidden").await;
        }
        expect(world.send(post(path, &nameless, BODY)).await, 403, denied, "value_missing").await;
        let nova = BODY.replace("anthropic.claude-x", "amazon.nova");
        expect(world.send(post(path, &alice, nova)).await, 403, denied, "model_forbidden").await;
        let project = with("openai-project", "proj_ads", BODY.to_owned());
        expect(world.send(project).await, 403, denied, "project_forbidden").await;
        let workspace = with("anthropic-workspace-id", "proj_ads", BODY.to_owned());
        expect(world.send(workspace).await, 403, denied, "project_forbidden").await;
        for stored in ["previous_response_id", "conversation", "prompt", "container"] {
            let mut body: Value = serde_json::from_str(BODY).unwrap();
            body[stored] = json!("one");
            let answer = world.send(post(path, &alice, body.to_string())).await;
            expect(answer, 403, denied, "stored_forbidden").await;
        }

        let invalid = "ValidationException";
        for body in [
            "",
            "{",
            "[]",
            "{}",
            r#"{"model":"anthropic.claude-x","model":"amazon.nova"}"#,
            r#"{"model":"anthropic.claude-x","mod\u0065l":"amazon.nova"}"#,
            r#"{"model":"anthropic.claude-x","modelId":"amazon.nova"}"#,
            r#"{"model":["anthropic.claude-x"]}"#,
            r#"{"model":"anthropic claude"}"#,
            r#"{"model":"anthropic.claude-x"}{"model":"amazon.nova"}"#,
        ] {
            expect(world.send(post(path, &alice, body)).await, 400, invalid, "body_malformed").await;
        }
        let gzip = with("content-encoding", "gzip", BODY.to_owned());
        expect(world.send(gzip).await, 400, invalid, "body_malformed").await;
        let large = format!("{BODY}{}", " ".repeat(2000));
        expect(world.send(post(path, &alice, large)).await, 413, invalid, "body_too_large").await;
        let dots = format!("{path}/..");
        expect(world.send(post(&dots, &alice, BODY)).await, 400, invalid, "route_malformed").await;
        let unknown = format!("{path}/none/of/these");
        let kind = "UnknownOperationException";
        expect(world.send(post(&unknown, &alice, BODY)).await, 404, kind, "route_unknown").await;
    }
    world.assert_untouched();
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_concurrent_requests_of_one_caller() {
    let world = World::start().await;
    let token = world.token("alice");
    for (path, words) in [PATHS[0], PATHS[3]] {
        world.standin.bedrock.hold();
        let mut streaming: Value = serde_json::from_str(BODY).unwrap();
        streaming["stream"] = json!(true);
        streaming["messages"] = json!([{ "role": "user", "content": "hello" }]);
        if words == Words::OpenAi {
            streaming["model"] = json!("openai.gpt-oss-120b-1:0");
        } else {
            streaming["model"] = json!(crate::world::MODEL);
        }
        let mut open = Vec::new();
        for _ in 0..256 {
            let mut request = post(path, &token, streaming.to_string());
            request.headers_mut().insert("anthropic-version", "2023-06-01".parse().unwrap());
            let answer = world.open(request).await;
            assert_eq!(answer.status(), 200);
            open.push(answer);
        }
        let answer = world.send(post(path, &token, BODY)).await;
        expect(&world, answer, words, 429, "ThrottlingException", "busy_caller").await;
        let before = world.standin.bedrock.hangups();
        drop(open);
        until("the streams' end", async || world.standin.bedrock.hangups() >= before + 256).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_of_sts_and_an_unreachable_bedrock() {
    let silent = parrot("").await;
    // The system gives this port to no other process, and no process listens on it.
    let closed = tokio::net::TcpSocket::new_v4().unwrap();
    closed.bind(ANY_PORT).unwrap();
    let closed_url = format!("http://{}", closed.local_addr().unwrap());
    for (path, words) in [PATHS[0], PATHS[3]] {
        let world = World::with(&Setup { sessions: "per_name = 1", ..Setup::default() }).await;
        world.standin.sts.faults().next(1, StsFault::Deny);
        let answer = world.send(post(path, &world.token("dora"), BODY)).await;
        expect(&world, answer, words, 403, "AccessDeniedException", "sts_denied").await;
        world.standin.sts.faults().always(StsFault::RegionDisabled);
        let answer = world.send(post(path, &world.token("rita"), BODY)).await;
        expect(&world, answer, words, 503, "ServiceUnavailableException", "sts_refuses_gateway").await;
        world.standin.sts.faults().clear();
        world.send(post(path, &world.token("tina"), BODY)).await;
        let other = world.mint(World::claims("tina").claim("team", "other"));
        let answer = world.send(post(path, &other, BODY)).await;
        expect(&world, answer, words, 429, "ThrottlingException", "too_many_sessions").await;

        let world = World::with(&Setup { bedrock: Some(&closed_url), ..Setup::default() }).await;
        let answer = world.send(post(path, &world.token("alice"), BODY)).await;
        expect(&world, answer, words, 503, "ServiceUnavailableException", "upstream_connect").await;
        let world = World::with(&Setup { bedrock: Some(&silent), ..Setup::default() }).await;
        let answer = world.send(post(path, &world.token("alice"), BODY)).await;
        assert_eq!(answer.headers["x-should-retry"], "false");
        expect(&world, answer, words, 408, "ModelTimeoutException", "upstream_not_answered").await;
    }
}

/// The gateway never changes the errors of Bedrock, in any dialect.
#[tokio::test(flavor = "multi_thread")]
async fn bedrocks_own_errors_pass_unchanged() {
    let world = World::start().await;
    let token = world.token("alice");
    for (path, _) in PATHS {
        let service =
            if path.starts_with("/mantle") { &world.standin.mantle } else { &world.standin.bedrock };
        for (status, kind) in [
            (400, "ValidationException"),
            (424, "ModelErrorException"),
            (429, "ThrottlingException"),
            (529, "overloaded_error"),
        ] {
            service.faults().next(1, Fault::Error(status, kind, "in Bedrock's own words"));
            let answer = world.send(post(path, &token, BODY)).await;
            assert_eq!(answer.status.as_u16(), status, "{path}");
            let text = String::from_utf8_lossy(&answer.body);
            assert!(text.contains("in Bedrock's own words"), "{path}: {text}");
            assert_eq!(
                service.server().requests(),
                world.standin.bill.calls().iter().filter(|call| call.service == service.service()).count()
                    as u64
            );
        }
    }
}
