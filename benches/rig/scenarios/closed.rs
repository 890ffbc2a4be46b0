//! Connections that are never idle: CPU for each request, and how many one core carries.

use std::collections::BTreeMap;
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use tokio::time::Instant;

use super::Bench;
use crate::load::{Closed, once};
use crate::machine;
use crate::proxy::{Kind, Proxy, Wire};
use crate::table::{Row, median, quantile};
use crate::upstream::CONVERSE;

/// The time at the start of each turn that is not counted.
const SETTLE: Duration = Duration::from_millis(200);
/// Most streams of one HTTP/2 connection: nginx accepts no more.
const MOST_STREAMS: usize = 128;
/// Requests of a turn in which every token is new.
const NEW_TOKENS: usize = 8_000;

/// The measurements of one proxy in its turns.
#[derive(Debug, Default)]
struct Turns {
    /// Microseconds of CPU for each request.
    cpu: Vec<f64>,
    /// Requests a second.
    rate: Vec<f64>,
    /// The share of the window in which the proxy's core was busy.
    busy: Vec<f64>,
    p50: Vec<f64>,
    p99: Vec<f64>,
}

#[derive(Debug, Clone, Copy)]
struct Figures {
    cpu: f64,
    rate: f64,
}

type Results = BTreeMap<(usize, usize, Kind), Figures>;

pub(super) async fn plain(bench: &Bench<'_>) -> Vec<Row> {
    let results = matrix(bench, Wire::Plain).await;
    let of = |connections, kibibytes, figure: fn(&Figures) -> f64| -> Option<[f64; 3]> {
        let [nginx, floor, gateway] =
            Kind::ALL.map(|kind| results.get(&(connections, kibibytes, kind)).map(figure));
        Some([nginx?, floor?, gateway?])
    };
    let small = of(16, 1, |figures| figures.cpu).map(|[nginx, floor, gateway]| Row {
        what: "CPU per request, 1 KiB, 16 connections",
        nginx: micros(nginx),
        floor: micros(floor),
        gateway: micros(gateway),
        figure: times(gateway / nginx),
        target: "≤ 1.50 × nginx".to_owned(),
        met: gateway <= 1.5 * nginx,
    });
    let large = of(16, 100, |figures| figures.cpu).map(|[nginx, floor, gateway]| {
        let hash = hashing(100 * 1024);
        let most = hash + 1.5 * nginx;
        Row {
            what: "… 100 KiB",
            nginx: micros(nginx),
            floor: micros(floor),
            gateway: micros(gateway),
            figure: micros(gateway),
            target: format!("≤ {} (hashing it once, {}, + 1.5 × nginx)", micros(most), micros(hash)),
            met: gateway <= most,
        }
    });
    let throughput = |what, connections| {
        of(connections, 1, |figures| figures.rate).map(|[nginx, floor, gateway]| Row {
            what,
            nginx: per_second(nginx),
            floor: per_second(floor),
            gateway: per_second(gateway),
            figure: times(gateway / nginx),
            target: "≥ 0.65 × nginx".to_owned(),
            met: gateway >= 0.65 * nginx,
        })
    };
    let at_16 = throughput("requests/s of one core, 16 connections", 16);
    let at_256 = throughput("… 256 connections", 256);
    [small, large, at_16, at_256].into_iter().flatten().collect()
}

pub(super) async fn tls(bench: &Bench<'_>) -> Option<Row> {
    let results = matrix(bench, Wire::Tls).await;
    let [nginx, floor, gateway] =
        Kind::ALL.map(|kind| results.get(&(16, 1, kind)).map(|figures| figures.cpu));
    let (nginx, floor, gateway) = (nginx?, floor?, gateway?);
    Some(Row {
        what: "TLS on both sides: CPU per request, 1 KiB, 16 connections",
        nginx: micros(nginx),
        floor: micros(floor),
        gateway: micros(gateway),
        figure: times(gateway / nginx),
        target: "≤ 1.50 × nginx with TLS".to_owned(),
        met: gateway <= 1.5 * nginx,
    })
}

/// Every number of connections with every size, in alternating rounds.
async fn matrix(bench: &Bench<'_>, wire: Wire) -> Results {
    let proxies = bench.start_all(wire).await;
    let mut results = Results::new();
    heading(&format!("closed loop, {wire:?}"));
    for &connections in &bench.effort.connections {
        for &kibibytes in &bench.effort.sizes {
            let requests = bench.requests(CONVERSE, kibibytes * 1024);
            let mut turns: BTreeMap<Kind, Turns> = BTreeMap::new();
            for _ in 0..bench.effort.rounds {
                for proxy in &proxies {
                    let load = Closed::start(proxy.target(), connections, &requests).await;
                    turn(bench, proxy, &load, turns.entry(proxy.kind()).or_default()).await;
                    load.finish().await;
                }
            }
            for (kind, turns) in turns {
                let what = format!("{connections} connections, {kibibytes} KiB");
                results.insert((connections, kibibytes, kind), report(&what, kind, turns));
            }
        }
    }
    results
}

