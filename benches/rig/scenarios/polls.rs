//! The longest poll of a task: for so long nothing else on its worker goes on.

use super::Bench;
use super::closed::SETTLE;
use crate::load::{Closed, Requests, in_turn, once};
use crate::metered::Metered;
use crate::table::{Row, micros};
use crate::upstream::CONVERSE;

/// Requests whose token is new.
const NEW_TOKENS: usize = 1_000;
/// Connections that send large bodies: those of one caller fit into the memory that it may use.
const LARGE: usize = 4;

pub(super) async fn longest(bench: &Bench<'_>) -> Vec<Row> {
    let mut gateway = Metered::start(&bench.world).await;
    let small = bench.requests(CONVERSE, 1024);
    let new_tokens = once(bench.world.with_new_tokens(NEW_TOKENS, CONVERSE, 1024));
    let large = in_turn(bench.world.requests_of(0..1, CONVERSE, 30 * 1024 * 1024));
    let cases: [(&str, usize, &Requests); 5] = [
        ("longest poll, CPU of its thread: 16 connections", 16, &small),
        ("… 256 connections", 256, &small),
        ("… 100 KiB bodies", 16, &bench.requests(CONVERSE, 100 * 1024)),
        ("… 30 MiB bodies", LARGE, &large),
        ("… new tokens", 16, &new_tokens),
    ];
    // The first polls make what later ones find.
    let warm = Closed::start(gateway.target(), 16, &small).await;
    warm.watch(SETTLE).await;
    warm.finish().await;
    let mut rows = Vec::new();
    for (what, connections, requests) in cases {
        gateway.longest();
        let load = Closed::start(gateway.target(), connections, requests).await;
        load.watch(bench.effort.time).await;
        load.finish().await;
        rows.push(Row::of_gateway(what, micros(gateway.longest().as_secs_f64() * 1e6)));
    }
    rows
}
