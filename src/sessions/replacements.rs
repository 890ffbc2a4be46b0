//! The sessions that were replaced because Bedrock refused their credentials.

use std::sync::Arc;
use std::time::Duration;

use moka::sync::Cache;
use tokio::time::Instant;

use crate::identity::SessionIdentity;

/// The shortest time between two replacements of a session.
const MIN_TIME_BETWEEN: Duration = Duration::from_mins(1);

/// When the session of each identity was last replaced. With one time to live for all entries, moka removes few of them
/// at once.
pub(super) struct Replacements(Cache<Arc<SessionIdentity>, Instant>);

impl Replacements {
    /// No replacements yet, of this many identities at most.
    pub(super) fn new(capacity: u64) -> Self {
        Self(Cache::builder().max_capacity(capacity).time_to_live(MIN_TIME_BETWEEN).build())
    }

    /// Notes that a session was replaced now.
    pub(super) fn note(&self, id: Arc<SessionIdentity>) {
        self.0.insert(id, Instant::now());
    }

    /// Whether the session of this identity was replaced less than a minute ago.
    pub(super) fn was_recent(&self, id: &Arc<SessionIdentity>) -> bool {
        self.0.get(id).is_some_and(|at| at.elapsed() < MIN_TIME_BETWEEN)
    }
}
