//! Remembered callers, bounded in number and in memory.

use std::sync::Arc;
use std::time::SystemTime;

use moka::policy::EvictionPolicy;
use moka::sync::Cache;

use crate::auth::Caller;
use crate::auth::keys::Fingerprint;

/// How many callers are remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheLimits {
    pub callers: u64,
    pub bytes: u64,
}

impl Default for CacheLimits {
    fn default() -> Self {
        Self { callers: 100_000, bytes: 64 * 1024 * 1024 }
    }
}

/// A caller under their token.
pub(super) struct Entry<M> {
    pub(super) caller: Arc<Caller<M>>,
    /// Index of the issuer.
    pub(super) issuer: usize,
    pub(super) key: Fingerprint,
    pub(super) until: SystemTime,
    /// The token's length; its parsed claims take about as much again.
    pub(super) bytes: usize,
}

impl<M> Clone for Entry<M> {
    fn clone(&self) -> Self {
        Self { caller: Arc::clone(&self.caller), ..*self }
    }
}

/// Callers by the SHA-256 of their whole token.
pub(super) struct Remembered<M>(Cache<[u8; 32], Entry<M>>);

impl<M: Send + Sync + 'static> Remembered<M> {
    /// One bound over both limits: an entry weighs its memory, and no less than its share of it.
    pub(super) fn new(limits: CacheLimits) -> Self {
        let share = u32::try_from(limits.bytes / limits.callers.max(1)).unwrap_or(u32::MAX);
        let cache = Cache::builder()
            .max_capacity(limits.bytes)
            .weigher(move |_, entry: &Entry<M>| u32::try_from(2 * entry.bytes).unwrap_or(u32::MAX).max(share))
            .eviction_policy(EvictionPolicy::lru())
            .build();
        Self(cache)
    }

    pub(super) fn get(&self, token: &[u8; 32]) -> Option<Entry<M>> {
        self.0.get(token)
    }

    pub(super) fn put(&self, token: [u8; 32], entry: Entry<M>) {
        self.0.insert(token, entry);
    }

    pub(super) fn forget(&self, token: &[u8; 32]) {
        self.0.invalidate(token);
    }
}
