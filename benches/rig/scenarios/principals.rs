//! Many callers beside one that is much busier than they are.

use tokio::join;

use super::Bench;
use super::closed::SETTLE;
use crate::load::{Closed, Requests, in_turn};
use crate::proxy::{Kind, Proxy, Wire};
use crate::table::{Row, median, micros, quantile, times};
use crate::upstream::CONVERSE;

/// Callers with one connection each, whose waits are measured.
const OTHERS: usize = 64;
/// Connections beside them: less than the concurrent requests that the gateway allows one caller.
const BESIDE: usize = 192;
/// Most that the others' p99 may be if one caller has these connections, as a multiple of p99 if each has another.
const MOST: f64 = 1.2;

pub(super) async fn beside_one(bench: &Bench<'_>) -> Row {
    let proxies = bench.start_all(Wire::Plain).await;
    let requests = |users| in_turn(bench.world.requests_of(users, CONVERSE, 1024));
    let others = requests(0..OTHERS);
    let (one, many) = (requests(OTHERS..OTHERS + 1), requests(OTHERS..OTHERS + BESIDE));
    let mut p99 = Kind::ALL.map(|_| (Vec::new(), Vec::new()));
    for _ in 0..bench.effort.rounds {
        for (proxy, (beside_one, beside_many)) in proxies.iter().zip(&mut p99) {
            beside_many.push(wait(bench, proxy, &others, &many).await);
            beside_one.push(wait(bench, proxy, &others, &one).await);
        }
    }
    println!(
        "\np99 of {OTHERS} callers beside {BESIDE} connections\n{:10} {:>14} {:>14}",
        "", "of one", "of many"
    );
    let [nginx, floor, gateway] = p99.map(|(one, many)| (median(one), median(many)));
    for (kind, (one, many)) in Kind::ALL.into_iter().zip([nginx, floor, gateway]) {
        println!("{:10} {:>14} {:>14}", kind.name(), micros(one), micros(many));
    }
    let share = gateway.0 / gateway.1;
    Row::of(
        format!("p99 of {OTHERS} callers beside one with {BESIDE} connections"),
        [nginx, floor, gateway].map(|(one, _)| micros(one)),
    )
    .figure(times(share))
    .target(format!("≤ {MOST:.2} × the same beside {BESIDE} callers"), share <= MOST)
}

/// p99 of the others, microseconds.
async fn wait(bench: &Bench<'_>, proxy: &Proxy, others: &Requests, beside: &Requests) -> f64 {
    let beside = Closed::start(proxy.target(), BESIDE, beside).await;
    let others = Closed::start(proxy.target(), OTHERS, others).await;
    // Every session has been fetched when the window begins.
    join!(others.watch(2 * SETTLE), beside.watch(2 * SETTLE));
    let seen = others.watch(bench.effort.time).await;
    others.finish().await;
    beside.finish().await;
    quantile(seen.waits(), 0.99)
}
