//! Requests at a low rate: the time that a proxy adds to the wait.

use std::time::Duration;

use super::Bench;
use crate::load::{Target, Timing, open};
use crate::proxy::Wire;
use crate::table::{Row, median, micros, quantile};
use crate::upstream::{CONVERSE, stream_path};

/// Requests a second.
const RATE: u32 = 200;
/// Streams a second.
const STREAMS: u32 = 50;
/// Connections that take turns.
const CONNECTIONS: usize = 16;

/// Medians over rounds, microseconds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Waits {
    pub(super) p50: f64,
    pub(super) p99: f64,
}

pub(super) async fn rate(bench: &Bench<'_>) -> Row {
    let what = format!("{RATE} requests/s");
    let waits = waits(bench, &what, RATE, CONVERSE, |timing| timing.whole).await;
    let [direct, nginx, floor, gateway] = waits.map(|waits| waits.p50);
    let added = [nginx, floor, gateway].map(|p50| micros(p50 - direct));
    Row::of("added p50 at 200 requests/s, over direct", added)
        .figure(format!("nginx's + {}", micros(gateway - nginx)))
        .target("≤ nginx's + 50 µs", gateway - nginx <= 50.0)
}

pub(super) async fn first_byte(bench: &Bench<'_>) -> Row {
    let path = stream_path(5, Duration::from_millis(5));
    let waits = waits(bench, "first byte of streams", STREAMS, &path, |timing| timing.first_byte).await;
    let [_, nginx, floor, gateway] = waits.map(|waits| waits.p50);
    Row::of("first byte of a stream, p50", [nginx, floor, gateway].map(micros))
        .figure(format!("nginx's + {}", micros(gateway - nginx)))
        .target("≤ nginx's + 150 µs", gateway - nginx <= 150.0)
}

/// The waits of direct, nginx, floor and gateway.
pub(super) async fn waits(
    bench: &Bench<'_>,
    what: &str,
    rate: u32,
    path: &str,
    of: impl Fn(&Timing) -> Duration,
) -> [Waits; 4] {
    let [nginx, floor, gateway] = &bench.start_all(Wire::Plain).await;
    let direct = Target { address: bench.world.plain_upstream, tls: None };
    let ways = [&direct, nginx.target(), floor.target(), gateway.target()];
    let requests = bench.requests(path, 1024);
    let mut turns = ways.map(|_| (Vec::new(), Vec::new()));
    for _ in 0..bench.effort.rounds {
        for (target, (p50, p99)) in ways.iter().zip(&mut turns) {
            let seen = open(target, CONNECTIONS, rate, 2 * bench.effort.time, &requests).await;
            // The first request of each connection may open one to the upstream, so it is left out.
            let values: Vec<f64> =
                seen.timings.iter().skip(CONNECTIONS).map(|timing| of(timing).as_secs_f64() * 1e6).collect();
            p50.push(quantile(values.clone(), 0.5));
            p99.push(quantile(values, 0.99));
        }
    }
    println!("\n{what}\n{:10} {:>10} {:>10}", "", "p50", "p99");
    let waits = turns.map(|(p50, p99)| Waits { p50: median(p50), p99: median(p99) });
    for (name, Waits { p50, p99 }) in ["direct", "nginx", "bare hyper", "gateway"].iter().zip(&waits) {
        println!("{name:10} {:>10} {:>10}", micros(*p50), micros(*p99));
    }
    waits
}
