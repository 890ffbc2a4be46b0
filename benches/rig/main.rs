//! The gateway compared with nginx and with a bare hyper proxy: the cost of verification, signing and the log.
//!
//! `cargo bench --bench rig` runs everything and prints the table of targets; `-- --help` tells how to run
//! a part of it. Needs Linux, two cores, `taskset` and nginx.
//!
//! Each proxy runs alone on one core; load, upstream and the stand-ins for STS and the identity provider run on
//! the other. Rounds alternate between the proxies, and figures are medians over rounds. A request that is not
//! answered as expected ends the run.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::cast_precision_loss)]

mod floor;
mod frames;
mod instructions;
mod load;
mod machine;
mod metered;
mod proxy;
mod scenarios;
mod sessions;
mod signing;
mod table;
mod upstream;
mod world;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};

use crate::proxy::Gateway;

/// The gateway beside nginx and a bare hyper proxy
#[derive(Debug, Parser)]
struct Arguments {
    /// Only scenarios whose name contains one of these
    only: Vec<String>,
    /// Alternating rounds of each scenario
    #[arg(long, default_value_t = 6)]
    rounds: usize,
    /// Seconds of load on each proxy in a round
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
    /// Numbers of connections in the closed loops
    #[arg(long, value_delimiter = ',', default_values_t = [1, 16, 64, 256])]
    connections: Vec<usize>,
    /// Sizes of bodies in the closed loops, KiB
    #[arg(long, value_delimiter = ',', default_values_t = [1, 100])]
    sizes: Vec<usize>,
    /// Short run: one round of half a second; do not quote its figures
    #[arg(long)]
    quick: bool,
    /// The gateway to measure instead of the one just built
    #[arg(long, default_value = env!("CARGO_BIN_EXE_bedrock-gateway"))]
    gateway: PathBuf,
    /// An older gateway, to compare streams of one connection on two workers with
    #[arg(long)]
    before: Option<PathBuf>,
    #[command(subcommand)]
    part: Option<Part>,
    /// The argument that cargo adds after all others
    #[arg(long, hide = true, global = true)]
    bench: bool,
}

/// The other parts. The program starts itself as one of the last three, in processes of their own.
#[derive(Debug, Subcommand)]
enum Part {
    Instructions(instructions::Settings),
    #[command(hide = true)]
    ServeFloor(floor::Settings),
    #[command(hide = true)]
    FillSessions(sessions::Settings),
    #[command(hide = true)]
    ServeMetered(metered::Settings),
}

/// The duration and number of rounds, and the closed loops to run.
#[derive(Debug, Clone)]
struct Effort {
    rounds: usize,
    time: Duration,
    connections: Vec<usize>,
    sizes: Vec<usize>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match arguments.part {
        Some(Part::ServeFloor(settings)) => floor::run(&settings),
        Some(Part::FillSessions(settings)) => sessions::run(&settings),
        Some(Part::ServeMetered(settings)) => metered::run(&settings),
        Some(Part::Instructions(settings)) => {
            machine::pin_this_process();
            return instructions::run(&settings, &Gateway::of(&arguments.gateway));
        }
        None => {
            machine::pin_this_process();
            let Arguments { rounds, seconds, connections, sizes, .. } = arguments;
            let (rounds, seconds) = if arguments.quick { (1, 0.5) } else { (rounds, seconds) };
            let effort = Effort { rounds, time: Duration::from_secs_f64(seconds), connections, sizes };
            let before = arguments.before.as_deref().map(Gateway::of);
            scenarios::run(&Gateway::of(&arguments.gateway), before.as_ref(), effort, &arguments.only);
        }
    }
    ExitCode::SUCCESS
}
