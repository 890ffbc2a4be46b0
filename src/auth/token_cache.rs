//! The cache of verified callers by the digest of their token, limited in number and in memory.

use std::sync::Arc;
use std::time::SystemTime;

use foldhash::quality::RandomState;
use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use serde_json::{Map, Value};

use crate::auth::key_refresh::IssuerId;
use crate::auth::keys::Fingerprint;
use crate::auth::{Caller, Memo};

/// The limits of the cache: callers, and memory in bytes.
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

/// Approximate memory of an entry without claims and memo, bytes: its key, counters, and the nodes of the cache.
const ENTRY: usize = 256;
/// Memory that is counted for an entry's memo, bytes, until the memo is larger.
const MEMO: usize = 1024;

/// A caller in the cache.
pub(super) struct Entry<M> {
    pub(super) caller: Arc<Caller<M>>,
    pub(super) issuer: IssuerId,
    pub(super) key: Fingerprint,
    /// The time from which the token is rejected. The reader of the entry must check it.
    pub(super) until: SystemTime,
    /// The memory that is counted for the entry, bytes.
    weight: usize,
    /// The part of `weight` that is counted for the memo.
    memo: usize,
}

impl<M: Memo> Entry<M> {
    pub(super) fn new(caller: Arc<Caller<M>>, issuer: IssuerId, key: Fingerprint, until: SystemTime) -> Self {
        let weight = ENTRY + MEMO + weight(caller.verified.claims());
        Self { caller, issuer, key, until, weight, memo: MEMO }
    }

    /// The same entry with the present weight of its memo, if that has grown.
    fn grown(&self) -> Option<Self> {
        let memo = self.caller.memo.bytes();
        let grown = || Self { weight: self.weight - self.memo + memo, memo, ..self.clone() };
        (memo > self.memo).then(grown)
    }
}

impl<M> Clone for Entry<M> {
    fn clone(&self) -> Self {
        Self { caller: Arc::clone(&self.caller), ..*self }
    }
}

/// The cache: callers by the SHA-256 of their whole token. Each look-up checks whether the token has expired; a sweep
/// frees the memory. moka's own expiry would remove all expired entries in one look-up, whichever thread makes it.
pub(super) struct TokenCache<M>(Cache<[u8; 32], Entry<M>, RandomState>);

impl<M: Memo> TokenCache<M> {
    /// Creates a cache that keeps both limits by weight alone: an entry weighs its memory, and at least `bytes` divided
    /// by `callers`.
    pub(super) fn new(limits: CacheLimits) -> Self {
        let share = u32::try_from(limits.bytes / limits.callers.max(1)).unwrap_or(u32::MAX);
        let cache = Cache::builder()
            .max_capacity(limits.bytes)
            .weigher(move |_, entry: &Entry<M>| u32::try_from(entry.weight).unwrap_or(u32::MAX).max(share))
            .eviction_policy(EvictionPolicy::lru())
            .build_with_hasher(RandomState::default());
        Self(cache)
    }

    pub(super) fn get(&self, token: &[u8; 32]) -> Option<Entry<M>> {
        let entry = self.0.get(token)?;
        if let Some(grown) = entry.grown() {
            self.0.insert(*token, grown);
        }
        Some(entry)
    }

    pub(super) fn put(&self, token: [u8; 32], entry: Entry<M>) {
        self.0.insert(token, entry);
    }

    /// All callers. Not for a thread that serves requests.
    pub(super) fn callers(&self) -> impl Iterator<Item = Arc<Caller<M>>> {
        self.0.iter().map(|(_, entry)| entry.caller)
    }

    pub(super) fn forget(&self, token: &[u8; 32]) {
        self.0.invalidate(token);
    }

    /// Frees the memory of expired tokens. No caller uses them again, and otherwise they would stay until other entries
    /// need their memory. It looks at all entries, which takes too long for a thread that serves requests.
    pub(super) fn sweep(&self, now: SystemTime) {
        for (token, entry) in &self.0 {
            if now >= entry.until {
                self.0.invalidate(&*token);
            }
        }
        self.0.run_pending_tasks();
    }
}

/// Overhead of the allocator for each allocation, bytes.
const ALLOCATED: usize = 16;

/// Approximate memory of parsed claims, bytes. It is a multiple of their text: ten times for a list of one-letter
/// groups, a hundred times for a list of small objects.
fn weight(claims: &Map<String, Value>) -> usize {
    // The members are in a B-tree. A node has room for eleven of them, and at least half of it is used, except in the
    // root.
    const NODE: usize = 11 * (size_of::<String>() + size_of::<Value>()) + 16;
    let nodes = claims.len().div_ceil(6) * NODE;
    nodes + claims.iter().map(|(name, value)| name.capacity() + ALLOCATED + held(value)).sum::<usize>()
}

