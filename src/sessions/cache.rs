//! The sessions that are kept, each until shortly before its end.
//!
//! moka's own expiry only clears away: it goes by a clock of its own. Whether an entry still counts
//! is decided here, by the clock that everything else goes by.

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

/// Sessions, the least recently used given up first when there are too many.
pub(super) struct Cache(sync::Cache<Arc<SessionIdentity>, Arc<CachedSession>, RandomState>);

impl Cache {
    pub(super) fn new(capacity: u64, now: fn() -> SystemTime, metrics: Arc<Metrics>) -> Self {
        let sessions = sync::Cache::builder()
            .max_capacity(capacity)
            // moka's default refuses newcomers for as long as the others are busier.
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
        self.0.get(id).filter(|live| !live.left(now).is_zero())
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

    /// How many there are, once what has ended is cleared away.
    pub(super) fn len(&self) -> u64 {
        self.0.run_pending_tasks();
        self.0.entry_count()
    }

    pub(super) fn iter(&self, now: SystemTime) -> impl Iterator<Item = Arc<CachedSession>> {
        self.0.iter().map(|(_, live)| live).filter(move |live| !live.left(now).is_zero())
    }
}

/// Both a new entry and a replaced one live until their own session ends; moka would keep the old
/// deadline on replacing.
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
        Some(live.left((self.now)()))
    }

    fn expire_after_update(
        &self,
        _: &Arc<SessionIdentity>,
        live: &Arc<CachedSession>,
        _: std::time::Instant,
        _: Option<Duration>,
    ) -> Option<Duration> {
        Some(live.left((self.now)()))
    }
}
