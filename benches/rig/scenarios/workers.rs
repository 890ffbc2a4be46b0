//! A gateway with several workers. It may use both cores, so it competes with the load for one of them: a figure means
//! something only beside one that was measured in the same way.

use std::time::Duration;

use super::Bench;
use super::closed::heading;
use super::h2::{OneConnection, STREAMS};
use crate::load::open;
use crate::machine::{self, Cores};
use crate::proxy::{Gateway, Proxy, Wire};
use crate::table::{Row, median, micros, per_second, quantile, times};
use crate::upstream::{ACCEPTED, CONVERSE};

/// Requests a second, below what one worker answers.
const RATE: u32 = 5_000;
/// Connections that take turns.
const CONNECTIONS: usize = 64;
/// Most CPU for each request with two workers, as a multiple of that with one.
const MOST_CPU: f64 = 1.1;
/// Most that the workers' CPU may differ, as a share of the busier one's.
const MOST_DIFFERENCE: f64 = 0.15;

/// Workers of the scenario with cold pools, and as many client connections. None is idle for so long that the gateway
/// closes it.
const COLD_WORKERS: usize = 8;
/// Seconds, in each of which one request is sent.
const COLD_SECONDS: u64 = 16;
/// Most connections to Bedrock for these requests, of which none overlap.
const MOST_OPENED: u64 = 2;

impl Bench<'_> {
    async fn gateway(&self, gateway: &Gateway, wire: Wire, workers: usize, cores: Cores) -> Proxy {
        Proxy::start_gateway(gateway, wire, &self.world, workers, cores).await
    }
}

/// One HTTP/2 connection to two workers, also of the older gateway if there is one.
pub(super) async fn h2(bench: &Bench<'_>) -> [Row; 2] {
    let now = bench.gateway(bench.gateway, Wire::H2, 2, Cores::Both).await;
    let before = match bench.before {
        None => None,
        Some(before) => Some(bench.gateway(before, Wire::H2, 2, Cores::Both).await),
    };
    let (mut turns, mut turns_before) = (OneConnection::default(), OneConnection::default());
    for _ in 0..bench.effort.rounds {
        turns.turn(bench, &now).await;
        if let Some(before) = &before {
            turns_before.turn(bench, before).await;
        }
    }
    heading("one HTTP/2 connection, two workers");
    let figures = turns.report("gateway");
    let figures_before = before.map(|_| turns_before.report("before"));
    let row = |what: String, rate: f64, before: Option<f64>| {
        let row = Row::of_gateway(what, per_second(rate));
        match before {
            None => row,
            Some(before) => row
                .figure(format!("before: {}, so {}", per_second(before), times(rate / before)))
                .target("≥ 1.00 × before", rate >= before),
        }
    };
    [
        row(
            format!("requests/s of one HTTP/2 connection with {STREAMS} streams, two workers"),
            figures.alone.rate,
            figures_before.map(|before| before.alone.rate),
        ),
        row(
            "… beside 50 quiet connections".to_owned(),
            figures.beside.rate,
            figures_before.map(|before| before.beside.rate),
        ),
    ]
}

/// The same load on one worker and on two.
pub(super) async fn fixed_rate(bench: &Bench<'_>) -> Vec<Row> {
    if !bench.gateway.has_workers() {
        println!("\nthe gateway has no `workers` key: no rows for two workers");
        return Vec::new();
    }
    let requests = bench.requests(CONVERSE, 1024);
    let gateways = [
        bench.gateway(bench.gateway, Wire::Plain, 1, Cores::Both).await,
        bench.gateway(bench.gateway, Wire::Plain, 2, Cores::Both).await,
    ];
    let mut cpu = [Vec::new(), Vec::new()];
    let mut differences = Vec::new();
    for _ in 0..bench.effort.rounds {
        for (gateway, cpu) in gateways.iter().zip(&mut cpu) {
            let (before, before_each) = used(gateway);
            let seen = open(gateway.target(), CONNECTIONS, RATE, 2 * bench.effort.time, &requests).await;
            let (after, after_each) = used(gateway);
            cpu.push((after - before) / seen.requests as f64);
            let each: Vec<f64> =
                after_each.iter().zip(before_each).map(|(after, before)| after - before).collect();
            if let [first, second] = each[..] {
                differences.push((first - second).abs() / first.max(second));
            }
        }
    }
    let [one, two] = cpu.map(median);
    let difference = median(differences);
    vec![
        Row::of_gateway(
            "CPU per request at 5,000 requests/s, two workers",
            format!("{} (one worker: {})", micros(two), micros(one)),
        )
        .figure(times(two / one))
        .target(format!("≤ {MOST_CPU:.2} × one worker's"), two <= MOST_CPU * one),
        Row::of_gateway("… difference between the workers' CPU", format!("{:.0} %", difference * 100.0))
            .target(format!("≤ {:.0} %", MOST_DIFFERENCE * 100.0), difference <= MOST_DIFFERENCE),
    ]
}

/// Microseconds of CPU that all threads have used, and each worker.
fn used(gateway: &Proxy) -> (f64, Vec<f64>) {
    (machine::cpu(gateway.process()), machine::cpu_of_workers(gateway.process()))
}

/// One request a second on client connections that are spread over eight workers.
pub(super) async fn cold_pools(bench: &Bench<'_>) -> Row {
    let before = ACCEPTED.get();
    let gateway = bench.gateway(bench.gateway, Wire::Plain, COLD_WORKERS, Cores::Proxy).await;
    let requests = bench.requests(CONVERSE, 1024);
    let time = Duration::from_secs(COLD_SECONDS);
    let seen = open(gateway.target(), COLD_WORKERS, 1, time, &requests).await;
    let opened = ACCEPTED.get() - before;
    let p50 = quantile(seen.waits(), 0.5);
    Row::of_gateway(
        format!("connections to Bedrock, {COLD_WORKERS} workers, one request a second"),
        format!("{opened} for {} requests, p50 {}", seen.requests + 1, micros(p50)),
    )
    .figure(opened.to_string())
    .target(format!("≤ {MOST_OPENED}"), opened <= MOST_OPENED)
}