/// Approximate memory that a value holds, without the value itself, bytes.
fn held(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
        Value::String(text) => text.capacity() + ALLOCATED,
        Value::Array(values) => {
            values.capacity() * size_of::<Value>() + ALLOCATED + values.iter().map(held).sum::<usize>()
        }
        Value::Object(members) => weight(members),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;
    use crate::auth::Verified;
    use crate::clock;

    /// A memo that reports this number of bytes.
    #[derive(Default)]
    struct Notes(std::sync::atomic::AtomicUsize);

    impl Memo for Notes {
        fn bytes(&self) -> usize {
            self.0.load(std::sync::atomic::Ordering::Relaxed)
        }
    }

    fn entry(claims: &Value) -> Entry<Notes> {
        until(clock::now() + Duration::from_secs(3600), claims)
    }

    fn until(until: SystemTime, claims: &Value) -> Entry<Notes> {
        let claims = claims.as_object().unwrap().clone();
        let verified = Verified { issuer: "acme".into(), claims, expires: until };
        Entry::new(Arc::new(Caller { verified, memo: Notes::default() }), IssuerId::next(), [0; 32], until)
    }

    fn kept(limits: CacheLimits, claims: &Value) -> u64 {
        let remembered = TokenCache::new(limits);
        for n in 0..100_u8 {
            remembered.put([n; 32], entry(claims));
            remembered.0.run_pending_tasks();
        }
        assert!(remembered.get(&[99; 32]).is_some(), "the newest is kept");
        remembered.0.entry_count()
    }

    #[test]
    fn number_and_memory_are_limited() {
        let small = json!({ "sub": "alice" });
        assert_eq!(kept(CacheLimits { callers: 10, bytes: 1 << 20 }, &small), 10);
        assert_eq!(kept(CacheLimits { callers: 1000, bytes: 1 << 20 }, &small), 100);
        assert!((20..80).contains(&kept(CacheLimits { callers: 1000, bytes: 100_000 }, &small)));
        let groups = json!({ "groups": vec!["g"; 1000] });
        assert!((1..=3).contains(&kept(CacheLimits { callers: 1000, bytes: 100_000 }, &groups)));
    }

    #[test]
    fn a_memo_that_grows_later_is_counted_too() {
        let remembered = TokenCache::new(CacheLimits { callers: 1000, bytes: 1 << 20 });
        for n in 0..100_u8 {
            let entry = entry(&json!({}));
            entry.caller.memo.0.store(100_000, std::sync::atomic::Ordering::Relaxed);
            remembered.put([n; 32], entry);
            let _seen = remembered.get(&[n; 32]);
            remembered.0.run_pending_tasks();
        }
        assert!(remembered.0.entry_count() <= 10, "{}", remembered.0.entry_count());
    }

    #[test]
    fn a_sweep_removes_expired_entries() {
        let remembered = TokenCache::new(CacheLimits { callers: 1000, bytes: 1 << 20 });
        let ended = clock::now() - Duration::from_secs(1);
        for n in 0..100_u8 {
            remembered.put([n; 32], until(ended, &json!({})));
        }
        for n in 100..110_u8 {
            remembered.put([n; 32], entry(&json!({})));
        }
        remembered.sweep(clock::now());
        assert_eq!(remembered.0.entry_count(), 10);
        assert!(
            (100..110).all(|n| remembered.get(&[n; 32]).is_some()),
            "entries that have not expired are kept"
        );
    }

    /// The work of a look-up is what it removes: the cache removes only entries that it no longer has room for.
    #[test]
    fn a_look_up_removes_none_of_many_tokens_that_expired_together() {
        const MANY: usize = 100_000;
        let remembered = TokenCache::new(CacheLimits { callers: 200_000, bytes: 1 << 30 });
        let digest = |n: usize| std::array::from_fn(|byte| n.to_le_bytes()[byte % 8]);
        let ended = clock::now();
        for n in 0..MANY {
            remembered.put(digest(n), until(ended, &json!({})));
        }
        remembered.0.run_pending_tasks();
        for n in 0..1_000 {
            assert!(remembered.get(&digest(n)).is_some_and(|entry| entry.until <= clock::now()));
            remembered.put(digest(MANY + n), entry(&json!({})));
        }
        remembered.0.run_pending_tasks();
        assert_eq!(remembered.0.entry_count(), 101_000);
        remembered.sweep(clock::now());
        assert_eq!(remembered.0.entry_count(), 1_000);
    }

    #[test]
    fn the_least_recently_used_entry_is_evicted_first() {
        let remembered = TokenCache::new(CacheLimits { callers: 2, bytes: 1 << 20 });
        for n in [1, 2] {
            remembered.put([n; 32], entry(&json!({})));
        }
        remembered.0.run_pending_tasks();
        assert!(remembered.get(&[1; 32]).is_some());
        remembered.put([3; 32], entry(&json!({})));
        remembered.0.run_pending_tasks();
        let there: Vec<bool> = [1, 2, 3].map(|n| remembered.get(&[n; 32]).is_some()).into();
        assert_eq!(there, [true, false, true]);
    }
}
