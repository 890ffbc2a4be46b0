//! HTTP/2 in front: many streams of one connection.

use std::time::Duration;

use super::Bench;
use super::closed::{Figures, SETTLE, Turns, heading, report, report_all, turn};
use crate::load::Closed;
use crate::proxy::{Kind, Proxy, Wire};
use crate::table::{Row, median, micros, per_second, quantile};
use crate::upstream::CONVERSE;

/// Streams of the one connection. hyper's servers accept no more.
pub(super) const STREAMS: usize = 200;
/// Quiet connections beside it, and how long each is idle after an answer.
const QUIET: u32 = 50;
const PAUSE: Duration = Duration::from_millis(200);

/// Every number of streams with every size; there is no target.
pub(super) async fn closed(bench: &Bench<'_>) {
    let proxies = bench.start_all(Wire::H2).await;
    heading("closed loop, HTTP/2 in front");
    for &streams in bench.effort.connections.iter().filter(|streams| **streams <= STREAMS) {
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

/// The turns of one busy connection without others, and beside quiet ones.
#[derive(Default)]
pub(super) struct OneConnection {
    alone: Turns,
    beside: Turns,
    /// p99 of the quiet connections, microseconds.
    quiet: Vec<f64>,
}

/// Medians over turns.
#[derive(Debug, Clone, Copy)]
pub(super) struct OneConnectionFigures {
    pub(super) alone: Figures,
    pub(super) beside: Figures,
    /// p99 of the quiet connections, microseconds.
    pub(super) quiet: f64,
}

impl OneConnection {
    /// A turn without others and one beside quiet connections.
    pub(super) async fn turn(&mut self, bench: &Bench<'_>, proxy: &Proxy) {
        let request = bench.world.h2_request(CONVERSE, 1024);
        let load = Closed::start_h2(proxy.target(), STREAMS, request.clone()).await;
        turn(bench, proxy, &load, &mut self.alone).await;
        let quiet = Closed::start_quiet(proxy.target(), QUIET, PAUSE, request).await;
        let time = SETTLE + bench.effort.time;
        let (seen, ()) = tokio::join!(quiet.watch(time), turn(bench, proxy, &load, &mut self.beside));
        quiet.finish().await;
        load.finish().await;
        self.quiet.push(quantile(seen.waits(), 0.99));
    }

    /// Prints the figures of the program `name`.
    pub(super) fn report(self, name: &str) -> OneConnectionFigures {
        OneConnectionFigures {
            alone: report(&format!("{STREAMS} streams, alone"), name, self.alone),
            beside: report(&format!("{STREAMS} streams, {QUIET} quiet ones"), name, self.beside),
            quiet: median(self.quiet),
        }
    }
}

/// One busy connection to each proxy.
pub(super) async fn one_connection(bench: &Bench<'_>) -> [Row; 3] {
    let proxies = bench.start_all(Wire::H2).await;
    let mut turns = Kind::ALL.map(|_| OneConnection::default());
    for _ in 0..bench.effort.rounds {
        for (proxy, turns) in proxies.iter().zip(&mut turns) {
            turns.turn(bench, proxy).await;
        }
    }
    heading("one HTTP/2 connection");
    let [nginx, floor, gateway] = turns;
    let figures = [
        nginx.report(Kind::Nginx.name()),
        floor.report(Kind::Floor.name()),
        gateway.report(Kind::Gateway.name()),
    ];
    let of = |figure: fn(&OneConnectionFigures) -> f64| figures.each_ref().map(figure);
    let quiet = format!("… beside {QUIET} quiet connections");
    [
        Row::of(
            format!("requests/s of one HTTP/2 connection with {STREAMS} streams"),
            of(|figures| figures.alone.rate).map(per_second),
        ),
        Row::of(quiet, of(|figures| figures.beside.rate).map(per_second)),
        Row::of("… p99 of the quiet ones", of(|figures| figures.quiet).map(micros)),
    ]
}
