//! Requests at a low rate: the time that a proxy adds to the wait.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Bench;
use super::closed::micros;
use crate::load::{Target, Timing, open};
use crate::proxy::{Kind, Wire};
use crate::table::{Row, median, quantile};
use crate::upstream::{CONVERSE, stream_path};

/// Requests a second.
const RATE: u32 = 200;
/// Streams a second.
const STREAMS: u32 = 50;

/// Microseconds.
#[derive(Debug, Default)]
struct Waits {
    p50: Vec<f64>,
    p99: Vec<f64>,
}

pub(super) async fn rate(bench: &Bench<'_>) -> Row {
    let whole = |timing: &Timing| timing.whole;
    let [direct, nginx, floor, gateway] =
        waits(bench, &format!("{RATE} requests/s"), RATE, CONVERSE, whole).await;
    let added = |p50: f64| p50 - direct;
    Row {
        what: "added p50 at 200 requests/s, over direct",
        nginx: micros(added(nginx)),
        floor: micros(added(floor)),
        gateway: micros(added(gateway)),
        figure: format!("nginx's + {}", micros(gateway - nginx)),
        target: "≤ nginx's + 50 µs".to_owned(),
        met: gateway - nginx <= 50.0,
    }
}

pub(super) async fn first_byte(bench: &Bench<'_>) -> Row {
    let path = stream_path(5, Duration::from_millis(5));
    let first_byte = |timing: &Timing| timing.first_byte;
    let [_, nginx, floor, gateway] = waits(bench, "first byte of streams", STREAMS, &path, first_byte).await;
    Row {
        what: "first byte of a stream, p50",
        nginx: micros(nginx),
        floor: micros(floor),
        gateway: micros(gateway),
        figure: format!("nginx's + {}", micros(gateway - nginx)),
        target: "≤ nginx's + 150 µs".to_owned(),
        met: gateway - nginx <= 150.0,
    }
}

/// The medians of direct, nginx, floor and gateway.
async fn waits(
    bench: &Bench<'_>,
    what: &str,
    rate: u32,
    path: &str,
    of: impl Fn(&Timing) -> Duration,
) -> [f64; 4] {
    let proxies = bench.start_all(Wire::Plain).await;
    let direct = Target { address: bench.world.plain_upstream, tls: None };
    let ways: Vec<(&str, &Target)> = std::iter::once(("direct", &direct))
        .chain(proxies.iter().map(|proxy| (proxy.kind().name(), proxy.target())))
        .collect();
    let requests = bench.requests(path, 1024);
    let mut waits: BTreeMap<&str, Waits> = BTreeMap::new();
    for _ in 0..bench.effort.rounds {
        for (name, target) in &ways {
            let seen = open(target, rate, 2 * bench.effort.time, &requests).await;
            // The first requests open connections, so they are left out.
            let values: Vec<f64> =
                seen.timings.iter().skip(20).map(|timing| of(timing).as_secs_f64() * 1e6).collect();
            let waits = waits.entry(name).or_default();
            waits.p50.push(quantile(values.clone(), 0.5));
            waits.p99.push(quantile(values, 0.99));
        }
    }
    println!("\n{what}\n{:10} {:>10} {:>10}", "", "p50", "p99");
    ["direct", Kind::Nginx.name(), Kind::Floor.name(), Kind::Gateway.name()].map(|name| {
        let Waits { p50, p99 } = waits.remove(name).unwrap();
        let p50 = median(p50);
        println!("{name:10} {:>10} {:>10}", micros(p50), micros(median(p99)));
        p50
    })
}
