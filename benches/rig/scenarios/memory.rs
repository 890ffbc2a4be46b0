//! Memory in use: idle, with a thousand streams open, and with a hundred thousand sessions.

use std::time::Duration;

use super::Bench;
use crate::load::Closed;
use crate::machine;
use crate::proxy::{Kind, Wire};
use crate::sessions;
use crate::table::{Row, median, megabytes, micros, times};
use crate::upstream::{FRAMES_SENT, stream_path};

const STREAMS: usize = 1_000;
const APART: Duration = Duration::from_millis(100);
const SESSIONS: usize = 100_000;

#[derive(Debug, Default)]
struct Held {
    idle: Vec<f64>,
    /// The part of `idle` that is no page of a file.
    own: Vec<f64>,
    open: Vec<f64>,
    /// Microseconds of CPU for each frame.
    cpu: Vec<f64>,
}

pub(super) async fn streams(bench: &Bench<'_>) -> [Row; 4] {
    let frames = 50 + usize::try_from(bench.effort.time.as_millis() / APART.as_millis()).unwrap();
    let requests = bench.requests(&stream_path(frames, APART), 1024);
    let mut held = Kind::ALL.map(|_| Held::default());
    for _ in 0..bench.effort.rounds {
        for (kind, held) in Kind::ALL.into_iter().zip(&mut held) {
            let proxy = bench.start(kind, Wire::Plain).await;
            held.idle.push(proxy.process().memory("VmRSS") as f64);
            held.own.push(proxy.process().memory("RssAnon") as f64);
            let load = Closed::start(proxy.target(), STREAMS, &requests).await;
            tokio::time::sleep(10 * APART).await;
            let (sent, used) = (FRAMES_SENT.get(), machine::cpu(proxy.process()));
            tokio::time::sleep(bench.effort.time).await;
            let (sent, used) = (FRAMES_SENT.get() - sent, machine::cpu(proxy.process()) - used);
            held.cpu.push(used / sent as f64);
            held.open.push(proxy.process().memory("VmRSS") as f64);
            assert_eq!(load.finish().await, STREAMS as u64, "as many as were open at once");
        }
    }
    let idle = held.each_ref().map(|held| median(held.idle.clone()));
    let own = held.each_ref().map(|held| median(held.own.clone()));
    let open = held.each_ref().map(|held| median(held.open.clone()));
    let [nginx, floor, gateway] = held.map(|held| median(held.cpu));
    let memory = |what, values: [f64; 3], most: f64| {
        Row::of(what, values.map(megabytes))
            .figure(megabytes(values[2]))
            .target(format!("≤ {most} MB"), values[2] <= most * 1e6)
    };
    [
        Row::of("CPU per stream frame, 1,000 streams", [nginx, floor, gateway].map(micros))
            .figure(times(gateway / nginx))
            .target("≤ 1.25 × nginx", gateway <= 1.25 * nginx),
        memory("resident memory: idle", idle, 16.0),
        Row::of("… without the pages of the program and its libraries", own.map(megabytes)),
        memory("… 1,000 streams open", open, 55.0),
    ]
}

pub(super) fn sessions(bench: &Bench<'_>) -> Row {
    let (each, token) = sessions::measure(&bench.world, SESSIONS);
    let beyond = (each - token) / 1024.0;
    Row::of_gateway(
        "memory per cached session, 100,000 of them, beyond its token",
        format!("{:.2} KiB", each / 1024.0),
    )
    .figure(format!("{beyond:.2} KiB"))
    .target("≤ 3 KiB", beyond <= 3.0)
}