/// HTTP/2 in front; there is no target.
pub(super) async fn h2(bench: &Bench<'_>) {
    let proxies = bench.start_all(Wire::H2).await;
    heading("closed loop, HTTP/2 in front");
    for &streams in bench.effort.connections.iter().filter(|streams| **streams <= MOST_STREAMS) {
        for &kibibytes in &bench.effort.sizes {
            let request = bench.world.h2_request(CONVERSE, kibibytes * 1024);
            let mut turns: BTreeMap<Kind, Turns> = BTreeMap::new();
            for _ in 0..bench.effort.rounds {
                for proxy in &proxies {
                    let load = Closed::start_h2(proxy.target(), streams, request.clone()).await;
                    turn(bench, proxy, &load, turns.entry(proxy.kind()).or_default()).await;
                    load.finish().await;
                }
            }
            for (kind, turns) in turns {
                report(&format!("{streams} streams, {kibibytes} KiB"), kind, turns);
            }
        }
    }
}

/// Requests that each have a token the proxy has not seen before.
pub(super) async fn new_tokens(bench: &Bench<'_>) -> Row {
    let requests = bench.world.with_new_tokens(NEW_TOKENS, CONVERSE, 1024);
    let known = bench.requests(CONVERSE, 1024);
    let mut cpu: BTreeMap<Kind, Vec<f64>> = BTreeMap::new();
    for _ in 0..bench.effort.rounds {
        for kind in Kind::ALL {
            // A new process remembers none of the tokens.
            let proxy = bench.start(kind, Wire::Plain).await;
            let warm = Closed::start(proxy.target(), 16, &known).await;
            warm.watch(SETTLE).await;
            warm.finish().await;
            let before = machine::cpu(proxy.process());
            let answered = Closed::start(proxy.target(), 16, &once(requests.clone())).await.rest().await;
            assert_eq!(answered, NEW_TOKENS as u64);
            let used = machine::cpu(proxy.process()) - before;
            cpu.entry(kind).or_default().push(used / NEW_TOKENS as f64);
        }
    }
    let [nginx, floor, gateway] = Kind::ALL.map(|kind| median(cpu.remove(&kind).unwrap()));
    let check = check(bench);
    let most = check + 1.5 * nginx;
    Row {
        what: "a request whose token is new (RS256)",
        nginx: micros(nginx),
        floor: micros(floor),
        gateway: micros(gateway),
        figure: micros(gateway),
        target: format!("≤ {} (the check, {}, + 1.5 × nginx)", micros(most), micros(check)),
        met: gateway <= most,
    }
}

/// One proxy's window.
async fn turn(bench: &Bench<'_>, proxy: &Proxy, load: &Closed, turns: &mut Turns) {
    load.watch(SETTLE).await;
    let before = machine::cpu(proxy.process());
    let seen = load.watch(bench.effort.time).await;
    let used = machine::cpu(proxy.process()) - before;
    assert!(seen.requests > 0, "{} answered nothing", proxy.kind().name());
    turns.cpu.push(used / seen.requests as f64);
    turns.rate.push(seen.requests as f64 / seen.took.as_secs_f64());
    turns.busy.push(used / 1e6 / seen.took.as_secs_f64());
    let whole: Vec<f64> = seen.timings.iter().map(|timing| timing.whole.as_secs_f64() * 1e6).collect();
    if !whole.is_empty() {
        turns.p50.push(quantile(whole.clone(), 0.5));
        turns.p99.push(quantile(whole, 0.99));
    }
}

fn heading(text: &str) {
    println!(
        "\n{text}\n{:34} {:10} {:>10} {:>12} {:>6} {:>9} {:>9}",
        "", "", "CPU", "requests/s", "busy", "p50", "p99"
    );
}

fn report(what: &str, kind: Kind, turns: Turns) -> Figures {
    let figures = Figures { cpu: median(turns.cpu), rate: median(turns.rate) };
    let shown = |values: Vec<f64>| if values.is_empty() { String::new() } else { micros(median(values)) };
    println!(
        "{what:34} {:10} {:>10} {:>12} {:>5.0}% {:>9} {:>9}",
        kind.name(),
        micros(figures.cpu),
        per_second(figures.rate),
        median(turns.busy) * 100.0,
        shown(turns.p50),
        shown(turns.p99),
    );
    figures
}

/// Microseconds that one SHA-256 of `bytes` bytes takes on this machine.
fn hashing(bytes: usize) -> f64 {
    let body = vec![b'a'; bytes];
    timed(1_000, || {
        std::hint::black_box(Sha256::digest(std::hint::black_box(&body)));
    })
}

/// Microseconds that one check of an RS256 token takes on this machine.
fn check(bench: &Bench<'_>) -> f64 {
    use jsonwebtoken::jwk::JwkSet;
    use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};

    let token = bench.world.a_token();
    let keys: JwkSet = serde_json::from_value(bench.world.bed.standin.idp.jwks()).unwrap();
    let kid = decode_header(token).unwrap().kid.unwrap();
    let key = DecodingKey::from_jwk(keys.find(&kid).unwrap()).unwrap();
    let mut validation = Validation::new(Algorithm::RS256);
    validation.set_audience(&["bedrock-gateway"]);
    timed(1_000, || {
        let claims = decode::<serde_json::Value>(std::hint::black_box(token), &key, &validation);
        std::hint::black_box(claims.expect("a valid token"));
    })
}

fn timed(times: u32, what: impl Fn()) -> f64 {
    let round = || {
        let start = Instant::now();
        (0..times).for_each(|_| what());
        start.elapsed().as_secs_f64() * 1e6 / f64::from(times)
    };
    median((0..5).map(|_| round()).collect())
}

pub(super) fn micros(value: f64) -> String {
    format!("{value:.1} µs")
}

fn times(value: f64) -> String {
    format!("{value:.2} ×")
}

fn per_second(value: f64) -> String {
    format!("{value:.0}")
}
