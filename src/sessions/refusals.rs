//! The recent failures of callers without a session. They are remembered for seconds, so that not every request calls
//! STS.

use std::sync::Arc;
use std::time::Duration;

use moka::policy::EvictionPolicy;
use moka::sync;
use tokio::time::Instant;

use super::SessionError;
use crate::identity::SessionIdentity;
use crate::jitter;

/// The time for which a denial is remembered.
const DENIAL: Duration = Duration::from_secs(5);
/// The longest first pause, and the longest pause of all, after a failure of STS for a caller without a session.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// The most callers without a session that are remembered, and the time for which their failures count.
const REFUSALS: u64 = 10_000;
const REFUSALS_KEPT: Duration = Duration::from_mins(1);

/// The remembered failures, each until the gateway may call STS again.
pub(super) struct Refusals(sync::Cache<Arc<SessionIdentity>, Refusal>);

#[derive(Clone)]
struct Refusal {
    error: SessionError,
    until: Instant,
    failures: u32,
}

impl Refusals {
    pub(super) fn new() -> Self {
        let refusals = sync::Cache::builder()
            .max_capacity(REFUSALS)
            .eviction_policy(EvictionPolicy::lru())
            .time_to_live(REFUSALS_KEPT)
            .build();
        Self(refusals)
    }

    /// The refusal that still holds for this identity.
    pub(super) fn get(&self, id: &Arc<SessionIdentity>) -> Option<SessionError> {
        self.0.get(id).filter(|refusal| Instant::now() < refusal.until).map(|refusal| refusal.error)
    }

    /// Remembers why there is no session, unless the reason has nothing to do with this caller.
    pub(super) fn insert(&self, id: &Arc<SessionIdentity>, error: &SessionError) {
        let (pause, failures) = match error {
            SessionError::Denied { .. } => (DENIAL, 0),
            SessionError::Unavailable { .. } => {
                let failures = self.0.get(id).map_or(0, |refusal| refusal.failures);
                let pause = LONGEST_PAUSE.min(FIRST_PAUSE * (1 << failures.min(8)));
                (jitter::up_to(pause), failures + 1)
            }
            SessionError::GatewayRefused { .. }
            | SessionError::TooManySessions
            | SessionError::WrongClearance
            | SessionError::Overloaded => return,
        };
        let refusal = Refusal { error: error.clone(), until: Instant::now() + pause, failures };
        self.0.insert(Arc::clone(id), refusal);
    }

    pub(super) fn remove(&self, id: &Arc<SessionIdentity>) {
        self.0.invalidate(id);
    }
}
