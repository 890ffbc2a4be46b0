//! The probe port and the admin port, and the answers to clients that only probe.

use bedrock_bed::{send, until};
use bedrock_gateway::operator::problem::ProblemCode;
use http::Request;
use serde_json::Value;

use crate::reload::has_problem;
use crate::world::{CONVERSE, HELLO, World, post, read};

pub(crate) async fn get(address: std::net::SocketAddr, path: &str) -> crate::world::Answer {
    get_as(address, path, &address.to_string()).await
}

pub(crate) async fn get_as(address: std::net::SocketAddr, path: &str, host: &str) -> crate::world::Answer {
    let request = Request::get(path).header("host", host).body("".into()).unwrap();
    read(send(address, request).await).await
}

async fn ready(world: &World) -> (u16, Value) {
    let answer = get(world.gateway.addresses().probe.unwrap(), "/readyz").await;
    (answer.status.as_u16(), answer.json())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_gateway_is_ready_once_keys_and_credentials_are_fetched() {
    let world = World::start().await;
    let probe = world.gateway.addresses().probe.unwrap();
    assert_eq!(get(probe, "/healthz").await.status, 200);
    assert_eq!(get(probe, "/nothing").await.status, 404);
    until("readiness", async || ready(&world).await.0 == 200).await;
    let (status, body) = ready(&world).await;
    assert_eq!((status, &body["problems"]), (200, &serde_json::json!([])), "{body}");

    world.standin.idp.server().stop().await;
    let stranger = world.mint(World::claims("eve").header("kid", "unknown"));
    world.send(post(CONVERSE, &stranger, HELLO)).await;
    let (status, body) = ready(&world).await;
    assert_eq!(status, 200, "one dead identity provider takes no replica out");
    assert!(has_problem(&body, ProblemCode::IssuerKeys, "signing keys of issuer acme: "), "{body}");
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_count_and_name_no_user() {
    let world = World::start().await;
    let token = world.token("alice");
    for _ in 0..3 {
        assert_eq!(world.send(post(CONVERSE, &token, HELLO)).await.status, 200);
    }
    world.send(post("/nowhere", &token, "")).await;
    world.logged(4).await;
    let answer = get(world.gateway.addresses().probe.unwrap(), "/metrics").await;
    let text = String::from_utf8(answer.body.to_vec()).unwrap();
    for line in [
        r#"bedrock_gateway_requests_total{operation="converse",status="200",reason="ok"} 3"#,
        r#"bedrock_gateway_requests_total{operation="none",status="404",reason="route_unknown"} 1"#,
        r#"bedrock_gateway_sts_calls_total{outcome="ok"} 1"#,
        r#"bedrock_gateway_session_lookups_total{outcome="miss"} 1"#,
        r#"bedrock_gateway_session_lookups_total{outcome="hit"} 2"#,
        r#"bedrock_gateway_token_checks_total{issuer="acme",outcome="verified"} 1"#,
        r#"bedrock_gateway_token_checks_total{issuer="acme",outcome="remembered"} 2"#,
        "bedrock_gateway_sessions 1",
        "bedrock_gateway_streams_open 0",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
    assert!(!text.contains("alice"));
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_are_listed_without_secrets() {
    let world = World::start().await;
    world.send(post(CONVERSE, &world.token("alice"), HELLO)).await;
    let answer = get(world.gateway.addresses().admin.unwrap(), "/sessions").await;
    let body = answer.json();
    let session = &body["sessions"][0];
    assert_eq!(session["principal"], "arn:aws:sts::123456789012:assumed-role/BedrockUser/alice@acme.org");
    assert_eq!(session["tags"]["team"], "search");
    assert_eq!(session["role_arn"], "arn:aws:iam::123456789012:role/BedrockUser");
    assert_eq!(session["callers"], serde_json::json!([{ "issuer": "acme", "subject": "alice" }]));
    assert_eq!((&body["matching"], &session["more_callers"]), (&1.into(), &false.into()));
    let times = ["granted", "last_used", "expires"].map(|key| session[key].as_str().unwrap());
    assert!(times[0] <= times[1] && times[1] < times[2], "{times:?}");
    let issued = world.standin.credentials.sessions();
    assert_eq!(session["access_key_id"], issued[0].access_key_id.as_str());
    let text = String::from_utf8(answer.body.to_vec()).unwrap();
    assert!(!text.contains(&issued[0].secret) && !text.contains(&issued[0].session_token));

    let admin = world.gateway.addresses().admin.unwrap();
    world.send(post(CONVERSE, &world.token("bob"), HELLO)).await;
    let page = get(admin, "/sessions?limit=1").await.json();
    assert_eq!((page["sessions"].as_array().unwrap().len(), &page["matching"]), (1, &2.into()));
    assert!(
        page["sessions"][0]["principal"].as_str().unwrap().ends_with("/bob@acme.org"),
        "the last one used"
    );
    assert!(page["note"].as_str().unwrap().starts_with("the 1 sessions that were used last;"), "{page}");
    let of_alice = get(admin, "/sessions?principal=*/alice%40*").await.json();
    assert_eq!((&of_alice["matching"], &of_alice["note"]), (&1.into(), &Value::Null));
    assert_eq!(get(admin, "/sessions?limit=0").await.status, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_only_probe_get_an_answer() {
    let world = World::start().await;
    for method in ["GET", "HEAD"] {
        let answer = world.send(Request::builder().method(method).uri("/").body("".into()).unwrap()).await;
        assert_eq!(answer.status, 200);
        assert!(answer.headers.contains_key("x-gateway-request-id"));
    }
    until("nothing at all", async || world.standin.sts.calls().is_empty()).await;
    world.assert_untouched();
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_not_http_are_counted() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let world = World::start().await;
    let mut stream = tokio::net::TcpStream::connect(world.gateway.addresses().http.unwrap()).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nbad header line\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    let line = r#"bedrock_gateway_requests_total{operation="none",status="400",reason="not_http"} 1"#;
    until("the count", async || world.has_metric(line).await).await;
}
