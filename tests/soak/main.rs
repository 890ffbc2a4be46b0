//! Faults under load: hundreds of users call the real binary without end while everything around it goes wrong.
//!
//! `cargo test --release --test soak -- --minutes 30`, or shorter. What goes wrong follows from the seed that is
//! printed (`--seed`); what meets what does not, since the clocks are real. At the end every answer must have been
//! right, or a typed error for a cause that was there; the stand-in's bill must be that of the users who called;
//! STS was asked within the bound; the gateway's memory and descriptors are back where they began.
//!
//! Needs Linux.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::string_slice,
    reason = "a test that cannot go on has failed"
)]
#![allow(clippy::disallowed_types, reason = "a test whose lock is poisoned has failed")]

mod dice;
mod gateway;
mod journal;
mod line;
mod patience;
mod report;
mod said;
mod sdk;
mod traffic;
mod trouble;
mod users;
mod verdict;
mod world;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use tokio::time::Instant;

use dice::Dice;
use gateway::Gateway;
use journal::Journal;
use report::{Report, Size};
use traffic::Traffic;
use trouble::{Cause, Director, Weather, Window};
use verdict::Verdict;
use world::World;

/// Faults under load, against the gateway's real binary
#[derive(Debug, Parser)]
struct Arguments {
    /// How long things go wrong
    #[arg(long, default_value_t = 1.0)]
    minutes: f64,
    /// What is to go wrong and who calls; another every time without it
    #[arg(long)]
    seed: Option<u64>,
}

/// Traffic without trouble before the gateway's size is taken: long enough that every user has been there and has
/// renewed his token, so that what it remembers of them is as large as it ever is.
const WARM_UP: Duration = Duration::from_secs(15);

/// How much larger the gateway may be at the end. Allocators keep what they once had, connections that were cut and
/// made anew leave holes; what grows with the number of calls shows in half an hour, which has hundreds of thousands.
const MORE_MEMORY: u64 = 24 << 20;

/// How long idle connections to Bedrock are kept, and some time to look for them: after that no descriptor is used
/// that was not before.
const SETTLES_WITHIN: Duration = Duration::from_secs(60);

/// Frames of an answer, and the time between them: long enough to be broken and hung up on.
const TOKENS: usize = 20;
const GAP: Duration = Duration::from_millis(2);

/// How many violations are spelled out.
const SHOWN: usize = 10;

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let seed = arguments.seed.unwrap_or_else(|| u64::from(std::process::id()) ^ clock_seed());
    println!("seed {seed}");
    tokio::join!(patience::renewal_is_invisible(), patience::a_hanging_sts_is_503_within_the_deadline());
    let mut dice = Dice::new(seed);
    let world = Arc::new(World::new());
    world.bed.standin.bedrock.pace(TOKENS, GAP);
    world.bed.standin.sts.set_lifetime(Some(Duration::from_secs(15)));
    let gateway = Gateway::start(&world).await;
    let descriptors = gateway.descriptors();

    let journal = Arc::new(Journal::new());
    let weather = Weather::start(&world, &journal, dice.split());
    let traffic = Traffic::start(&world, &journal, &mut dice);
    let forgetting = tokio::spawn(forget_calls(Arc::clone(&world)));
    tokio::time::sleep(WARM_UP).await;
    let before = Size { resident: gateway.resident(), descriptors };

    let mut director = Director::new(&world, &gateway, &journal, weather, dice);
    director.run(Instant::now() + Duration::from_secs_f64(arguments.minutes * 60.0)).await;
    let windows = director.windows;
    traffic.end().await;
    let lasted = journal.now();
    forgetting.abort();

    let after = settled(&world, &gateway, before).await;
    let calls = journal.calls();
    Report { seed, lasted, calls: &calls, windows: &windows, world: &world, before, after }.print();

    let verdict = Verdict::new(&world, &journal, &gateway.log, &windows, &calls);
    let mut violations = verdict.violations();
    violations.extend(gateway.cries());
    violations.extend(reloads(&world, &windows).await);
    if after.descriptors > before.descriptors {
        violations.push(format!("{} descriptors became {}", before.descriptors, after.descriptors));
    }
    if after.resident > before.resident + MORE_MEMORY {
        violations.push(format!("{} bytes of memory became {}", before.resident, after.resident));
    }
    if !gateway.end().await {
        violations.push("the gateway did not end well".to_owned());
    }
    judged(&violations)
}

fn judged(violations: &[String]) -> ExitCode {
    if violations.is_empty() {
        println!("\neverything was right");
        return ExitCode::SUCCESS;
    }
    println!("\n{} violations", violations.len());
    for violation in violations.iter().take(SHOWN) {
        println!("- {violation}");
    }
    ExitCode::FAILURE
}

/// The last configuration is in use, and at least one for each time that there were new ones.
async fn reloads(world: &World, windows: &[Window]) -> Option<String> {
    let reloads = windows.iter().filter(|window| window.cause == Cause::ConfigurationReloads).count();
    let generation = world.metric("bedrock_gateway_config_generation").await;
    let failed = world.metric("bedrock_gateway_config_reload_failed").await;
    #[expect(clippy::cast_precision_loss, reason = "there are not so many")]
    let wrong = generation < 1.0 + reloads as f64 || failed > 0.0;
    wrong.then(|| format!("generation {generation}, failed {failed}, after {reloads} times of reloading"))
}

/// Waits until the gateway has no more descriptors than before, or has had its time.
async fn settled(world: &World, gateway: &Gateway, before: Size) -> Size {
    // The SDK keeps connections for longer than Bedrock's are kept.
    world.bed.standin.sts.server().stop().await;
    let end = Instant::now() + SETTLES_WITHIN;
    while gateway.descriptors() > before.descriptors && Instant::now() < end {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    Size { resident: gateway.resident(), descriptors: gateway.descriptors() }
}

/// The journal has what is needed of them.
async fn forget_calls(world: Arc<World>) {
    loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        world.bed.standin.bill.forget_calls();
    }
}

fn clock_seed() -> u64 {
    let now = bedrock_standin::clock::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    u64::from(now.subsec_nanos())
}
