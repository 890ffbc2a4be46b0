//! SIGTERM: the gateway is no longer ready and accepts nothing new. Requests in flight finish, or are aborted at the end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bedrock_bed::until;
use tokio::task::JoinSet;

use crate::listeners::get;
use crate::world::{CONVERSE, CONVERSE_STREAM, HELLO, Setup, World, post, process_log, read};

pub(crate) async fn no_longer_accepts(address: SocketAddr) {
    until("the listener to close", async || tokio::net::TcpStream::connect(address).await.is_err()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn accepted_requests_finish_and_no_others_are_accepted() {
    let mut world = World::start().await;
    let token = world.token("alice");
    world.standin.bedrock.hold();
    let h1 = world.open(post(CONVERSE_STREAM, &token, HELLO)).await;
    let h2 = world.open_h2c(post(CONVERSE_STREAM, &token, HELLO)).await;
    let address = world.gateway.addresses().http.unwrap();
    world.gateway.drain();
    no_longer_accepts(address).await;
    let ready = get(world.gateway.addresses().probe.unwrap(), "/readyz").await;
    assert_eq!((ready.status.as_u16(), &ready.json()["draining"]), (503, &true.into()));
    world.standin.bedrock.release(1_000);
    assert!(!read(h1).await.body.is_empty());
    assert!(!read(h2).await.body.is_empty());
    assert_eq!(world.gateway.stopped().await, 0, "the gateway aborted nothing");
    assert_eq!(world.logged(2).await["ended"], "complete");
}

#[tokio::test(flavor = "multi_thread")]
async fn under_load_no_accepted_request_fails() {
    let mut world = World::start().await;
    let token = world.token("alice");
    world.send(post(CONVERSE, &token, HELLO)).await;
    let address = world.gateway.addresses().http.unwrap();
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let mut clients = JoinSet::new();
    for _ in 0..8 {
        let (token, stop) = (token.clone(), Arc::clone(&stop));
        clients.spawn(async move {
            let mut answered = 0;
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                // A connection that was refused is one that was not accepted.
                let Ok(stream) = tokio::net::TcpStream::connect(address).await else { return answered };
                let io = hyper_util::rt::TokioIo::new(stream);
                let Ok((mut sender, connection)) = hyper::client::conn::http1::handshake(io).await else {
                    return answered;
                };
                let connection = tokio::spawn(connection);
                for _ in 0..5 {
                    let mut request = post(CONVERSE, &token, HELLO);
                    request.headers_mut().insert("host", address.to_string().parse().unwrap());
                    let answer = match sender.try_send_request(request).await {
                        Ok(answer) => answer,
                        // The request is handed back: it was never written.
                        Err(error) if error.message().is_some() => break,
                        Err(error) => {
                            assert!(error.error().is_canceled() || answered > 0, "{:?}", error.error());
                            // Only the race of a connection that closed while idle is left.
                            assert!(
                                connection.is_finished(),
                                "an accepted request failed: {:?}",
                                error.error()
                            );
                            break;
                        }
                    };
                    assert_eq!(answer.status(), 200);
                    let closing = answer.headers().get("connection").is_some_and(|value| value == "close");
                    assert!(!read(answer).await.body.is_empty());
                    answered += 1;
                    if closing || sender.ready().await.is_err() {
                        break;
                    }
                }
            }
            answered
        });
    }
    until("some traffic", async || world.log.lines().len() > 100).await;
    world.gateway.drain();
    assert_eq!(world.gateway.stopped().await, 0);
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    let mut answered = 0;
    while let Some(client) = clients.join_next().await {
        answered += client.unwrap();
    }
    let good = world.log.lines().iter().filter(|line| line.contains(r#""status":200"#)).count();
    assert_eq!(good, answered + 1, "every request that the gateway took was answered to its client");
}

#[tokio::test(flavor = "multi_thread")]
async fn at_the_timeout_open_requests_are_aborted_and_logged() {
    let mut world = World::with(&Setup { listen: "drain_timeout = \"200ms\"", ..Setup::default() }).await;
    let token = world.token("alice");
    world.standin.bedrock.hold();
    let h1 = world.open(post(CONVERSE_STREAM, &token, HELLO)).await;
    let invoke = CONVERSE_STREAM.replace("converse-stream", "invoke-with-response-stream");
    let prompt = r#"{"anthropic_version":"bedrock-2023-05-31","max_tokens":64,"messages":[{"role":"user","content":"hello"}]}"#;
    let h2 = [
        world.open_h2c(post(CONVERSE_STREAM, &token, HELLO)).await,
        world.open_h2c(post(&invoke, &token, prompt)).await,
    ];
    world.gateway.drain();
    assert_eq!(world.gateway.stopped().await, 3);
    let lines = world.log.lines();
    let cut = lines.iter().filter(|line| line.contains(r#""ended":"drain""#)).count();
    assert_eq!((cut, lines.len()), (3, 3), "each request is logged before the gateway ends");
    let said = "connections=3 requests=3 operations=converse 2, invoke 1";
    assert!(process_log().contains(said), "{said}");
    drop((h1, h2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_stops_at_once() {
    let mut world = World::start().await;
    let token = world.token("alice");
    world.standin.bedrock.hold();
    let open = world.open(post(CONVERSE_STREAM, &token, HELLO)).await;
    world.gateway.drain();
    world.gateway.stop_now();
    let stopped = tokio::time::timeout(Duration::from_secs(5), world.gateway.stopped()).await;
    assert_eq!(stopped, Ok(1));
    drop(open);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_whose_first_request_is_just_arriving_is_served() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut world = World::start().await;
    let token = world.token("alice");
    world.send(post(CONVERSE, &token, HELLO)).await;
    let address = world.gateway.addresses().http.unwrap();
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    // Accepted: a request on a later connection has been answered.
    world.send(post(CONVERSE, &token, HELLO)).await;
    world.gateway.drain();
    no_longer_accepts(address).await;
    let length = HELLO.len();
    let request = format!(
        "POST {CONVERSE} HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer {token}\r\nContent-Length: {length}\r\n\r\n{HELLO}"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.contains("connection: close"), "{answer}");
    assert_eq!(world.gateway.stopped().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn during_the_delay_clients_are_asked_to_use_another_connection() {
    use hyper_util::rt::TokioIo;
    let setup = Setup { listen: "drain_delay = \"60s\"", ..Setup::default() };
    let mut world = World::with(&setup).await;
    let token = world.token("alice");
    let (http, probe) = (world.gateway.addresses().http.unwrap(), world.gateway.addresses().probe.unwrap());
    let connect = async || {
        let stream = tokio::net::TcpStream::connect(http).await.unwrap();
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        sender
    };
    let hello = || {
        let mut request = post(CONVERSE, &token, HELLO);
        request.headers_mut().insert("host", "localhost".parse().unwrap());
        request
    };
    let mut kept = connect().await;
    let answer = kept.send_request(hello()).await.unwrap();
    assert!(!answer.headers().contains_key("connection"));
    read(answer).await;
    let mut h2 = world.connect_h2c().await;
    let over_h2 = |target: &str| {
        let mut request = post(target, &token, HELLO);
        *request.uri_mut() = world.absolute(request.uri());
        request
    };
    read(h2.send_request(over_h2(CONVERSE)).await.unwrap()).await;

    world.gateway.drain();
    until("the HTTP/2 connection is asked to finish", async || h2.is_closed()).await;
    assert_eq!(get(probe, "/readyz").await.status, 503);
    for mut sender in [kept, connect().await] {
        let answer = sender.send_request(hello()).await.unwrap();
        assert_eq!(
            (answer.status().as_u16(), &answer.headers()["connection"]),
            (200, &"close".parse().unwrap())
        );
        read(answer).await;
    }
    let mut another = world.connect_h2c().await;
    assert_eq!(read(another.send_request(over_h2(CONVERSE)).await.unwrap()).await.status, 200);
    let none = "bedrock_gateway_limit_used{name=\"connections\"} 0";
    until("each connection to end by itself", async || world.has_metric(none).await).await;
    world.gateway.stop_now();
    assert_eq!(world.gateway.stopped().await, 0);
}
