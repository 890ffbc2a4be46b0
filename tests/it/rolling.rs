//! Two replicas behind a TCP balancer that notices late. Each is replaced as Kubernetes does it, and all reload, while
//! callers send requests: no request fails.

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
use tokio::time::{Instant, interval, sleep, timeout};

use crate::world::{CONVERSE, CONVERSE_STREAM, HELLO, Setup, World, post};

/// The test runs this many times as fast as the chart's replicas.
const FASTER: u32 = 10;
/// Kubernetes tells every node of a changed endpoint within this time, and a balancer its data plane.
const SPREADS: Duration = Duration::from_secs(3);
/// A stream lives on for longer than `drain_delay`, and ends before the grace period does.
const STREAM: Duration = Duration::from_secs(25);
/// Of one caller.
const PACE: Duration = Duration::from_millis(50);
/// Every third of them speaks HTTP/2, and every second one requests only streams.
const CALLERS: usize = 24;

/// How replicas are replaced.
#[derive(Debug, Clone, Copy)]
struct Rollout {
    drain_delay: Duration,
    drain_timeout: Duration,
    /// From SIGTERM to SIGKILL.
    grace: Duration,
    /// The time between two readiness checks.
    period: Duration,
    /// Failed checks in a row after which a replica is not ready.
    failures: u32,
}

impl Rollout {
    /// The longest time from SIGTERM until the balancer sends the replica no connection.
    fn notices_after(self) -> Duration {
        self.period * self.failures + SPREADS
    }

    /// The same ratios, in the time of the test.
    fn of_test(self) -> Self {
        let scaled = |time: Duration| time / FASTER;
        Self {
            drain_delay: scaled(self.drain_delay),
            drain_timeout: scaled(self.drain_timeout),
            grace: scaled(self.grace),
            period: scaled(self.period),
            ..self
        }
    }
}

/// As the chart's default values set its replicas up.
fn chart() -> Rollout {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/kubernetes/bedrock-gateway/values.yaml");
    let values = std::fs::read_to_string(path).unwrap();
    let seconds = |table, key| Duration::from_secs(number(&values, table, key));
    let (drain_delay, drain_timeout) =
        (seconds("listen:", "drainDelay:"), seconds("listen:", "drainTimeout:"));
    // A new replica is ready before an old one stops.
    assert_eq!(number(&values, "rollingUpdate:", "maxSurge:"), 1);
    assert_eq!(number(&values, "rollingUpdate:", "maxUnavailable:"), 0);
    // At 0 the chart computes it. `.ci/kubernetes/run` requires at least this sum in what the chart renders.
    assert_eq!(number(&values, "", "terminationGracePeriodSeconds:"), 0);
    let grace = drain_delay + drain_timeout + Duration::from_secs(10);
    let period = seconds("readinessProbe:", "periodSeconds:");
    let failures = u32::try_from(number(&values, "readinessProbe:", "failureThreshold:")).unwrap();
    Rollout { drain_delay, drain_timeout, grace, period, failures }
}

/// The number of the line that begins with `key`, after the line that begins with `table`. A unit may follow it.
fn number(values: &str, table: &str, key: &str) -> u64 {
    let mut lines = values.lines().skip_while(|line| !line.starts_with(table));
    let value = lines.find_map(|line| line.trim_start().strip_prefix(key));
    let value = value.unwrap_or_else(|| panic!("the chart has no value {table} {key}"));
    value.trim().trim_end_matches('s').parse().unwrap()
}

/// A replica as the balancer sees it.
#[derive(Clone)]
struct Target {
    http: SocketAddr,
    probe: SocketAddr,
    /// Whether the balancer sends it new connections.
    chosen: Arc<AtomicBool>,
    failures: Arc<AtomicUsize>,
}

impl Target {
    fn of(gateway: &GatewayHandle) -> Self {
        let addresses = gateway.addresses();
        let (http, probe) = (addresses.http.unwrap(), addresses.probe.unwrap());
        Self { http, probe, chosen: Arc::default(), failures: Arc::default() }
    }

    fn is_chosen(&self) -> bool {
        self.chosen.load(Ordering::Relaxed)
    }

    async fn is_ready(&self) -> bool {
        let status = async {
            let stream = TcpStream::connect(self.probe).await.ok()?;
            let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.ok()?;
            tokio::spawn(connection);
            let request =
                Request::get("/readyz").header("host", "probe").body(Full::<Bytes>::default()).unwrap();
            Some(sender.send_request(request).await.ok()?.status())
        };
        status.await.is_some_and(|status| status == 200)
    }

    /// One readiness check. What it changes spreads slowly.
    async fn check(&self, failures: u32) {
        if self.is_ready().await {
            self.failures.store(0, Ordering::Relaxed);
            self.chosen.store(true, Ordering::Relaxed);
        } else if self.failures.fetch_add(1, Ordering::Relaxed) + 1 == failures as usize {
            sleep(SPREADS / FASTER).await;
            self.chosen.store(false, Ordering::Relaxed);
        }
    }
}

