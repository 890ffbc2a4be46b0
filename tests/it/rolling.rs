//! Two replicas behind a TCP balancer. They restart in turn and reload while callers send requests; no request fails.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bedrock_bed::until;
use bedrock_gateway::gateway::GatewayHandle;
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, interval};

use crate::world::{CONVERSE, CONVERSE_STREAM, HELLO, Setup, World, post};

/// The time between two readiness checks of the balancer.
const CHECK: Duration = Duration::from_millis(25);
/// Of one caller.
const PACE: Duration = Duration::from_millis(25);
const CALLERS: usize = 24;

/// A replica as the balancer sees it.
#[derive(Clone)]
struct Target {
    http: SocketAddr,
    probe: SocketAddr,
    ready: Arc<AtomicBool>,
}

impl Target {
    fn of(gateway: &GatewayHandle) -> Self {
        let addresses = gateway.addresses();
        let ready = Arc::new(AtomicBool::new(false));
        Self { http: addresses.http.unwrap(), probe: addresses.probe.unwrap(), ready }
    }

    async fn check(&self) {
        let ready = async {
            let stream = TcpStream::connect(self.probe).await.ok()?;
            let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.ok()?;
            tokio::spawn(connection);
            let request =
                Request::get("/readyz").header("host", "probe").body(Full::<Bytes>::default()).unwrap();
            Some(sender.send_request(request).await.ok()?.status() == 200)
        };
        self.ready.store(ready.await == Some(true), Ordering::Relaxed);
    }
}

type Targets = Arc<Mutex<Vec<Target>>>;

/// The balancer: it gives new connections to the ready replicas in turn. Returns its address.
async fn balancer(targets: Targets, balancing: &mut JoinSet<()>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let checked = Arc::clone(&targets);
    balancing.spawn(async move {
        let mut tick = interval(CHECK);
        loop {
            tick.tick().await;
            let targets = checked.lock().unwrap().clone();
            for target in targets {
                target.check().await;
            }
        }
    });
    balancing.spawn(async move {
        let mut connections = JoinSet::new();
        let turn = AtomicUsize::new(0);
        loop {
            let (mut client, _) = listener.accept().await.unwrap();
            let target = {
                let targets = targets.lock().unwrap();
                let ready: Vec<_> =
                    targets.iter().filter(|target| target.ready.load(Ordering::Relaxed)).collect();
                let turn = turn.fetch_add(1, Ordering::Relaxed);
                ready.get(turn % ready.len().max(1)).map(|target| target.http)
            };
            let Some(target) = target else { continue };
            connections.spawn(async move {
                let mut replica = TcpStream::connect(target).await?;
                tokio::io::copy_bidirectional(&mut client, &mut replica).await
            });
        }
    });
    address
}

/// A caller's connection.
enum Sender {
    H1(http1::SendRequest<Full<Bytes>>),
    H2(http2::SendRequest<Full<Bytes>>),
}

impl Sender {
    async fn open(address: SocketAddr, h2: bool) -> Self {
        let stream = TokioIo::new(TcpStream::connect(address).await.unwrap());
        if h2 {
            let (sender, connection) =
                http2::handshake(TokioExecutor::new(), stream).await.expect("the balancer finds a replica");
            tokio::spawn(connection);
            Self::H2(sender)
        } else {
            let (sender, connection) = http1::handshake(stream).await.expect("the balancer finds a replica");
            tokio::spawn(connection);
            Self::H1(sender)
        }
    }

    /// Whether a well-behaved client would send another request over this connection.
    async fn is_open(&mut self) -> bool {
        match self {
            Self::H1(sender) => sender.ready().await.is_ok(),
            Self::H2(sender) => sender.ready().await.is_ok() && !sender.is_closed(),
        }
    }

    /// Sends a request. `Ok(None)`: the connection ended before the request was written, so it may go over another one.
    async fn call(&mut self, request: Request<Full<Bytes>>) -> Result<Option<(u16, Bytes)>, hyper::Error> {
        let sent = match self {
            Self::H1(sender) => sender.try_send_request(request).await,
            Self::H2(sender) => sender.try_send_request(request).await,
        };
        let answer = match sent {
            Ok(answer) => answer,
            Err(error) if error.message().is_some() => return Ok(None),
            Err(error) if was_refused(error.error()) => return Ok(None),
            Err(error) => return Err(error.into_error()),
        };
        let status = answer.status().as_u16();
        let body = Limited::new(answer.into_body(), 1 << 20);
        #[expect(clippy::disallowed_methods, reason = "bounded by Limited")]
        let body = body.collect().await;
        Ok(Some((status, body.map_err(|error| *error.downcast::<hyper::Error>().unwrap())?.to_bytes())))
    }
}

