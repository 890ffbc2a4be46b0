//! The limits on concurrent requests: of all callers, and of one principal.
//!
//! The numbers are of the configuration and arrive with each request, so a reload changes them at once. Requests that
//! are in flight then stay.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use foldhash::HashMap;
use parking_lot::Mutex;

use crate::limits::Level;

/// The default of `limits.requests`: the most concurrent requests of this process.
pub const IN_FLIGHT: usize = 4_096;
/// The default of `limits.requests_per_principal`: the most concurrent requests of one principal.
pub const PER_PRINCIPAL: usize = 256;

/// The configured limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestLimits {
    /// The most concurrent requests of this process.
    pub all: usize,
    /// The most concurrent requests of one principal, unless its role rule sets another number.
    pub per_principal: usize,
}

impl Default for RequestLimits {
    fn default() -> Self {
        Self { all: IN_FLIGHT, per_principal: PER_PRINCIPAL }
    }
}

/// The limit that is reached.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Busy {
    #[error("{limit} requests are in flight, the limit of this gateway (limits.requests)")]
    Gateway { limit: usize },
    /// `limit` is `concurrency` of the role rule, or `limits.requests_per_principal`.
    #[error(
        "{principal} has {limit} requests in flight, its limit (limits.requests_per_principal, or concurrency of its role)"
    )]
    Caller { principal: Arc<str>, limit: usize },
}

/// The numbers of concurrent requests. A request holds its slots until its answer has been relayed.
#[derive(Debug, Default)]
pub struct Limits {
    all: Arc<AtomicUsize>,
    principals: Arc<Mutex<Principals>>,
}

type Principals = HashMap<Arc<str>, Requests>;

/// The requests of one principal.
#[derive(Debug, Default)]
struct Requests {
    in_flight: usize,
    /// The limit that applied to the last one.
    limit: usize,
}

/// A slot under the gateway's limit. Dropping it frees the slot.
#[derive(Debug)]
pub struct RequestSlot(Arc<AtomicUsize>);

impl Limits {
    /// The number of requests in flight.
    pub fn in_flight(&self) -> usize {
        self.all.load(Ordering::Acquire)
    }

    /// The principal that is nearest to its limit. `None`: no request is in flight.
    pub fn fullest_principal(&self) -> Option<Level> {
        let principals = self.principals.lock();
        let levels = principals.values().map(|of| Level { used: of.in_flight, limit: of.limit });
        levels.max_by(Level::by_share)
    }

    /// Completes when no request is in flight. It asks again and again, so that no request pays for a notification.
    pub async fn idle(&self) {
        const PAUSE: Duration = Duration::from_millis(5);
        while self.in_flight() > 0 {
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// A slot for one request, of `limit` slots.
    ///
    /// # Errors
    /// [`Busy::Gateway`] when no slot is free. The request does not wait for one, because the other requests may take
    /// an hour.
    pub fn enter(&self, limit: usize) -> Result<RequestSlot, Busy> {
        let before = self.all.fetch_add(1, Ordering::Relaxed);
        let slot = RequestSlot(Arc::clone(&self.all));
        if before >= limit { Err(Busy::Gateway { limit }) } else { Ok(slot) }
    }

    /// A slot for one request of `principal`, of `limit` slots.
    ///
    /// # Errors
    /// [`Busy::Caller`] when `principal` has no free slot.
    pub fn enter_as(&self, principal: &Arc<str>, limit: usize) -> Result<PrincipalSlot, Busy> {
        let mut principals = self.principals.lock();
        let requests = principals.entry(Arc::clone(principal)).or_default();
        if requests.in_flight >= limit {
            return Err(Busy::Caller { principal: Arc::clone(principal), limit });
        }
        requests.in_flight += 1;
        requests.limit = limit;
        drop(principals);
        Ok(PrincipalSlot { principal: Arc::clone(principal), principals: Arc::clone(&self.principals) })
    }
}

impl Drop for RequestSlot {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Release);
    }
}

/// A slot under the limit of one principal. Dropping it frees the slot.
#[derive(Debug)]
pub struct PrincipalSlot {
    principal: Arc<str>,
    principals: Arc<Mutex<Principals>>,
}

impl Drop for PrincipalSlot {
    fn drop(&mut self) {
        let mut principals = self.principals.lock();
        if let Some(requests) = principals.get_mut(&self.principal) {
            requests.in_flight -= 1;
            if requests.in_flight == 0 {
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
        let (alice, bob): (Arc<str>, Arc<str>) = ("alice".into(), "bob".into());
        let slots: Vec<PrincipalSlot> = (0..3).map(|_| limits.enter_as(&alice, 3).unwrap()).collect();
        let busy = Busy::Caller { principal: Arc::clone(&alice), limit: 3 };
        assert_eq!(limits.enter_as(&alice, 3).unwrap_err(), busy);
        assert!(limits.enter_as(&bob, 3).is_ok());
        // A reload that raises the limit applies to the next request.
        drop(limits.enter_as(&alice, 4).unwrap());
        drop(slots);
        assert!(limits.principals.lock().is_empty());
        assert!(limits.enter_as(&alice, 3).is_ok());
    }

    #[test]
    fn the_gateway_refuses_a_request_over_its_limit() {
        let limits = Limits::default();
        let slots: Vec<RequestSlot> = (0..3).map(|_| limits.enter(3).unwrap()).collect();
        assert_eq!(limits.enter(3).unwrap_err(), Busy::Gateway { limit: 3 });
        assert_eq!(limits.in_flight(), 3, "a refused request holds no slot");
        // A reload that lowers the limit keeps the requests in flight.
        assert_eq!(limits.enter(2).unwrap_err(), Busy::Gateway { limit: 2 });
        drop(slots);
        assert!(limits.enter(3).is_ok());
    }

    #[test]
    fn the_fullest_principal_is_the_one_nearest_to_its_own_limit() {
        let limits = Limits::default();
        assert_eq!(limits.fullest_principal(), None);
        let (service, person): (Arc<str>, Arc<str>) = ("service".into(), "person".into());
        let _of_service: Vec<_> = (0..10).map(|_| limits.enter_as(&service, 100).unwrap()).collect();
        let _of_person: Vec<_> = (0..3).map(|_| limits.enter_as(&person, 4).unwrap()).collect();
        assert_eq!(limits.fullest_principal(), Some(Level { used: 3, limit: 4 }));
    }
}
