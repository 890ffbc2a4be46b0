//! Each limit at its edge, with small numbers: what is within it is answered, and the next one is refused or waits.

use std::time::Duration;

use bedrock_bed::until;
use bedrock_standin::sts::StsFault;
use bytes::Bytes;
use http::Response;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::refusals::assert_refused;
use crate::world::{Answer, CONVERSE, CONVERSE_STREAM, HELLO, Setup, World, post, read};

/// The first role is for callers whose claim `service` is true. Its principals may have `concurrency` requests.
fn roles(concurrency: usize) -> String {
    format!(
        "[[role]]\nwhen = \"claims.service\"\narn = \"arn:aws:iam::123456789012:role/BedrockService\"\n\
         concurrency = {concurrency}\n\
         [[role]]\narn = \"arn:aws:iam::123456789012:role/BedrockUser\"\n"
    )
}

/// As many open streams of a user as `count`, on one HTTP/2 connection.
pub(crate) async fn streams(world: &World, user: &str, count: usize) -> Vec<Response<Incoming>> {
    streams_of(world, &world.token(user), count).await
}

async fn streams_of(world: &World, token: &str, count: usize) -> Vec<Response<Incoming>> {
    let sender = world.connect_h2c().await;
    let mut opening = JoinSet::new();
    for _ in 0..count {
        let (mut sender, mut request) = (sender.clone(), post(CONVERSE_STREAM, token, HELLO));
        *request.uri_mut() = world.absolute(request.uri());
        opening.spawn(async move { sender.send_request(request).await.unwrap() });
    }
    let answers = opening.join_all().await;
    assert!(answers.iter().all(|answer| answer.status() == 200));
    answers
}

