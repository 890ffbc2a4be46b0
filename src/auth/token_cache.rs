//! Verified callers under the digests of their tokens, bounded in number and in memory.

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

/// About what an entry takes beside its claims, bytes: key, counters, and the cache's own nodes.
const ENTRY: usize = 256;
/// What an entry's memo is taken to weigh, bytes, until it weighs more.
const MEMO: usize = 1024;

/// A caller under their token.
pub(super) struct Entry<M> {
    pub(super) caller: Arc<Caller<M>>,
    pub(super) issuer: IssuerId,
    pub(super) key: Fingerprint,
    /// From here on the token is not good any more; whoever finds the entry compares.
    pub(super) until: SystemTime,
    /// What it weighs in the cache, bytes, and how much of that is for the memo.
    weight: usize,
    memo: usize,
}

impl<M: Memo> Entry<M> {
    pub(super) fn new(caller: Arc<Caller<M>>, issuer: IssuerId, key: Fingerprint, until: SystemTime) -> Self {
        let weight = ENTRY + MEMO + weight(caller.verified.claims());
        Self { caller, issuer, key, until, weight, memo: MEMO }
    }

    /// The same with a heavier memo, if it is.
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

/// Callers by the SHA-256 of their whole token.
pub(super) struct TokenCache<M>(Cache<[u8; 32], Entry<M>, RandomState>);

impl<M: Memo> TokenCache<M> {
    /// One bound over both limits: an entry weighs its memory, and no less than its share of it.
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

/// Clears away tokens that have ended: nobody comes with them any more, and they would stay until others need
/// their room. A heavier entry in the place of another one ends when that would have.
struct UntilEnded;

impl<M: Memo> Expiry<[u8; 32], Entry<M>> for UntilEnded {
    fn expire_after_create(&self, _: &[u8; 32], entry: &Entry<M>, _: Instant) -> Option<Duration> {
        Some(entry.until.duration_since(clock::now()).unwrap_or_default())
    }
}

/// What the allocator takes beside what it was asked for, bytes.
const ALLOCATED: usize = 16;

/// About how much memory claims take, bytes. Parsed they are several times their text: a list of
/// one-letter groups ten times, one of small objects a hundred times.
fn weight(claims: &Map<String, Value>) -> usize {
    // A node of the tree that members stand in has room for eleven, and at least half of it is used but
    // in the root.
    const NODE: usize = 11 * (size_of::<String>() + size_of::<Value>()) + 16;
    let nodes = claims.len().div_ceil(6) * NODE;
    nodes + claims.iter().map(|(name, value)| name.capacity() + ALLOCATED + held(value)).sum::<usize>()
}

/// Beside the value itself.
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

    /// The bytes of one.
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
    fn bounded_in_number_and_in_memory() {
        let small = json!({ "sub": "alice" });
        assert_eq!(kept(CacheLimits { callers: 10, bytes: 1 << 20 }, &small), 10);
        assert_eq!(kept(CacheLimits { callers: 1000, bytes: 1 << 20 }, &small), 100);
        assert!((20..80).contains(&kept(CacheLimits { callers: 1000, bytes: 100_000 }, &small)));
        let groups = json!({ "groups": vec!["g"; 1000] });
        assert!((1..=3).contains(&kept(CacheLimits { callers: 1000, bytes: 100_000 }, &groups)));
    }

    #[test]
    fn what_is_remembered_later_is_weighed_too() {
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
    fn what_has_ended_does_not_stay() {
        let remembered = TokenCache::new(CacheLimits { callers: 1000, bytes: 1 << 20 });
        let ended = clock::now() - Duration::from_secs(1);
        for n in 0..100_u8 {
            remembered.put([n; 32], until(ended, &json!({})));
        }
        for n in 100..110_u8 {
            remembered.put([n; 32], entry(&json!({})));
        }
        while remembered.0.entry_count() != 10 {
            // The cache looks for them every second or so.
            std::thread::yield_now();
            remembered.0.run_pending_tasks();
        }
        assert!((100..110).all(|n| remembered.get(&[n; 32]).is_some()), "those that have not ended are kept");
    }

    #[test]
    fn the_least_recently_used_goes_first() {
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
