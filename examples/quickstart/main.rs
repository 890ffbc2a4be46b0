//! The gateway, some callers and their bill, with no AWS account: a stand-in plays the identity provider, STS and
//! Bedrock on loopback, and verifies every signature.
//!
//! - `cargo run --example quickstart` tells a few calls step by step, and prints the bill;
//! - `… -- --serve` keeps running, prints what clients need, and shows their requests;
//! - `… -- --config FILE --claims FILE` does the same with the operator's own configuration.

mod arguments;
mod bill;
mod calls;
mod console;
mod gateway;
mod ground;
mod own;
mod paint;
mod paste;
mod people;
mod serve;
mod story;
#[cfg(test)]
mod tests;

use std::error::Error;
use std::process::ExitCode;

use bedrock_gateway::telemetry::access::AccessLog;
use bedrock_gateway::telemetry::log::{LogFormat, LogSettings};
use clap::Parser as _;

use arguments::Arguments;
use ground::Ground;
use paint::{BAD, heading};

type Outcome<T = ()> = Result<T, Box<dyn Error>>;

#[tokio::main]
async fn main() -> ExitCode {
    match run(&Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            anstream::eprintln!("{BAD}error:{BAD:#} {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: &Arguments) -> Outcome {
    let lifetime = arguments.lifetime();
    let mut ground = match (&arguments.config, &arguments.gateway) {
        (Some(file), _) => own::start(file, &arguments.claims, lifetime, shown_log()?).await?,
        (None, Some(program)) => Ground::start_program(lifetime, program).await?,
        (None, None) if arguments.serves() => Ground::start(lifetime, shown_log()?).await?,
        (None, None) => Ground::start(lifetime, AccessLog::memory()).await?,
    };
    if arguments.serves() {
        serve::until_stopped(&ground, arguments.user.as_deref()).await?;
    } else {
        story::tell(&ground).await?;
        bill::print(&ground.bed.standin.bill);
        heading("Next");
        println!("  cargo run --example quickstart -- --serve              to call it yourself");
        println!("  cargo run --example quickstart -- --config FILE …      by your configuration");
        println!("  README.md has the shortest real configuration; docs/DEPLOYING.md is for AWS.");
    }
    ground.gateway.stop().await
}

/// An access log on standard output.
fn shown_log() -> Outcome<AccessLog> {
    let settings = LogSettings { format: LogFormat::Text, file: None, level: "warn".to_owned() };
    Ok(AccessLog::open(&settings, None)?)
}
