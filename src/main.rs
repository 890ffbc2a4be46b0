//! The `bedrock-gateway` command.

use std::process::ExitCode;

use clap::Parser as _;

/// A request makes some hundred small allocations; this one makes them cheap.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    bedrock_gateway::cli::run(&bedrock_gateway::cli::Arguments::parse())
}
