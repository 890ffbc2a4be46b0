//! The cache of sessions. Each entry can be used until shortly before its session expires.
//!
//! Each look-up checks whether its entry can still be used; a sweep frees the memory of the others. moka's own expiry
//! would remove all entries that have expired in one look-up, whichever thread makes it: 100,000 of them take a second.

use std::sync::Arc;
use std::time::SystemTime;

use foldhash::quality::RandomState;
use moka::notification::RemovalCause;
use moka::ops::compute::Op;
use moka::policy::EvictionPolicy;
use moka::sync;

use super::cached_session::CachedSession;
use crate::identity::SessionIdentity;
use crate::telemetry::metrics::Metrics;

/// The cached sessions. When there are too many, the least recently used one goes first.
pub(super) struct Cache(sync::Cache<Arc<SessionIdentity>, Arc<CachedSession>, RandomState>);

impl Cache {
    pub(super) fn new(capacity: u64, metrics: Arc<Metrics>) -> Self {
        let sessions = sync::Cache::builder()
            .max_capacity(capacity)
            // moka's default rejects a new entry while all others are used more often.
            .eviction_policy(EvictionPolicy::lru())
            .eviction_listener(move |_, _, cause| {
                if cause == RemovalCause::Size {
                    metrics.session_evicted();
                }
            })
            .build_with_hasher(RandomState::default());
        Self(sessions)
    }

    /// The session of this identity, if it can still be used.
    pub(super) fn get(&self, id: &Arc<SessionIdentity>, now: SystemTime) -> Option<Arc<CachedSession>> {
        self.0.get(id).filter(|live| is_usable(live, now))
    }

    pub(super) fn insert(&self, live: &Arc<CachedSession>) {
        self.0.insert(Arc::clone(live.id()), Arc::clone(live));
    }

    /// Removes the session of this identity if it is the one with this access key.
    pub(super) fn remove(&self, id: &Arc<SessionIdentity>, access_key_id: &str) {
        self.0.entry_by_ref(id).and_compute_with(|entry| match entry {
            Some(live) if live.value().credentials().access_key_id() == access_key_id => Op::Remove,
            _ => Op::Nop,
        });
    }

    /// Frees the memory of the sessions that can no longer be used. It looks at all sessions, which takes too long for a
    /// thread that serves requests.
    pub(super) fn sweep(&self, now: SystemTime) {
        for (id, live) in &self.0 {
            if !is_usable(&live, now) {
                self.remove(&id, live.credentials().access_key_id());
            }
        }
    }

    /// The number of sessions. Unusable ones count until the next [`Cache::sweep`].
    pub(super) fn len(&self) -> u64 {
        self.0.run_pending_tasks();
        self.0.entry_count()
    }

    /// All sessions that can still be used. Not for a thread that serves requests.
    pub(super) fn iter(&self, now: SystemTime) -> impl Iterator<Item = Arc<CachedSession>> {
        self.0.iter().map(|(_, live)| live).filter(move |live| is_usable(live, now))
    }
}

fn is_usable(live: &CachedSession, now: SystemTime) -> bool {
    !live.time_left(now).is_zero()
}
