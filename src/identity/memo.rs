//! The memo of one verified caller: the outcomes of evaluations so far.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

use super::{Identity, IdentityRefusal};
use crate::auth::Memo;

/// The most outcomes in one memo. A new one replaces the oldest.
const MOST: usize = 8;

pub(super) type Resolved = Result<Arc<Identity>, IdentityRefusal>;

/// The outcomes of evaluations for one verified caller, by configuration and by the headers that the mapping reads.
#[derive(Debug, Default)]
pub struct IdentityMemo {
    known: Mutex<Vec<(Key, Resolved)>>,
    bytes: AtomicUsize,
}

impl Memo for IdentityMemo {
    fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }
}

/// Everything except the claims that an outcome depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) generation: u64,
    /// In the order of the issuer's list. An absent header differs from an empty one.
    pub(super) headers: Vec<Option<String>>,
}

impl IdentityMemo {
    pub(super) fn get(&self, key: &Key) -> Option<Resolved> {
        let outcomes = self.known.lock();
        outcomes.iter().find(|(known, _)| known == key).map(|(_, resolved)| resolved.clone())
    }

    /// All remembered identities.
    pub fn identities(&self) -> Vec<Arc<Identity>> {
        let outcomes = self.known.lock();
        outcomes.iter().filter_map(|(_, resolved)| resolved.as_ref().ok()).cloned().collect()
    }

    /// Remembers an outcome. Errors are remembered too, since the same claims will fail again.
    pub(super) fn remember(&self, key: Key, resolved: Resolved) {
        let mut outcomes = self.known.lock();
        // Concurrent requests may have added the same outcome.
        outcomes.retain(|(known, _)| *known != key);
        if outcomes.len() == MOST {
            drop(outcomes.remove(0));
        }
        outcomes.push((key, resolved));
        self.bytes
            .store(outcomes.iter().map(|(key, resolved)| weight(key, resolved)).sum(), Ordering::Relaxed);
    }
}

/// The approximate memory of an outcome, in bytes.
fn weight(key: &Key, resolved: &Resolved) -> usize {
    /// The fixed parts of an identity and their allocations.
    const PARTS: usize = 512;
    let headers: usize = key.headers.iter().flatten().map(String::len).sum();
    let identity = match resolved {
        Ok(identity) => identity,
        Err(refusal) => return PARTS + headers + refusal.to_string().len() + refusal.claims.bytes(),
    };
    let tags = identity.session().tags().iter();
    let tags: usize = tags.map(|(key, value)| 64 + key.as_str().len() + value.as_str().len()).sum();
    PARTS + headers + identity.principal().len() + tags
}
