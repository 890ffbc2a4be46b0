//! Faults under load: hundreds of users call the real binary again and again while everything around it fails.
//!
//! Run `cargo test --release --test soak -- --minutes 30`, or shorter. The seed decides which faults occur: the test
//! prints it, and `--seed` repeats it. The seed does not decide which call meets which fault, since the clocks are
//! real. The test fails unless all of this is true at the end:
//!
//! - Every answer was correct, or a typed error whose cause was active.
//! - The stand-in's bill names the users who called.
//! - The gateway called STS within the rate limit.
//! - The gateway's memory and descriptors are back where they began.
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
    /// Minutes during which faults occur
    #[arg(long, default_value_t = 1.0)]
    minutes: f64,
    /// Seed that decides which faults occur and who calls; default: a new one each time
    #[arg(long)]
    seed: Option<u64>,
}

/// Traffic without faults before the test measures the gateway's size. It is long enough for every user to call and to
/// renew their token. By then the gateway remembers as much about its users as it ever will.
const WARM_UP: Duration = Duration::from_secs(15);

/// Bytes by which the gateway's memory may grow. Allocators keep memory that was freed, and connections that were
/// aborted and opened again leave holes. A run of half an hour has hundreds of thousands of calls, so memory that grows
/// with their number exceeds the limit.
const MORE_MEMORY: u64 = 24 << 20;

/// The time for which the gateway keeps idle connections to Bedrock, and some time to find them. After that it has no
/// more descriptors than before.
const SETTLES_WITHIN: Duration = Duration::from_secs(60);

/// Frames of an answer, and the time between them: long enough for faults and hang-ups in the middle.
const TOKENS: usize = 20;
const GAP: Duration = Duration::from_millis(2);

/// Most violations that the test prints.
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
    violations.extend(gateway.panics_and_errors());
    violations.extend(reloads(&world, &windows).await);
    if after.descriptors > before.descriptors {
        violations.push(format!("{} descriptors became {}", before.descriptors, after.descriptors));
    }
    if after.resident > before.resident + MORE_MEMORY {
        violations.push(format!("{} bytes of memory became {}", before.resident, after.resident));
    }
    if !gateway.end().await {
        violations.push("the gateway did not exit in time and with success".to_owned());
    }
    judged(&violations)
}

fn judged(violations: &[String]) -> ExitCode {
    if violations.is_empty() {
        println!("\nno violations");
        return ExitCode::SUCCESS;
    }
    println!("\n{} violations", violations.len());
    for violation in violations.iter().take(SHOWN) {
        println!("- {violation}");
    }
    ExitCode::FAILURE
}

/// Returns a violation unless each window of reloads loaded a configuration and the last one is in use.
async fn reloads(world: &World, windows: &[Window]) -> Option<String> {
    let reloads = windows.iter().filter(|window| window.cause == Cause::ConfigurationReloads).count();
    let generation = world.metric("bedrock_gateway_config_generation").await;
    let failed = world.metric("bedrock_gateway_config_reload_failed").await;
    #[expect(clippy::cast_precision_loss, reason = "there are not so many")]
    let wrong = generation < 1.0 + reloads as f64 || failed > 0.0;
    wrong.then(|| format!("generation {generation}, failed {failed}, after {reloads} windows of reloads"))
}

/// Waits until the gateway has no more descriptors than before, for at most [`SETTLES_WITHIN`].
async fn settled(world: &World, gateway: &Gateway, before: Size) -> Size {
    // The AWS SDK keeps idle connections to STS for longer than the gateway keeps those to Bedrock.
    world.bed.standin.sts.server().stop().await;
    let end = Instant::now() + SETTLES_WITHIN;
    while gateway.descriptors() > before.descriptors && Instant::now() < end {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    Size { resident: gateway.resident(), descriptors: gateway.descriptors() }
}

/// Makes the stand-in forget its calls each second: the journal has recorded what the test needs.
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
