//! What was made of one verified caller so far, remembered beside them.

use std::sync::{Arc, Mutex, PoisonError};

use super::{Identity, IdentityError};

/// Outcomes remembered beside one caller; the oldest makes room.
const MOST: usize = 8;

pub(super) type Resolved = Result<Arc<Identity>, IdentityError>;

/// What was made of one verified caller so far, by the headers their mapping sees and the
/// configuration.
#[derive(Debug, Default)]
pub struct Outcomes(Mutex<Vec<(Key, Resolved)>>);

/// All that an outcome depends on beside the claims.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) generation: u64,
    /// In the order that the issuer lists them; absent and empty told apart.
    pub(super) headers: Vec<Option<String>>,
}

impl Outcomes {
    pub(super) fn get(&self, key: &Key) -> Option<Resolved> {
        let outcomes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        outcomes.iter().find(|(known, _)| known == key).map(|(_, resolved)| resolved.clone())
    }

    /// Refusals too: the same claims will fail again.
    pub(super) fn remember(&self, key: Key, resolved: Resolved) {
        let mut outcomes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Requests that came at once may have found the same.
        outcomes.retain(|(known, _)| *known != key);
        if outcomes.len() == MOST {
            drop(outcomes.remove(0));
        }
        outcomes.push((key, resolved));
    }
}
