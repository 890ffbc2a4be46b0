//! Connections that are never idle: CPU for each request, how many one core carries, and how long the slowest wait.

use std::time::Duration;

use sha2::{Digest as _, Sha256};
use tokio::time::Instant;

use super::Bench;
use crate::load::{Closed, Seen};
use crate::machine;
use crate::proxy::{Kind, Proxy, Wire};
use crate::table::{Row, median, micros, per_second, quantile, times};
use crate::upstream::CONVERSE;

/// The time at the start of each turn that is not counted.
pub(super) const SETTLE: Duration = Duration::from_millis(200);

/// The measurements of one proxy in its turns.
#[derive(Debug, Default)]
pub(super) struct Turns {
    /// Microseconds of CPU for each request.
    cpu: Vec<f64>,
    /// Requests a second.
    rate: Vec<f64>,
    /// The share of the window in which the proxy's core was busy.
    busy: Vec<f64>,
    p50: Vec<f64>,
    p99: Vec<f64>,
    /// p99 as a multiple of p50.
    tail: Vec<f64>,
    /// The share of the mean that the slowest connection had.
    slowest: Vec<f64>,
}

/// The medians over a proxy's turns.
#[derive(Debug, Clone, Copy)]
pub(super) struct Figures {
    pub(super) cpu: f64,
    pub(super) rate: f64,
    busy: f64,
    pub(super) p50: f64,
    pub(super) p99: f64,
    pub(super) tail: f64,
    pub(super) slowest: f64,
}

pub(super) async fn plain(bench: &Bench<'_>) -> Vec<Row> {
    let results = matrix(bench, Wire::Plain).await;
    let of = |connections, kibibytes, figure: fn(&Figures) -> f64| -> Option<[f64; 3]> {
        let (_, figures) = results.iter().find(|(case, _)| *case == (connections, kibibytes))?;
        Some(figures.each_ref().map(figure))
    };
    let cost = |what, connections, most: f64| {
        of(connections, 1, |figures| figures.cpu).map(|[nginx, floor, gateway]| {
            Row::of(what, [nginx, floor, gateway].map(micros))
                .figure(times(gateway / nginx))
                .target(format!("≤ {most:.2} × nginx"), gateway <= most * nginx)
        })
    };
    let large = of(16, 100, |figures| figures.cpu).map(|[nginx, floor, gateway]| {
        let hash = hashing(100 * 1024);
        let most = hash + 1.5 * nginx;
        let target = format!("≤ {} (hashing it once, {}, + 1.5 × nginx)", micros(most), micros(hash));
        Row::of("… 100 KiB, 16 connections", [nginx, floor, gateway].map(micros))
            .figure(micros(gateway))
            .target(target, gateway <= most)
    });
    let throughput = |what, connections| {
        of(connections, 1, |figures| figures.rate).map(|[nginx, floor, gateway]| {
            Row::of(what, [nginx, floor, gateway].map(per_second))
                .figure(times(gateway / nginx))
                .target("≥ 0.65 × nginx", gateway >= 0.65 * nginx)
        })
    };
    [
        cost("CPU per request, 1 KiB, 16 connections", 16, 1.40),
        cost("… 256 connections", 256, 1.30),
        large,
        throughput("requests/s of one core, 16 connections", 16),
        throughput("… 256 connections", 256),
    ]
    .into_iter()
    .flatten()
    .collect()
}

pub(super) async fn tls(bench: &Bench<'_>) -> Option<Row> {
    let results = matrix(bench, Wire::Tls).await;
    let (_, figures) = results.into_iter().find(|(case, _)| *case == (16, 1))?;
    let [nginx, floor, gateway] = figures.map(|figures| figures.cpu);
    let row = Row::of(
        "TLS on both sides: CPU per request, 1 KiB, 16 connections",
        [nginx, floor, gateway].map(micros),
    );
    Some(row.figure(times(gateway / nginx)).target("≤ 1.15 × nginx with TLS", gateway <= 1.15 * nginx))
}

