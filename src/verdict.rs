//! Caches the last revocation check of an identity. The cache is part of the identity, so the entries are evaluated
//! once for each caller and not once for each request.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use parking_lot::{Mutex, MutexGuard};

/// The last revocation check of one identity. A generation is the number of one state of all entries.
#[derive(Debug, Default)]
pub struct CachedVerdict {
    /// The latest generation at which no entry matched. Generation 0 has no entries. A request of this generation does
    /// not lock `denied`; a revoked caller's request does, and each caller's first request after a change.
    cleared: AtomicU64,
    /// The latest generation at which an entry matched, with the result.
    denied: Mutex<Option<(u64, Revocation)>>,
}

/// Counts the requests that one entry has refused. Clones count together.
#[derive(Debug, Clone, Default)]
pub struct RefusedRequests(Arc<AtomicU64>);

impl RefusedRequests {
    pub fn add_one(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The result of a check that found the caller's access revoked.
#[derive(Debug, Clone)]
pub struct Revocation {
    /// The time from which the entries must be checked again; `None` if the result never expires.
    pub until: Option<SystemTime>,
    /// Whether the caller's open answers are aborted.
    pub cut_streams: bool,
    /// The source of the entry, for the log.
    pub by: Arc<str>,
    /// The count of the entry.
    pub refused: RefusedRequests,
}

impl Revocation {
    /// The result of two entries that both match. It expires with the first of them; then the other is checked again.
    pub fn and(self, other: &Self) -> Self {
        Self {
            until: [self.until, other.until].into_iter().flatten().min(),
            cut_streams: self.cut_streams || other.cut_streams,
            by: self.by,
            refused: self.refused,
        }
    }
}

impl CachedVerdict {
    /// Whether the last check was at this generation and no entry matched.
    pub fn is_cleared(&self, generation: u64) -> bool {
        self.cleared.load(Ordering::Relaxed) == generation
    }

    /// The revocation that a check at this generation found, if it has not expired.
    pub fn denied(&self, generation: u64, now: SystemTime) -> Option<Revocation> {
        let denied = self.lock();
        let (known, denied) = denied.as_ref()?;
        (*known == generation && denied.until.is_none_or(|until| now < until)).then(|| denied.clone())
    }

    /// Stores the result of a check.
    pub(crate) fn note(&self, generation: u64, denied: Option<Revocation>) {
        match denied {
            Some(denied) => *self.lock() = Some((generation, denied)),
            None => self.cleared.store(generation, Ordering::Relaxed),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<(u64, Revocation)>> {
        self.denied.lock()
    }
}
