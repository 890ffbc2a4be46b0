//! HTTP/2 in front: many streams of one connection.

use super::Bench;
use super::closed::{Turns, heading, report_all, turn};
use crate::load::Closed;
use crate::proxy::{Kind, Wire};
use crate::upstream::CONVERSE;

/// Most streams of one connection: nginx accepts no more.
const MOST_STREAMS: usize = 128;

/// Every number of streams with every size; there is no target.
pub(super) async fn closed(bench: &Bench<'_>) {
    let proxies = bench.start_all(Wire::H2).await;
    heading("closed loop, HTTP/2 in front");
    for &streams in bench.effort.connections.iter().filter(|streams| **streams <= MOST_STREAMS) {
        for &kibibytes in &bench.effort.sizes {
            let request = bench.world.h2_request(CONVERSE, kibibytes * 1024);
            let mut turns = Kind::ALL.map(|_| Turns::default());
            for _ in 0..bench.effort.rounds {
                for (proxy, turns) in proxies.iter().zip(&mut turns) {
                    let load = Closed::start_h2(proxy.target(), streams, request.clone()).await;
                    turn(bench, proxy, &load, turns).await;
                    load.finish().await;
                }
            }
            report_all(&format!("{streams} streams, {kibibytes} KiB"), turns);
        }
    }
}