/// Whether a GOAWAY without an error ended the stream: its server has not begun with it, so the request may go over
/// another connection (RFC 9113, section 6.8). On a busy machine, a request can cross the GOAWAY on its way. The bill
/// shows at the end that none was served twice.
fn was_refused(error: &hyper::Error) -> bool {
    format!("{error:?}").contains("GoAway(b\"\", NO_ERROR, Remote)")
}

/// Sends requests at a steady rate until `stop` is set. Returns their number.
async fn caller(balancer: SocketAddr, token: String, h2: bool, stop: Arc<AtomicBool>) -> usize {
    let mut sender = Sender::open(balancer, h2).await;
    let mut pace = interval(PACE);
    let mut calls = 0;
    while !stop.load(Ordering::Relaxed) {
        pace.tick().await;
        if !sender.is_open().await {
            sender = Sender::open(balancer, h2).await;
        }
        let path = if calls % 4 == 0 { CONVERSE_STREAM } else { CONVERSE };
        let mut request = post(&format!("http://gateway{path}"), &token, HELLO);
        if !h2 {
            request.headers_mut().insert("host", "gateway".parse().unwrap());
            *request.uri_mut() = path.parse().unwrap();
        }
        match sender.call(request).await {
            Ok(None) => sender = Sender::open(balancer, h2).await,
            Ok(Some((200, body))) if !body.is_empty() => calls += 1,
            other => panic!("call {calls}, h2 {h2}: {other:?}"),
        }
    }
    calls
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rolling_restart_with_reloads_loses_no_request() {
    let world = World::with(&Setup { listen: "drain_delay = \"400ms\"", ..Setup::default() }).await;
    let mut replicas = [world.replica().await, world.replica().await];
    let targets: Targets = Arc::new(Mutex::new(replicas.iter().map(Target::of).collect()));
    let mut balancing = JoinSet::new();
    let address = balancer(Arc::clone(&targets), &mut balancing).await;
    let all_ready = || targets.lock().unwrap().iter().all(|target| target.ready.load(Ordering::Relaxed));
    until("both replicas are ready", async || all_ready()).await;

    let stop = Arc::new(AtomicBool::new(false));
    let mut callers = JoinSet::new();
    let began = Instant::now();
    for number in 0..CALLERS {
        let user = format!("user{number}");
        let (token, stop) = (world.token(&user), Arc::clone(&stop));
        callers.spawn(async move { (user, caller(address, token, number % 4 == 3, stop).await) });
    }
    for round in 0..2 {
        for index in 0..replicas.len() {
            let before = world.standin.bill.call_count();
            until("every caller has sent requests", async || {
                world.standin.bill.call_count() > before + 4 * CALLERS
            })
            .await;
            replicas[index].drain();
            assert_eq!(replicas[index].stopped().await, 0, "the gateway aborted nothing");
            replicas[index] = world.replica().await;
            targets.lock().unwrap()[index] = Target::of(&replicas[index]);
            until("the new replica is ready", async || all_ready()).await;
            let (one, two) = ("[\"bedrock-gateway\"]", "[\"bedrock-gateway\", \"other\"]");
            let (from, to) = if (round + index) % 2 == 0 { (one, two) } else { (two, one) };
            world.configure(|text| text.replacen(from, to, 1));
            for replica in &replicas {
                replica.reload();
            }
        }
    }
    stop.store(true, Ordering::Relaxed);
    let mut calls = BTreeMap::new();
    while let Some(caller) = callers.join_next().await {
        let (user, made) = caller.expect("every call is answered");
        calls.insert(format!("arn:aws:sts::123456789012:assumed-role/BedrockUser/{user}@acme.org"), made);
    }
    let took = began.elapsed();
    let mut billed = BTreeMap::new();
    for call in world.standin.bill.calls() {
        *billed.entry(call.principal.clone()).or_insert(0) += 1;
    }
    assert_eq!(billed, calls, "each call is billed once, to its caller");
    let all: usize = calls.values().sum();
    let rate = all as u128 * 1000 / took.as_millis();
    println!("rolling: {all} calls in {took:.1?}, {rate} a second, 4 restarts, 8 reloads, 0 failed");
    balancing.shutdown().await;
}
