//! The cache of sessions. Each entry stays until shortly before its session expires.
//!
//! moka's own expiry only frees memory, and uses a clock of its own. This module decides whether an entry is still
//! usable, by the same clock as all other modules.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use foldhash::quality::RandomState;
use moka::notification::RemovalCause;
use moka::ops::compute::Op;
use moka::policy::EvictionPolicy;
use moka::{Expiry, sync};

use super::cached_session::CachedSession;
use crate::identity::SessionIdentity;
use crate::telemetry::metrics::Metrics;

/// The cached sessions. When there are too many, the least recently used one goes first.
pub(super) struct Cache(sync::Cache<Arc<SessionIdentity>, Arc<CachedSession>, RandomState>);

impl Cache {
    pub(super) fn new(capacity: u64, now: fn() -> SystemTime, metrics: Arc<Metrics>) -> Self {
        let sessions = sync::Cache::builder()
            .max_capacity(capacity)
            // moka's default rejects a new entry while all others are used more often.
            .eviction_policy(EvictionPolicy::lru())
            .expire_after(UntilUnusable { now })
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
        self.0.get(id).filter(|live| !live.time_left(now).is_zero())
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

    /// The number of sessions, after the expired ones are removed.
    pub(super) fn len(&self) -> u64 {
        self.0.run_pending_tasks();
        self.0.entry_count()
    }

    pub(super) fn iter(&self, now: SystemTime) -> impl Iterator<Item = Arc<CachedSession>> {
        self.0.iter().map(|(_, live)| live).filter(move |live| !live.time_left(now).is_zero())
    }
}

/// The expiry of an entry, new or replaced: the end of its own session. Without this, moka would keep the old deadline
/// for a replaced entry.
struct UntilUnusable {
    now: fn() -> SystemTime,
}

impl Expiry<Arc<SessionIdentity>, Arc<CachedSession>> for UntilUnusable {
    fn expire_after_create(
        &self,
        _: &Arc<SessionIdentity>,
        live: &Arc<CachedSession>,
        _: std::time::Instant,
    ) -> Option<Duration> {
        Some(live.time_left((self.now)()))
    }

    fn expire_after_update(
        &self,
        _: &Arc<SessionIdentity>,
        live: &Arc<CachedSession>,
        _: std::time::Instant,
        _: Option<Duration>,
    ) -> Option<Duration> {
        Some(live.time_left((self.now)()))
    }
}
