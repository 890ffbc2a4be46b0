//! The gateway beside nginx and beside a bare hyper proxy: what verification, signing and the log cost.
//!
//! `cargo bench --bench proxies` runs everything and prints the table of targets; `-- --help` tells how to run
//! less of it. Needs Linux, two cores, `taskset` and nginx.
//!
//! Each proxy runs alone on one core; load, upstream and the stand-ins for STS and the identity provider run on
//! the other. Rounds alternate between the proxies, and figures are medians over rounds. A request that is not
//! answered as expected ends the run.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::cast_precision_loss)]

mod floor;
mod frames;
mod load;
mod machine;
mod proxy;
mod scenarios;
mod sessions;
mod table;
mod upstream;
mod world;

use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};

/// The gateway beside nginx and a bare hyper proxy
#[derive(Debug, Parser)]
struct Arguments {
    /// Only scenarios whose name contains one of these
    only: Vec<String>,
    /// Alternating rounds of each scenario
    #[arg(long, default_value_t = 6)]
    rounds: usize,
    /// Seconds that a proxy is loaded for in a round
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// A short look: one round of half a second, nothing to be quoted
    #[arg(long)]
    quick: bool,
    /// The gateway to measure instead of the one just built
    #[arg(long, default_value = env!("CARGO_BIN_EXE_bedrock-gateway"))]
    gateway: std::path::PathBuf,
    #[command(subcommand)]
    part: Option<Part>,
    /// What cargo adds
    #[arg(long, hide = true)]
    bench: bool,
}

/// What this program runs itself as, in processes of its own.
#[derive(Debug, Subcommand)]
enum Part {
    #[command(hide = true)]
    Floor(floor::Settings),
    #[command(hide = true)]
    Sessions(sessions::Settings),
}

/// How long and how often is measured.
#[derive(Debug, Clone, Copy)]
struct Effort {
    rounds: usize,
    time: Duration,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match arguments.part {
        Some(Part::Floor(settings)) => floor::run(&settings),
        Some(Part::Sessions(settings)) => sessions::run(&settings),
        None => {
            machine::pin_this_process();
            let effort = if arguments.quick {
                Effort { rounds: 1, time: Duration::from_millis(500) }
            } else {
                Effort { rounds: arguments.rounds, time: Duration::from_secs_f64(arguments.seconds) }
            };
            scenarios::run(&arguments.gateway, effort, &arguments.only);
        }
    }
    ExitCode::SUCCESS
}