type Targets = Arc<Mutex<Vec<Target>>>;

/// The balancer: it gives new connections to the chosen replicas in turn. Returns its address.
async fn balancer(targets: Targets, rollout: Rollout, balancing: &mut JoinSet<()>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let checked = Arc::clone(&targets);
    balancing.spawn(async move {
        let mut checks = JoinSet::new();
        let mut tick = interval(rollout.period);
        loop {
            tick.tick().await;
            for target in checked.lock().unwrap().clone() {
                checks.spawn(async move { target.check(rollout.failures).await });
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
                let chosen: Vec<_> = targets.iter().filter(|target| target.is_chosen()).collect();
                let turn = turn.fetch_add(1, Ordering::Relaxed);
                chosen.get(turn % chosen.len().max(1)).map(|target| target.http)
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
    async fn open(address: SocketAddr, h2: bool) -> Option<Self> {
        let stream = TokioIo::new(TcpStream::connect(address).await.ok()?);
        Some(if h2 {
            let (sender, connection) = http2::handshake(TokioExecutor::new(), stream).await.ok()?;
            tokio::spawn(connection);
            Self::H2(sender)
        } else {
            let (sender, connection) = http1::handshake(stream).await.ok()?;
            tokio::spawn(connection);
            Self::H1(sender)
        })
    }

    /// Whether a well-behaved client would send another request over this connection.
    async fn is_open(&mut self) -> bool {
        match self {
            Self::H1(sender) => sender.ready().await.is_ok(),
            Self::H2(sender) => sender.ready().await.is_ok() && !sender.is_closed(),
        }
    }

    /// Sends a request. `Ok(None)`: the connection ended before the request was written, so it may go over another one.
    async fn call(&mut self, request: Request<Full<Bytes>>) -> Result<Option<(u16, Bytes)>, String> {
        let sent = match self {
            Self::H1(sender) => sender.try_send_request(request).await,
            Self::H2(sender) => sender.try_send_request(request).await,
        };
        let answer = match sent {
            Ok(answer) => answer,
            Err(error) if error.message().is_some() => return Ok(None),
            Err(error) if was_refused(error.error()) => return Ok(None),
            Err(error) => return Err(format!("{:?}", error.error())),
        };
        let status = answer.status().as_u16();
        let body = Limited::new(answer.into_body(), 1 << 20);
        #[expect(clippy::disallowed_methods, reason = "bounded by Limited")]
        let body = body.collect().await;
        Ok(Some((status, body.map_err(|error| format!("within the body: {error:?}"))?.to_bytes())))
    }
}

/// Whether the server has not begun with the request, so that it may go over another connection. In HTTP/2 a GOAWAY
/// without an error says so (RFC 9113, section 6.8). In HTTP/1.1 a kept connection closes without a byte of an answer
/// (RFC 9112, section 9.3.1): the head of a stream from before the drain could not announce it. Both can cross a request
/// on its way. A call over a new connection has no second try, and the bill shows at the end that none was served twice.
fn was_refused(error: &hyper::Error) -> bool {
    error.is_incomplete_message() || format!("{error:?}").contains("GoAway(b\"\", NO_ERROR, Remote)")
}

/// The calls of one caller.
#[derive(Debug, Default)]
struct Calls {
    answered: usize,
    /// Why each of the others failed.
    lost: Vec<String>,
}

/// A caller that sends requests at a steady rate until `stop` is set. Like an HTTP library, it sends a request again
/// only if the connection that it had kept closed before its server began with the request.
struct Caller {
    balancer: SocketAddr,
    token: String,
    h2: bool,
    streams: bool,
    connection: Option<Sender>,
}

impl Caller {
    async fn run(mut self, stop: Arc<AtomicBool>) -> Calls {
        let mut pace = interval(PACE);
        let mut calls = Calls::default();
        while !stop.load(Ordering::Relaxed) {
            pace.tick().await;
            match self.call().await {
                Ok(()) => calls.answered += 1,
                Err(error) => {
                    self.connection = None;
                    calls.lost.push(error);
                }
            }
        }
        calls
    }

    async fn call(&mut self) -> Result<(), String> {
        if let Some(mut kept) = self.connection.take()
            && kept.is_open().await
            && let Some(answer) = kept.call(self.request()).await?
        {
            self.connection = Some(kept);
            return self.check(&answer);
        }
        let mut new = Sender::open(self.balancer, self.h2).await.ok_or("no connection")?;
        let answer = new.call(self.request()).await?.ok_or("the connection closed at once")?;
        self.connection = Some(new);
        self.check(&answer)
    }

    fn request(&self) -> Request<Full<Bytes>> {
        let path = if self.streams { CONVERSE_STREAM } else { CONVERSE };
        let mut request = post(&format!("http://gateway{path}"), &self.token, HELLO);
        if !self.h2 {
            request.headers_mut().insert("host", "gateway".parse().unwrap());
            *request.uri_mut() = path.parse().unwrap();
        }
        request
    }

    /// Whether the answer is whole. The last event of a stream is `metadata`.
    fn check(&self, (status, body): &(u16, Bytes)) -> Result<(), String> {
        let last: &[u8] = if self.streams { b"metadata" } else { b"usage" };
        let whole = *status == 200 && body.windows(last.len()).any(|part| part == last);
        if whole { Ok(()) } else { Err(format!("status {status}: {}", body.escape_ascii())) }
    }
}

/// Replaces `replacements` replicas in turn under load, with a reload after each. Returns why calls were lost.
async fn roll_out(rollout: Rollout, replacements: usize) -> Vec<String> {
    let (delay, drain) = (rollout.drain_delay.as_millis(), rollout.drain_timeout.as_millis());
    let listen = format!("drain_delay = \"{delay}ms\"\ndrain_timeout = \"{drain}ms\"");
    let world = World::with(&Setup { listen: &listen, ..Setup::default() }).await;
    let tokens = 10;
    world.standin.bedrock.pace(tokens, STREAM / FASTER / u32::try_from(tokens).unwrap());
    let mut replicas = vec![world.replica().await, world.replica().await];
    let targets: Targets = Arc::new(Mutex::new(replicas.iter().map(Target::of).collect()));
    let mut balancing = JoinSet::new();
    let balancer = balancer(Arc::clone(&targets), rollout, &mut balancing).await;
    let all_ready = || targets.lock().unwrap().iter().all(Target::is_chosen);
    until("both replicas are ready", async || all_ready()).await;

    let stop = Arc::new(AtomicBool::new(false));
    let mut callers = JoinSet::new();
    let began = Instant::now();
    for number in 0..CALLERS {
        let user = format!("user{number}");
        let (token, stop) = (world.token(&user), Arc::clone(&stop));
        let (h2, streams) = (number % 3 == 0, number % 2 == 0);
        let caller = Caller { balancer, token, h2, streams, connection: None };
        callers.spawn(async move { (user, caller.run(stop).await) });
    }
    for round in 0..replacements {
        let before = world.standin.bill.call_count();
        until("callers have sent requests", async || world.standin.bill.call_count() > before + 4 * CALLERS)
            .await;
        // The new replica is ready before the old one gets SIGTERM. The balancer learns nothing but from its checks.
        let new = world.replica().await;
        targets.lock().unwrap().push(Target::of(&new));
        until("the new replica is ready", async || all_ready()).await;
        let mut old = replicas.remove(0);
        let http = old.addresses().http;
        old.drain();
        let aborted =
            timeout(rollout.grace, old.stopped()).await.expect("the replica ends within the grace period");
        assert_eq!(aborted, 0, "the gateway aborted nothing");
        targets.lock().unwrap().retain(|target| Some(target.http) != http);
        replicas.push(new);
        let (one, two) = ("[\"bedrock-gateway\"]", "[\"bedrock-gateway\", \"other\"]");
        let (from, to) = if round % 2 == 0 { (one, two) } else { (two, one) };
        world.configure(|text| text.replacen(from, to, 1));
        for replica in &replicas {
            replica.reload();
        }
    }
    stop.store(true, Ordering::Relaxed);
    let (mut answered, mut lost) = (BTreeMap::new(), Vec::new());
    while let Some(caller) = callers.join_next().await {
        let (user, calls) = caller.unwrap();
        let principal = format!("arn:aws:sts::123456789012:assumed-role/BedrockUser/{user}@acme.org");
        answered.insert(principal, calls.answered);
        lost.extend(calls.lost);
    }
    let took = began.elapsed();
    let mut billed = BTreeMap::new();
    for call in world.standin.bill.calls() {
        *billed.entry(call.principal.clone()).or_insert(0) += 1;
    }
    assert_eq!(billed, answered, "each answered call is billed once, to its caller, and no lost one is");
    let all: usize = answered.values().sum();
    println!("rolling: {all} calls in {took:.1?}, {replacements} replaced, {} lost", lost.len());
    balancing.shutdown().await;
    lost
}

#[test]
fn the_delay_and_the_grace_period_of_the_chart_are_long_enough() {
    let chart = chart();
    assert!(chart.notices_after() < chart.drain_delay, "{chart:?}");
    assert!(chart.drain_delay + chart.drain_timeout < chart.grace, "{chart:?}");
    assert!(chart.drain_delay < STREAM && STREAM < chart.drain_delay + chart.drain_timeout, "{chart:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rolling_restart_with_reloads_loses_no_request() {
    let lost = roll_out(chart().of_test(), 3).await;
    assert_eq!(lost, Vec::<String>::new());
}

/// The balancer still sends connections to a replica that has closed its listeners.
#[tokio::test(flavor = "multi_thread")]
async fn a_restart_without_drain_delay_loses_requests() {
    let lost = roll_out(Rollout { drain_delay: Duration::ZERO, ..chart().of_test() }, 1).await;
    assert!(!lost.is_empty(), "the test above would not notice that the delay is missing");
}
