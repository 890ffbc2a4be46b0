//! For each identity without a session: the last failure of STS, until the gateway may call STS again. So not every
//! request calls STS.

use std::sync::Arc;
use std::time::Duration;

use moka::policy::EvictionPolicy;
use moka::sync;
use tokio::time::Instant;

use super::SessionError;
use crate::identity::SessionIdentity;
use crate::jitter;

/// The time after a denial in which the gateway does not call STS again for the same identity.
const DENIAL: Duration = Duration::from_secs(5);
/// The pause before the next call to STS is at most this long after the first unusable answer for an identity.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// The pause is never longer than this, however many answers were unusable.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// The most identities in memory, and the time after which a failure is forgotten and the pauses begin again.
const REFUSALS: u64 = 10_000;
const REFUSALS_KEPT: Duration = Duration::from_mins(1);

/// The last failure of STS for each identity without a session.
pub(super) struct Refusals(sync::Cache<Arc<SessionIdentity>, Refusal>);

#[derive(Clone)]
struct Refusal {
    error: SessionError,
    /// The moment from which the gateway may call STS again.
    until: Instant,
    /// The unusable answers since the last denial or session. Each doubles the next pause.
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

    /// The last failure, if the gateway may not yet call STS again for this identity.
    pub(super) fn get(&self, id: &Arc<SessionIdentity>) -> Option<SessionError> {
        self.0.get(id).filter(|refusal| Instant::now() < refusal.until).map(|refusal| refusal.error)
    }

    /// Remembers a denial for five seconds, and [`SessionError::Unavailable`] for a pause. The pause doubles each time,
    /// from at most 250 ms to at most 5 s. All other errors are not remembered.
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
