//! The limits on concurrent requests: of all callers, and of one principal.

use std::sync::Arc;

use foldhash::HashMap;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The most concurrent requests of this process.
pub const IN_FLIGHT: usize = 4_096;
/// The most concurrent requests of one principal.
pub const PER_PRINCIPAL: usize = 256;

/// The limit that is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Busy {
    #[error("the gateway is at its limit of concurrent requests ({IN_FLIGHT})")]
    Gateway,
    #[error("the caller is at the limit of concurrent requests ({PER_PRINCIPAL})")]
    Caller,
}

/// The numbers of concurrent requests. A request holds its slots until its answer has been relayed.
#[derive(Debug)]
pub struct Limits {
    all: Arc<Semaphore>,
    principals: Arc<Mutex<HashMap<Arc<str>, usize>>>,
}

/// A slot under the gateway's limit. Dropping it frees the slot.
#[derive(Debug)]
pub struct RequestSlot {
    _permit: OwnedSemaphorePermit,
}

impl Default for Limits {
    fn default() -> Self {
        Self { all: Arc::new(Semaphore::new(IN_FLIGHT)), principals: Arc::default() }
    }
}

impl Limits {
    /// The number of requests in flight.
    pub fn in_flight(&self) -> usize {
        IN_FLIGHT - self.all.available_permits()
    }

    /// Completes when no request is in flight.
    pub async fn idle(&self) {
        #[expect(clippy::cast_possible_truncation, reason = "some thousands")]
        const ALL: u32 = IN_FLIGHT as u32;
        // An error would mean that the semaphore is closed, which it never is.
        let _all = self.all.acquire_many(ALL).await;
    }

    /// A slot for one request.
    ///
    /// # Errors
    /// [`Busy::Gateway`] when no slot is free. The request does not wait for one, because the other requests may take
    /// an hour.
    pub fn enter(&self) -> Result<RequestSlot, Busy> {
        Arc::clone(&self.all)
            .try_acquire_owned()
            .map(|permit| RequestSlot { _permit: permit })
            .map_err(|_| Busy::Gateway)
    }

    /// A slot for one request of `principal`.
    ///
    /// # Errors
    /// [`Busy::Caller`] when `principal` has no free slot.
    pub fn enter_as(&self, principal: &Arc<str>) -> Result<PrincipalSlot, Busy> {
        let mut principals = self.principals.lock();
        let count = principals.entry(Arc::clone(principal)).or_default();
        if *count >= PER_PRINCIPAL {
            return Err(Busy::Caller);
        }
        *count += 1;
        drop(principals);
        Ok(PrincipalSlot { principal: Arc::clone(principal), principals: Arc::clone(&self.principals) })
    }
}

/// A slot under the limit of one principal. Dropping it frees the slot.
#[derive(Debug)]
pub struct PrincipalSlot {
    principal: Arc<str>,
    principals: Arc<Mutex<HashMap<Arc<str>, usize>>>,
}

impl Drop for PrincipalSlot {
    fn drop(&mut self) {
        let mut principals = self.principals.lock();
        if let Some(count) = principals.get_mut(&self.principal) {
            *count -= 1;
            if *count == 0 {
                principals.remove(&self.principal);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_caller_cannot_take_every_slot_and_slots_are_freed() {
        let limits = Limits::default();
        let (alice, bob) = ("alice".into(), "bob".into());
        let slots: Vec<PrincipalSlot> =
            (0..PER_PRINCIPAL).map(|_| limits.enter_as(&alice).unwrap()).collect();
        assert_eq!(limits.enter_as(&alice).unwrap_err(), Busy::Caller);
        assert!(limits.enter_as(&bob).is_ok());
        drop(slots);
        assert!(limits.principals.lock().is_empty());
        assert!(limits.enter_as(&alice).is_ok());
    }

    #[test]
    fn the_gateway_refuses_a_request_over_its_limit() {
        let limits = Limits::default();
        let slots: Vec<RequestSlot> = (0..IN_FLIGHT).map(|_| limits.enter().unwrap()).collect();
        assert_eq!(limits.enter().unwrap_err(), Busy::Gateway);
        drop(slots);
        assert!(limits.enter().is_ok());
    }
}