async fn call(world: &World, token: &str) -> Answer {
    world.send(post(CONVERSE, token, HELLO)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_of_one_principal_and_of_all_and_a_reload() {
    let limits = "requests = 3\nrequests_per_principal = 2";
    let world = World::with(&Setup { limits, ..Setup::default() }).await;
    world.standin.bedrock.hold();
    let (alice, bob) = (world.token("alice"), world.token("bob"));
    let mut open = streams_of(&world, &alice, 2).await;
    let answer = call(&world, &alice).await;
    let message = answer.json()["message"].as_str().unwrap().to_owned();
    assert!(message.starts_with("You have too many concurrent requests (limit 2)."), "{message}");
    assert!(!message.contains("arn:"), "{message}");
    assert_refused(&world, &answer, 429, "busy_caller").await;
    let line = world.logged(1).await;
    let detail = line["detail"].as_str().unwrap();
    assert!(detail.contains("BedrockUser/alice@acme.org has 2 requests in flight"), "{detail}");

    open.extend(streams_of(&world, &bob, 1).await);
    let answer = call(&world, &bob).await;
    let message = answer.json()["message"].as_str().unwrap().to_owned();
    assert!(message.contains("limit of 3 concurrent requests"), "{message}");
    assert_refused(&world, &answer, 503, "busy_gateway").await;

    world.configure(|text| text.replace(limits, "requests = 5\nrequests_per_principal = 3"));
    world.generation(2).await;
    open.extend(streams_of(&world, &alice, 1).await);
    assert_refused(&world, &call(&world, &alice).await, 429, "busy_caller").await;
    // Fewer than there are: those in flight stay.
    world.configure(|text| text.replace("requests = 5\nrequests_per_principal = 3", "requests = 1"));
    world.generation(3).await;
    assert_refused(&world, &call(&world, &bob).await, 503, "busy_gateway").await;
    world.standin.bedrock.release(1_000_000);
    for answer in open {
        assert_eq!(read(answer).await.status, 200);
    }
    until("a free slot", async || call(&world, &bob).await.status == 200).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_has_its_own_concurrency() {
    let roles = roles(3);
    let limits = "requests_per_principal = 1";
    let world = World::with(&Setup { limits, roles: &roles, ..Setup::default() }).await;
    world.standin.bedrock.hold();
    let service = world.mint(World::claims("batch").claim("service", true));
    let person = world.mint(World::claims("alice").claim("service", false));
    let _of_service = streams_of(&world, &service, 3).await;
    assert_refused(&world, &call(&world, &service).await, 429, "busy_caller").await;
    let _of_person = streams_of(&world, &person, 1).await;
    assert_refused(&world, &call(&world, &person).await, 429, "busy_caller").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_has_a_thousand_streams_while_a_person_is_at_the_default_limit() {
    let roles = roles(2_000);
    let world = World::with(&Setup { roles: &roles, ..Setup::default() }).await;
    world.standin.bedrock.hold();
    let service = world.mint(World::claims("batch").claim("service", true));
    let person = world.mint(World::claims("alice").claim("service", false));
    let mut open = Vec::new();
    for _ in 0..4 {
        open.extend(streams_of(&world, &service, 250).await);
    }
    open.extend(streams_of(&world, &person, 256).await);
    assert_refused(&world, &call(&world, &person).await, 429, "busy_caller").await;
    open.extend(streams_of(&world, &service, 1).await);
    assert_eq!(open.len(), 1_257);
    assert_eq!(world.standin.bill.calls().len(), 1_257, "Bedrock has all of them, and no other");
}

/// Completes with the answer to a request over a connection of its own, which stays open.
async fn over_http1(world: &World, token: &str) -> (http1::SendRequest<Full<Bytes>>, u16) {
    let stream = TcpStream::connect(world.gateway.addresses().http.unwrap()).await.unwrap();
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let mut request = post(CONVERSE, token, HELLO);
    request.headers_mut().insert("host", "gateway".parse().unwrap());
    let answer = sender.send_request(request).await.unwrap();
    let status = read(answer).await.status.as_u16();
    (sender, status)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_over_the_limit_waits_until_another_one_ends() {
    let world = World::with(&Setup { limits: "connections = 2", ..Setup::default() }).await;
    let token = world.token("alice");
    let (first, status) = over_http1(&world, &token).await;
    assert_eq!(status, 200);
    let (_second, status) = over_http1(&world, &token).await;
    assert_eq!(status, 200);
    let mut third = std::pin::pin!(over_http1(&world, &token));
    assert!(tokio::time::timeout(Duration::from_millis(300), &mut third).await.is_err(), "it waits");
    drop(first);
    let (_third, status) = third.await;
    assert_eq!(status, 200);
    // A reload makes room for one more.
    world.configure(|text| text.replace("connections = 2", "connections = 3"));
    world.generation(2).await;
    let (_fourth, status) = over_http1(&world, &token).await;
    assert_eq!(status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_over_the_limit_of_its_connection_waits() {
    let limits = "streams_per_connection = 2";
    let world = World::with(&Setup { limits, ..Setup::default() }).await;
    world.standin.bedrock.hold();
    let token = world.token("alice");
    let mut sender = world.connect_h2c().await;
    let mut request = post(CONVERSE_STREAM, &token, HELLO);
    *request.uri_mut() = world.absolute(request.uri());
    let first = sender.send_request(request.clone()).await.unwrap();
    let _second = sender.send_request(request.clone()).await.unwrap();
    let mut third = std::pin::pin!(sender.send_request(request));
    assert!(tokio::time::timeout(Duration::from_millis(300), &mut third).await.is_err(), "it waits");
    drop(first);
    assert_eq!(third.await.unwrap().status(), 200);
    // Connections that are opened after a reload have the new limit.
    world.configure(|text| text.replace(limits, "streams_per_connection = 3"));
    world.generation(2).await;
    assert_eq!(streams_of(&world, &token, 3).await.len(), 3);
}

/// A connection with a request whose body lacks its last byte. The gateway holds memory for the whole body.
async fn unfinished(world: &World, token: &str, length: usize) -> TcpStream {
    let mut stream = TcpStream::connect(world.gateway.addresses().http.unwrap()).await.unwrap();
    let head = format!(
        "POST {CONVERSE} HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer {token}\r\nContent-Length: {length}\r\n\r\n",
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&vec![b' '; length - 1]).await.unwrap();
    stream
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_for_bodies_of_one_principal_and_of_all_and_a_reload() {
    let limits = "body_memory = \"2MiB\"\nbody_memory_per_principal = \"1MiB\"";
    let world = World::with(&Setup { listen: "max_body = \"1MiB\"", limits, ..Setup::default() }).await;
    let [alice, bob, carol] = ["alice", "bob", "carol"].map(|user| world.token(user));
    // Not by calls, which would use memory while the bodies arrive.
    let both_in_use = async || {
        let used = world.series("bedrock_gateway_limit_used{name=\"body_memory\"}").await;
        used >= Some(2.0 * f64::from(1 << 20) - 2.0)
    };
    let of_alice = unfinished(&world, &alice, 1 << 20).await;
    let _of_bob = unfinished(&world, &bob, 1 << 20).await;
    until("the bodies of both", both_in_use).await;
    let answer = call(&world, &carol).await;
    assert!(answer.json()["message"].as_str().unwrap().contains("request bodies (2 MiB)"), "{answer:?}");
    assert_refused(&world, &answer, 503, "busy_bodies").await;
    world.configure(|text| text.replace(limits, "body_memory = \"3MiB\""));
    world.generation(2).await;
    assert_eq!(call(&world, &carol).await.status, 200);
    drop(of_alice);
    until("alice's memory", async || call(&world, &alice).await.status == 200).await;
    let _of_alice = unfinished(&world, &alice, 1 << 20).await;
    world.configure(|text| text.replace("\"3MiB\"", "\"3MiB\"\nbody_memory_per_principal = \"1MiB\""));
    world.generation(3).await;
    until("the bodies of both", both_in_use).await;
    let answer = call(&world, &alice).await;
    assert!(answer.json()["message"].as_str().unwrap().contains("one caller (1 MiB)"), "{answer:?}");
    assert_refused(&world, &answer, 429, "busy_caller_bodies").await;
    assert_eq!(call(&world, &carol).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_timeouts_of_aws_are_those_of_the_configuration() {
    // A server that accepts connections and never answers, neither TLS nor HTTP.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = silent.local_addr().unwrap();
    let accepting = tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((stream, _)) = silent.accept().await {
            held.push(stream);
        }
    });
    for (url, key, status, reason) in [
        (format!("https://{address}"), "connect_timeout = \"200ms\"", 503, "upstream_connect"),
        (format!("http://{address}"), "first_byte_timeout = \"1s\"", 408, "upstream_not_answered"),
    ] {
        let world = World::with(&Setup { aws: key, bedrock: Some(&url), ..Setup::default() }).await;
        let answer = call(&world, &world.token("alice")).await;
        assert_refused(&world, &answer, status, reason).await;
        let detail = world.logged(1).await["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains(&format!("(aws.{}", key.split(' ').next().unwrap())), "{detail}");
    }
    accepting.abort();

    let aws = "stream_idle_timeout = \"2s\"\nsts_timeout = \"1s\"";
    let world = World::with(&Setup { aws, ..Setup::default() }).await;
    world.standin.bedrock.hold();
    let mut stream = world.open(post(CONVERSE_STREAM, &world.token("alice"), HELLO)).await;
    world.standin.bedrock.release(1);
    stream.body_mut().frame().await.unwrap().unwrap();
    let line = world.logged(1).await;
    assert_eq!(line["ended"], "upstream");
    assert!(
        line["detail"].as_str().unwrap().contains("sent nothing for 2 s (aws.stream_idle_timeout)"),
        "{line}"
    );

    world.standin.sts.faults().always(StsFault::Hang);
    let answer = call(&world, &world.token("bob")).await;
    assert_refused(&world, &answer, 503, "sts_timeout").await;
    let line = world.logged(2).await;
    assert!(line["detail"].as_str().unwrap().contains("within 1 s (aws.sts_timeout)"), "{line}");
    world.standin.sts.faults().clear();

    // The timeouts of answers change with a reload; the others need a restart, and hold up no other key.
    world.configure(|text| {
        text.replace(
            "sts_timeout = \"1s\"",
            "sts_timeout = \"2s\"\nconnect_timeout = \"5s\"\nfirst_byte_timeout = \"1s\"",
        )
    });
    world.generation(2).await;
    let body = world.readyz("a restart", |body| !body["problems"].as_array().unwrap().is_empty()).await;
    let problem = body["problems"].to_string();
    assert!(problem.contains("restart required for: aws.connect_timeout, aws.sts_timeout"), "{problem}");
}
