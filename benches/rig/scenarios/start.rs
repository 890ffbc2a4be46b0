//! The time from the start of the process to its first answer.

use tokio::time::Instant;

use super::Bench;
use crate::load;
use crate::proxy::{Kind, Proxy, Wire};
use crate::table::{Row, median};
use crate::upstream::CONVERSE;

pub(super) async fn first_answer(bench: &Bench<'_>) -> Row {
    let request = &bench.world.requests(CONVERSE, 1024)[0];
    let mut took = Kind::ALL.map(|_| Vec::new());
    for _ in 0..2 * bench.effort.rounds {
        for (kind, took) in Kind::ALL.into_iter().zip(&mut took) {
            let start = Instant::now();
            let proxy = Proxy::spawn(kind, Wire::Plain, &bench.world, bench.gateway);
            load::answers(proxy.target(), request).await;
            took.push(start.elapsed().as_secs_f64() * 1e3);
        }
    }
    let [nginx, floor, gateway] = took.map(median);
    let shown = |milliseconds: f64| format!("{milliseconds:.0} ms");
    Row::of("start to first answer, warm identity provider", [nginx, floor, gateway].map(shown))
        .figure(shown(gateway))
        .target("≤ 150 ms", gateway <= 150.0)
}
