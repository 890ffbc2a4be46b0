//! The cost of signing on this machine: a bare proxy that signs, beside the gateway, which does everything else too.

use super::Bench;
use super::closed::{Figures, heading, rounds};
use crate::proxy::{Kind, Wire};
use crate::table::{Row, micros, times};

/// Two lines to read beside those of the plain closed loop; there is no target.
pub(super) async fn floor(bench: &Bench<'_>) -> Vec<Row> {
    let kinds = [Kind::Floor, Kind::Signer, Kind::Gateway];
    let [floor, signer, gateway] = kinds;
    let proxies = [
        bench.start(floor, Wire::Plain).await,
        bench.start(signer, Wire::Plain).await,
        bench.start(gateway, Wire::Plain).await,
    ];
    heading("closed loop, beside a bare proxy that signs");
    let mut rows = Vec::new();
    for (what, connections) in
        [("signing alone, over bare hyper, 16 connections", 16), ("… 256 connections", 256)]
    {
        let figures = rounds(bench, &proxies, connections, 1).await;
        let [floor, signer, gateway] = figures.map(|figures: Figures| figures.cpu);
        rows.push(
            Row::of(what, [String::new(), micros(signer - floor), micros(gateway)])
                .figure(format!("{} a bare proxy that signs", times(gateway / signer))),
        );
    }
    rows
}