/// Every number of connections with every size in KiB, and the figures of each proxy.
async fn matrix(bench: &Bench<'_>, wire: Wire) -> Vec<((usize, usize), [Figures; 3])> {
    let proxies = bench.start_all(wire).await;
    heading(&format!("closed loop, {wire:?}"));
    let mut results = Vec::new();
    for &connections in &bench.effort.connections {
        for &kibibytes in &bench.effort.sizes {
            results.push(((connections, kibibytes), rounds(bench, &proxies, connections, kibibytes).await));
        }
    }
    results
}

/// Alternating rounds of this many connections and bodies of this size. Prints the figures of each proxy.
pub(super) async fn rounds<const N: usize>(
    bench: &Bench<'_>,
    proxies: &[Proxy; N],
    connections: usize,
    kibibytes: usize,
) -> [Figures; N] {
    let requests = bench.requests(CONVERSE, kibibytes * 1024);
    let mut turns: [Turns; N] = std::array::from_fn(|_| Turns::default());
    for _ in 0..bench.effort.rounds {
        for (proxy, turns) in proxies.iter().zip(&mut turns) {
            let load = Closed::start(proxy.target(), connections, &requests).await;
            turn(bench, proxy, &load, turns).await;
            load.finish().await;
        }
    }
    let what = format!("{connections} connections, {kibibytes} KiB");
    let mut names = proxies.iter().map(|proxy| proxy.kind().name());
    turns.map(|turns| report(&what, names.next().unwrap_or_default(), turns))
}

/// One proxy's window.
pub(super) async fn turn(bench: &Bench<'_>, proxy: &Proxy, load: &Closed, turns: &mut Turns) {
    load.watch(SETTLE).await;
    let before = machine::cpu(proxy.process());
    let seen = load.watch(bench.effort.time).await;
    let used = machine::cpu(proxy.process()) - before;
    assert!(seen.requests > 0, "{} answered nothing", proxy.kind().name());
    turns.add(&seen, used);
}

impl Turns {
    /// Adds what was seen while the proxy used this many microseconds of CPU.
    fn add(&mut self, seen: &Seen, used: f64) {
        let (waits, seconds) = (seen.waits(), seen.took.as_secs_f64());
        let (p50, p99) = (quantile(waits.clone(), 0.5), quantile(waits, 0.99));
        self.cpu.push(used / seen.requests as f64);
        self.rate.push(seen.requests as f64 / seconds);
        self.busy.push(used / 1e6 / seconds);
        self.p50.push(p50);
        self.p99.push(p99);
        self.tail.push(p99 / p50);
        self.slowest.push(seen.slowest());
    }

    fn medians(self) -> Figures {
        Figures {
            cpu: median(self.cpu),
            rate: median(self.rate),
            busy: median(self.busy),
            p50: median(self.p50),
            p99: median(self.p99),
            tail: median(self.tail),
            slowest: median(self.slowest),
        }
    }
}

pub(super) fn heading(text: &str) {
    println!(
        "\n{text}\n{:34} {:10} {:>9} {:>11} {:>5} {:>11} {:>11} {:>8} {:>8}",
        "", "", "CPU", "requests/s", "busy", "p50", "p99", "p99/p50", "slowest"
    );
}

/// Prints the figures of nginx, bare hyper and the gateway.
pub(super) fn report_all(what: &str, turns: [Turns; 3]) -> [Figures; 3] {
    let [nginx, floor, gateway] = turns;
    [(Kind::Nginx, nginx), (Kind::Floor, floor), (Kind::Gateway, gateway)]
        .map(|(kind, turns)| report(what, kind.name(), turns))
}

/// Prints the figures of one proxy.
pub(super) fn report(what: &str, name: &str, turns: Turns) -> Figures {
    let figures = turns.medians();
    let Figures { cpu, rate, busy, p50, p99, tail, slowest } = figures;
    println!(
        "{what:34} {name:10} {:>9} {:>11} {:>4.0}% {:>11} {:>11} {:>8} {slowest:>8.2}",
        micros(cpu),
        per_second(rate),
        busy * 100.0,
        micros(p50),
        micros(p99),
        times(tail),
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

/// Microseconds that one call takes: the median of five times `repeats` calls.
pub(super) fn timed(repeats: u32, what: impl Fn()) -> f64 {
    let round = || {
        let start = Instant::now();
        (0..repeats).for_each(|_| what());
        start.elapsed().as_secs_f64() * 1e6 / f64::from(repeats)
    };
    median((0..5).map(|_| round()).collect())
}
