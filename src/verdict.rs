//! Whether somebody is cut off, as it was last found out: beside their identity, so that it is found out
//! once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use parking_lot::{Mutex, MutexGuard};

/// What the entries of one generation say of one identity.
#[derive(Debug, Default)]
pub struct CachedVerdict {
    /// The generation by which nothing is said; at 0 there are no entries. For those who are cut off the lock
    /// is taken, and for all others after a change.
    cleared: AtomicU64,
    denied: Mutex<Option<(u64, Revocation)>>,
}

/// Somebody is cut off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revocation {
    /// From here on it has to be found out anew; `None`: for good.
    pub until: Option<SystemTime>,
    /// Whether answers that are on their way are broken off.
    pub cut_streams: bool,
    /// What says so, for the log.
    pub by: Arc<str>,
}

impl Revocation {
    /// What two entries say together. It ends with the first, and then it is found out what is left.
    pub fn and(self, other: &Self) -> Self {
        Self {
            until: [self.until, other.until].into_iter().flatten().min(),
            cut_streams: self.cut_streams || other.cut_streams,
            by: self.by,
        }
    }
}

impl CachedVerdict {
    /// Whether it was found that no entry of this generation means them.
    pub fn is_cleared(&self, generation: u64) -> bool {
        self.cleared.load(Ordering::Relaxed) == generation
    }

    /// What was found by this generation's entries, if that still holds.
    pub fn denied(&self, generation: u64, now: SystemTime) -> Option<Revocation> {
        let denied = self.lock();
        let (known, denied) = denied.as_ref()?;
        (*known == generation && denied.until.is_none_or(|until| now < until)).then(|| denied.clone())
    }

    /// Remembers what was found.
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
