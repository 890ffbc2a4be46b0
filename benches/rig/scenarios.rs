//! The scenarios, and the rows of the table that they give.

mod closed;
mod h2;
mod memory;
mod paced;
mod polls;
mod principals;
mod signing;
mod start;
mod tails;
mod tokens;
mod workers;

use tokio::task::LocalSet;

use crate::Effort;
use crate::load::Requests;
use crate::proxy::{Gateway, Kind, Proxy, Wire};
use crate::table::Table;
use crate::world::World;

/// The surroundings and settings that every scenario uses.
pub(crate) struct Bench<'a> {
    world: World,
    gateway: &'a Gateway,
    /// An older gateway to compare with.
    before: Option<&'a Gateway>,
    effort: Effort,
}

/// Every scenario whose name contains one of `only`, or all.
pub(crate) fn run(gateway: &Gateway, before: Option<&Gateway>, effort: Effort, only: &[String]) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    LocalSet::new()
        .block_on(&runtime, async {
            tokio::task::spawn_local(spin());
            let bench = Bench { world: World::start().await, gateway, before, effort };
            let wanted = |name: &str| only.is_empty() || only.iter().any(|part| name.contains(part.as_str()));
            let mut table = Table::default();
            if wanted("plain") {
                table.0.extend(closed::plain(&bench).await);
            }
            if wanted("signing") {
                table.0.extend(signing::floor(&bench).await);
            }
            if wanted("tails") {
                table.0.extend(tails::busy(&bench).await);
                table.0.extend(tails::open_loop(&bench).await);
            }
            if wanted("rate") {
                table.0.push(paced::rate(&bench).await);
            }
            if wanted("first-byte") {
                table.0.push(paced::first_byte(&bench).await);
            }
            if wanted("streams") {
                table.0.extend(memory::streams(&bench).await);
            }
            if wanted("sessions") {
                table.0.push(memory::sessions(&bench));
            }
            if wanted("new-tokens") {
                table.0.push(tokens::new_tokens(&bench).await);
            }
            if wanted("tls") {
                table.0.extend(closed::tls(&bench).await);
            }
            if wanted("h2") {
                h2::closed(&bench).await;
            }
            if wanted("h2-one") {
                table.0.extend(h2::one_connection(&bench).await);
            }
            if wanted("h2-workers") {
                table.0.extend(workers::h2(&bench).await);
            }
            if wanted("principals") {
                table.0.push(principals::beside_one(&bench).await);
            }
            if wanted("workers") {
                table.0.extend(workers::fixed_rate(&bench).await);
            }
            if wanted("cold") {
                table.0.push(workers::cold_pools(&bench).await);
            }
            if wanted("polls") {
                table.0.extend(polls::longest(&bench).await);
            }
            if wanted("start") {
                table.0.push(start::first_answer(&bench).await);
            }
            println!("\n{table}");
            bench
        })
        .world
        .end();
}

/// Keeps the core for load awake. Otherwise it falls asleep while it waits for a slow proxy, and the proxy pays for
/// waking it with each write. In a virtual machine that is expensive.
async fn spin() {
    loop {
        tokio::task::yield_now().await;
    }
}

impl Bench<'_> {
    async fn start(&self, kind: Kind, wire: Wire) -> Proxy {
        Proxy::start(kind, wire, &self.world, self.gateway).await
    }

    /// Starts all proxies, in the order of [`Kind::ALL`]. Each waits on the same core for its turn.
    async fn start_all(&self, wire: Wire) -> [Proxy; 3] {
        let [nginx, floor, gateway] = Kind::ALL;
        [self.start(nginx, wire).await, self.start(floor, wire).await, self.start(gateway, wire).await]
    }

    /// The users' requests, in turn.
    fn requests(&self, path: &str, size: usize) -> Requests {
        crate::load::in_turn(self.world.requests(path, size))
    }
}
