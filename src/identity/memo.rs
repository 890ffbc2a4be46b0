//! What was made of one verified caller so far, remembered beside them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

use super::{Identity, IdentityError};
use crate::auth::Memo;

/// Outcomes remembered beside one caller; the oldest makes room.
const MOST: usize = 8;

pub(super) type Resolved = Result<Arc<Identity>, IdentityError>;

/// What was made of one verified caller so far, by the headers their mapping sees and the
/// configuration.
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

/// All that an outcome depends on beside the claims.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) generation: u64,
    /// In the order that the issuer lists them; absent and empty told apart.
    pub(super) headers: Vec<Option<String>>,
}

impl IdentityMemo {
    pub(super) fn get(&self, key: &Key) -> Option<Resolved> {
        let outcomes = self.known.lock();
        outcomes.iter().find(|(known, _)| known == key).map(|(_, resolved)| resolved.clone())
    }

    /// Every identity that is remembered.
    pub fn identities(&self) -> Vec<Arc<Identity>> {
        let outcomes = self.known.lock();
        outcomes.iter().filter_map(|(_, resolved)| resolved.as_ref().ok()).cloned().collect()
    }

    /// Refusals too: the same claims will fail again.
    pub(super) fn remember(&self, key: Key, resolved: Resolved) {
        let mut outcomes = self.known.lock();
        // Requests that came at once may have found the same.
        outcomes.retain(|(known, _)| *known != key);
        if outcomes.len() == MOST {
            drop(outcomes.remove(0));
        }
        outcomes.push((key, resolved));
        self.bytes
            .store(outcomes.iter().map(|(key, resolved)| weight(key, resolved)).sum(), Ordering::Relaxed);
    }
}

/// About how much memory an outcome takes, bytes.
fn weight(key: &Key, resolved: &Resolved) -> usize {
    /// The parts that every identity has, with what their allocations cost.
    const PARTS: usize = 512;
    let headers: usize = key.headers.iter().flatten().map(String::len).sum();
    let identity = match resolved {
        Ok(identity) => identity,
        Err(error) => return PARTS + headers + error.to_string().len(),
    };
    let tags = identity.session().tags().iter();
    let tags: usize = tags.map(|(key, value)| 64 + key.as_str().len() + value.as_str().len()).sum();
    PARTS + headers + identity.principal().len() + tags
}
