//! The rows of the answer table over a real socket: the answer that the caller sees, and the line that the operator sees.

use bedrock_bed::until;
use http::{Method, Request};

use crate::limits::streams;
use crate::refusals::assert_is_a_case;
use crate::world::{Answer, CONVERSE, HELLO, Setup, World, post};

async fn expect(world: &World, answer: Answer, status: u16, kind: &str, reason: &str) -> serde_json::Value {
    assert_eq!((answer.status.as_u16(), answer.kind()), (status, kind), "{reason}: {:?}", answer.body);
    assert_is_a_case(&answer, reason);
    let body = answer.json();
    assert!(body["message"].as_str().is_some_and(|message| !message.is_empty()));
    let text = answer.body.to_vec();
    let text = String::from_utf8_lossy(&text);
    assert!(!text.contains("arn:aws:iam") && !text.contains("claims."), "the answer tells too much: {text}");
    let id = answer.headers["x-gateway-request-id"].to_str().unwrap();
    assert!(answer.headers.contains_key("x-amzn-requestid"));
    let lines = world.log.lines().len();
    let line = world.logged(lines.max(1)).await;
    assert_eq!((line["request_id"].as_str(), line["reason"].as_str()), (Some(id), Some(reason)));
    line
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_and_malformed_targets() {
    let world = World::start().await;
    let token = world.token("alice");
    for (method, path, status, kind, reason) in [
        (Method::POST, "/model/m/guess", 404, "UnknownOperationException", "route_unknown"),
        (Method::GET, "/model/m/converse", 404, "UnknownOperationException", "route_unknown"),
        (Method::POST, "/eu-west-1/model/m/converse", 404, "UnknownOperationException", "route_unknown"),
        (
            Method::POST,
            "/model/m/invoke-with-bidirectional-stream",
            501,
            "UnknownOperationException",
            "route_bidirectional",
        ),
        (Method::POST, "/model//converse", 400, "ValidationException", "route_malformed"),
        (Method::POST, "/model/%2e%2e/converse", 400, "ValidationException", "route_malformed"),
        (Method::POST, "/model/m;x/converse", 400, "ValidationException", "route_malformed"),
        (Method::POST, "/model/m%0a/converse", 400, "ValidationException", "route_malformed"),
        (Method::POST, "/model/m/converse?X-Amz-Signature=1", 400, "ValidationException", "route_malformed"),
        (
            Method::POST,
            "http://elsewhere.example/model/m/converse",
            400,
            "ValidationException",
            "route_malformed",
        ),
    ] {
        let mut request = post("/", &token, HELLO);
        *request.method_mut() = method;
        *request.uri_mut() = path.parse().unwrap();
        let answer = world.send(request).await;
        expect(&world, answer, status, kind, reason).await;
    }
    world.assert_untouched();
}

const REFUSING: &str = r#"
[[role]]
when = "claims.team == 'ml'"
arn = "arn:aws:iam::123456789012:role/BedrockMl"
models = ["*nova*"]
operations = ["converse"]
regions = ["us-east-1"]
[[role]]
when = "claims.team == 'search'"
arn = "arn:aws:iam::123456789012:role/BedrockUser"
"#;

const REQUIRING: &str = r#"
[[issuer.require]]
expression = "claims.email_verified"
message = "the e-mail address of the token is not verified"
[issuer.session]
name = "claims.email"
[issuer.session.tags]
team = "claims.team"
"#;

#[tokio::test(flavor = "multi_thread")]
async fn mapping_and_role_refuse_a_caller() {
    let world = World::with(&Setup { roles: REFUSING, mapping: REQUIRING, ..Setup::default() }).await;
    let denied = "AccessDeniedException";
    let claims = || World::claims("alice").claim("email_verified", true);
    let nova = "/model/amazon.nova-lite-v1%3A0/converse";
    for (claims, path, reason) in [
        (claims().without("email_verified"), CONVERSE, "requirement_failed"),
        (claims().claim("email_verified", false), CONVERSE, "requirement_failed"),
        (claims().without("email"), CONVERSE, "value_missing"),
        (claims().claim("email", ""), CONVERSE, "value_missing"),
        (claims().claim("team", "ads"), CONVERSE, "no_role"),
        (claims().claim("team", "ml"), CONVERSE, "model_forbidden"),
        (claims().claim("team", "ml"), "/model/amazon.nova-lite-v1%3A0/invoke", "operation_forbidden"),
        (
            claims().claim("team", "ml"),
            "/us-west-2/model/amazon.nova-lite-v1%3A0/converse",
            "region_forbidden",
        ),
    ] {
        let token = world.mint(claims);
        let answer = world.send(post(path, &token, HELLO)).await;
        expect(&world, answer, 403, denied, reason).await;
    }
    world.assert_untouched();
    let token = world.mint(claims().claim("team", "ml"));
    assert_eq!(world.send(post(nova, &token, HELLO)).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_over_the_limit_is_refused_and_the_refusal_arrives() {
    let world = World::with(&Setup { listen: "max_body = \"1KiB\"", ..Setup::default() }).await;
    let token = world.token("alice");
    let answer = world.send(post(CONVERSE, &token, vec![b'x'; 100_000])).await;
    expect(&world, answer, 413, "ValidationException", "body_too_large").await;
    let answer = world.send(post(CONVERSE, "x.y.z", vec![b'x'; 200_000])).await;
    assert_eq!(answer.status, 401, "a refusal reaches a client that is still sending");
    world.assert_untouched();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_access_log_describes_each_request() {
    let world = World::start().await;
    let token = world.token("alice");
    let request = Request::post(CONVERSE)
        .header("authorization", format!("Bearer {token}"))
        .header("user-agent", "test/1 \u{7f}".trim_end_matches('\u{7f}'))
        .body(HELLO.into())
        .unwrap();
    let answer = world.send(request).await;
    let line = world.logged(1).await;
    let issued = world.standin.credentials.sessions();
    for (name, value) in [
        ("request_id", serde_json::json!(answer.headers["x-gateway-request-id"].to_str().unwrap())),
        ("aws_request_id", serde_json::json!(answer.headers["x-amzn-requestid"].to_str().unwrap())),
        ("issuer", "acme".into()),
        ("subject", "alice".into()),
        ("role_rule", 0.into()),
        ("principal", "arn:aws:sts::123456789012:assumed-role/BedrockUser/alice@acme.org".into()),
        ("tags", serde_json::json!({ "team": "search" })),
        ("access_key_id", issued[0].access_key_id.as_str().into()),
        ("operation", "converse".into()),
        ("model", "us.anthropic.claude-sonnet-4-6-v1:0".into()),
        ("region", "us-east-1".into()),
        ("protocol", "http/1.1".into()),
        ("status", 200.into()),
        ("reason", "ok".into()),
        ("request_bytes", HELLO.len().into()),
        ("response_bytes", answer.body.len().into()),
        ("upstream_attempts", 1.into()),
        ("session", "miss".into()),
        ("ended", "complete".into()),
    ] {
        assert_eq!(line[name], value, "{name}");
    }
    assert!(line["duration_ms"].as_f64().unwrap() >= line["first_byte_ms"].as_f64().unwrap());
    assert!(line["client"].as_str().unwrap().starts_with("127.0.0.1"));
    assert!(line["jti"].is_string() && line["time"].is_string() && line["user_agent"].is_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn one_caller_gets_429_and_a_full_gateway_gives_503() {
    let world = World::start().await;
    world.standin.bedrock.hold();
    let mut open = vec![streams(&world, "user-0", 256).await];
    let answer = world.send(post(CONVERSE, &world.token("user-0"), HELLO)).await;
    assert_eq!(answer.headers["retry-after"], "1");
    expect(&world, answer, 429, "ThrottlingException", "busy_caller").await;
    let sent = world.standin.bill.calls().len();
    assert_eq!(sent, 256, "the refused one was not sent");

    for user in 1..16 {
        open.push(streams(&world, &format!("user-{user}"), 256).await);
    }
    let answer = world.send(post(CONVERSE, &world.token("honest"), HELLO)).await;
    assert!(answer.headers.contains_key("retry-after"));
    expect(&world, answer, 503, "ServiceUnavailableException", "busy_gateway").await;
    for (path, kind) in
        [("/openai/v1/responses", "server_error"), ("/anthropic/v1/messages", "overloaded_error")]
    {
        let answer = world.send(post(path, &world.token("honest"), r#"{"model":"m"}"#)).await;
        assert_eq!((answer.status.as_u16(), answer.kind()), (503, "ServiceUnavailableException"), "{path}");
        assert_eq!(answer.json()["error"]["type"], kind);
        assert!(answer.headers.contains_key("retry-after"));
    }
    drop(open);
    world.standin.bedrock.release(1_000_000);
    let honest = world.token("honest");
    until("free slots", async || world.send(post(CONVERSE, &honest, HELLO)).await.status == 200).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unfinished_body_does_not_reach_bedrock() {
    use tokio::io::AsyncWriteExt as _;
    let world = World::start().await;
    let token = world.token("alice");
    let mut stream = tokio::net::TcpStream::connect(world.gateway.addresses().http.unwrap()).await.unwrap();
    let head = format!(
        "POST {CONVERSE} HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer {token}\r\nContent-Length: 1000\r\n\r\n{{\"half\":"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    let line = world.logged(1).await;
    assert_eq!((line["status"].as_u64(), line["reason"].as_str()), (Some(400), Some("body_broken")));
    world.assert_untouched();
}
