//! The longest waits: of connections that are never idle, and at a rate that the proxy carries easily.

use super::Bench;
use super::closed::{Figures, heading, rounds};
use super::paced::waits;
use crate::proxy::Wire;
use crate::table::{Row, micros, times};
use crate::upstream::CONVERSE;

/// Numbers of connections, as the table shows them. Those with a target fill more than one round of a runtime's queue.
const CONNECTIONS: [(usize, &str, bool); 4] =
    [(16, "16", false), (64, "64", false), (256, "256", true), (1_000, "1,000", true)];
/// Most that p99 ÷ p50 may be, as a multiple of bare hyper's: both serve from one thread, so what is more is the gateway's.
const MOST_TAIL: f64 = 1.2;
/// Least answers of the slowest connection, as a share of the mean.
const LEAST_SHARE: f64 = 0.5;
/// Requests a second.
const RATE: u32 = 1_000;

pub(super) async fn busy(bench: &Bench<'_>) -> Vec<Row> {
    let proxies = bench.start_all(Wire::Plain).await;
    heading("closed loop, tails");
    let mut rows = Vec::new();
    for (connections, shown, has_target) in CONNECTIONS {
        let figures = rounds(bench, &proxies, connections, 1).await;
        rows.extend(lines(shown, has_target, &figures));
    }
    rows
}

fn lines(connections: &str, has_target: bool, figures: &[Figures; 3]) -> Vec<Row> {
    let of = |figure: fn(&Figures) -> f64| figures.each_ref().map(figure);
    let [_, floor, gateway] = of(|figures| figures.tail);
    let wait = Row::of(format!("p99, {connections} connections"), of(|figures| figures.p99).map(micros));
    let tail = Row::of("… p99 ÷ own p50", of(|figures| figures.tail).map(times))
        .figure(format!("bare hyper's × {:.2}", gateway / floor));
    if !has_target {
        return vec![wait, tail];
    }
    let share = of(|figures| figures.slowest);
    let slowest = Row::of("… slowest connection's share of the mean", share.map(times));
    vec![
        wait,
        tail.target(format!("≤ bare hyper's × {MOST_TAIL:.2}"), gateway <= MOST_TAIL * floor),
        slowest.figure(times(share[2])).target(format!("≥ {LEAST_SHARE:.2} ×"), share[2] >= LEAST_SHARE),
    ]
}

/// Requests at a fixed rate, timed from the instant that was planned for each.
pub(super) async fn open_loop(bench: &Bench<'_>) -> [Row; 2] {
    let what = format!("{RATE} requests/s, open loop");
    let [direct, nginx, floor, gateway] = waits(bench, &what, RATE, CONVERSE, |timing| timing.whole).await;
    let proxies = [nginx, floor, gateway];
    let p50 = proxies.map(|waits| micros(waits.p50));
    let p99 = proxies.map(|waits| micros(waits.p99));
    [
        Row::of("p50 at 1,000 requests/s, from the planned instant", p50)
            .figure(format!("direct: {}", micros(direct.p50))),
        Row::of("… p99", p99).figure(format!("direct: {}", micros(direct.p99))),
    ]
}
