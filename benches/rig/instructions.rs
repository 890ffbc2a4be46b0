//! The instructions of a request in the gateway's process, counted by callgrind. The count is the same on every machine
//! and under every load, so a review shows whether a change makes requests cost more.
//!
//! The benchmark counts twice, with few requests and with many. The difference leaves out the start and the stop of the
//! process.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};
use std::time::Duration;

use bedrock_bed::{Process, Signal, free_addresses};
use bytes::Bytes;
use clap::Args;
use serde::{Deserialize, Serialize};
use tokio::task::LocalSet;

use crate::load::{self, Closed, Target, once};
use crate::machine::on_proxy_core;
use crate::proxy::{Gateway, Wire};
use crate::upstream::{CONVERSE, stream_path};
use crate::world::World;

/// Count instructions of a request and compare with benches/instructions.toml
#[derive(Debug, Args)]
pub(crate) struct Settings {
    /// Write the counts to the file instead of comparing
    #[arg(long)]
    update: bool,
    /// Keep callgrind's files in this folder, for `callgrind_annotate`
    #[arg(long)]
    profiles: Option<PathBuf>,
}

/// The share by which a count may grow; a larger growth is a failure.
const TOLERANCE: f64 = 0.05;

const HEAD: &str = "\
# Instructions for each request or frame, of the gateway's process alone, counted by callgrind.
#   cargo bench --bench rig -- instructions             compares
#   cargo bench --bench rig -- instructions --update    writes this file
";

/// Instructions, rounded to hundreds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Counts {
    /// A request of 1 KiB whose token is remembered.
    small: u64,
    /// One of 100 KiB.
    large: u64,
    /// One of 1 KiB whose token is new (RS256).
    new_token: u64,
    /// A frame of a stream.
    frame: u64,
}

/// Requests in the smaller and in the larger count. The difference between them is the number that is measured.
const FEW: usize = 50;
const MANY: usize = 550;
/// Frames of each stream.
const FRAMES: usize = 20;

pub(crate) fn run(settings: &Settings, gateway: &Gateway) -> ExitCode {
    let counts = Counter { gateway, profiles: settings.profiles.as_deref() }.all();
    let text = format!("{HEAD}{}", toml::to_string(&counts).unwrap());
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/instructions.toml");
    if settings.update {
        fs::write(&file, text).unwrap();
        println!("{}", file.display());
        return ExitCode::SUCCESS;
    }
    let expected: Counts = toml::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
    let mut grown = false;
    for (what, expected, counted) in [
        ("small", expected.small, counts.small),
        ("large", expected.large, counts.large),
        ("new_token", expected.new_token, counts.new_token),
        ("frame", expected.frame, counts.frame),
    ] {
        let change = counted as f64 / expected as f64 - 1.0;
        grown |= change > TOLERANCE;
        println!("{what:10} expected {expected:>9}   counted {counted:>9}   {:+.1} %", change * 100.0);
    }
    if grown {
        eprintln!(
            "requests take more instructions than benches/instructions.toml says: find out why, or, if it is \
             worth it, write the new counts down with `cargo bench --bench rig -- instructions --update`"
        );
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

struct Counter<'a> {
    gateway: &'a Gateway,
    profiles: Option<&'a Path>,
}

impl Counter<'_> {
    fn all(&self) -> Counts {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (counts, world) = LocalSet::new().block_on(&runtime, async {
            let world = World::start().await;
            let in_turn = |path: &str, size: usize| -> Vec<Bytes> {
                world.requests(path, size).into_iter().cycle().take(MANY).collect()
            };
            let stream = stream_path(FRAMES, Duration::from_millis(1));
            let small = self.each(&world, "small", in_turn(CONVERSE, 1024)).await;
            let large = self.each(&world, "large", in_turn(CONVERSE, 100 * 1024)).await;
            let new_token = world.with_new_tokens(MANY, CONVERSE, 1024);
            let new_token = self.each(&world, "new-token", new_token).await;
            let stream = self.each(&world, "stream", in_turn(&stream, 1024)).await;
            let frame = stream.saturating_sub(small) / (FRAMES as u64 - 1);
            (Counts { small, large, new_token, frame }, world)
        });
        world.end();
        counts
    }

    /// Instructions of one of these requests.
    async fn each(&self, world: &World, name: &str, requests: Vec<Bytes>) -> u64 {
        let few = self.count(world, &format!("{name}-few"), requests[..FEW].to_vec()).await;
        let many = self.count(world, name, requests).await;
        let each = many.saturating_sub(few) / (MANY - FEW) as u64;
        (each + 50) / 100 * 100
    }

    /// Instructions of a process that answers these requests, one after the other.
    async fn count(&self, world: &World, name: &str, requests: Vec<Bytes>) -> u64 {
        let folder = self.profiles.unwrap_or_else(|| world.folder());
        let profile = folder.join(format!("callgrind.{name}"));
        let [address] = free_addresses();
        let target = Target { address, tls: None };
        let mut command = on_proxy_core("valgrind");
        command
            .arg("--tool=callgrind")
            .arg(format!("--callgrind-out-file={}", profile.display()))
            .arg(self.gateway.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let file = self.gateway.file(Wire::Plain, world, target.address, 1);
        let mut process = Process::spawn(world.bed.complete(&mut command, &file));
        // Opens every user's session and connection before the requests that the two counts compare.
        for request in world.requests(CONVERSE, 1024) {
            load::answers(&target, &request).await;
        }
        let count = requests.len() as u64;
        let answered = Closed::start(&target, 1, &once(requests)).await.rest().await;
        assert_eq!(answered, count);
        process.signal(Signal::TERM);
        assert!(process.wait().unwrap().success());
        total(&profile)
    }
}

/// The sum at the end of callgrind's file.
fn total(profile: &Path) -> u64 {
    let text = fs::read_to_string(profile).unwrap();
    let line = text.lines().rev().find_map(|line| line.strip_prefix("totals: "));
    line.expect("callgrind has written its file").trim().parse().unwrap()
}
