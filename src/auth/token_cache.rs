//! The cache of verified callers by the digest of their token, limited in number and in memory.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use foldhash::quality::RandomState;
use moka::Expiry;
use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use serde_json::{Map, Value};

use crate::auth::key_refresh::IssuerId;
use crate::auth::keys::Fingerprint;
use crate::auth::{Caller, Memo};
use crate::clock;

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

/// The cache: callers by the SHA-256 of their whole token.
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
            .expire_after(UntilEnded)
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

    pub(super) fn callers(&self) -> impl Iterator<Item = Arc<Caller<M>>> {
        self.0.iter().map(|(_, entry)| entry.caller)
    }

    pub(super) fn forget(&self, token: &[u8; 32]) {
        self.0.invalidate(token);
    }
}

/// Removes the entries of expired tokens. No caller uses them again, and otherwise they would stay until other entries
/// need their memory. An entry that replaces a lighter one expires at the same time as that one.
struct UntilEnded;

impl<M: Memo> Expiry<[u8; 32], Entry<M>> for UntilEnded {
    fn expire_after_create(&self, _: &[u8; 32], entry: &Entry<M>, _: Instant) -> Option<Duration> {
        Some(entry.until.duration_since(clock::now()).unwrap_or_default())
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
    use serde_json::json;

    use super::*;
    use crate::auth::Verified;

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
    fn expired_entries_are_removed() {
        let remembered = TokenCache::new(CacheLimits { callers: 1000, bytes: 1 << 20 });
        let ended = clock::now() - Duration::from_secs(1);
        for n in 0..100_u8 {
            remembered.put([n; 32], until(ended, &json!({})));
        }
        for n in 100..110_u8 {
            remembered.put([n; 32], entry(&json!({})));
        }
        while remembered.0.entry_count() != 10 {
            // The cache removes them about once a second.
            std::thread::yield_now();
            remembered.0.run_pending_tasks();
        }
        assert!(
            (100..110).all(|n| remembered.get(&[n; 32]).is_some()),
            "entries that have not expired are kept"
        );
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
