//! The open connections of a server, and the limits on them and on their HTTP/2 streams.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::server::activity::Activity;

/// The default of `limits.connections`: the most concurrent connections of clients. Further ones wait in the
/// listener's backlog.
pub const CONNECTIONS: usize = 10_000;
/// The default of `limits.streams_per_connection`: the most concurrent streams of one HTTP/2 connection.
pub const H2_STREAMS: u32 = 256;

/// The connections that are counted under one lock, while others wait to open or close.
const STEP: usize = 256;

/// The limits on connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// The most concurrent connections.
    pub connections: usize,
    /// The most concurrent streams of one HTTP/2 connection.
    pub streams: u32,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self { connections: CONNECTIONS, streams: H2_STREAMS }
    }
}

/// The open connections, and their limits.
#[derive(Debug)]
pub struct Connections {
    /// One for each connection that may still be opened.
    pub(super) slots: Arc<Semaphore>,
    limit: AtomicUsize,
    streams: AtomicU32,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    opened: u64,
    /// By number. A connection has no activity before its TLS handshake ends.
    connections: BTreeMap<u64, Option<Arc<Activity>>>,
}

impl Connections {
    pub fn new(limits: ConnectionLimits) -> Arc<Self> {
        Arc::new(Self {
            slots: Arc::new(Semaphore::new(limits.connections)),
            limit: AtomicUsize::new(limits.connections),
            streams: AtomicU32::new(limits.streams),
            open: Mutex::default(),
        })
    }

    /// The limits in use.
    pub fn limits(&self) -> ConnectionLimits {
        ConnectionLimits {
            connections: self.limit.load(Ordering::Relaxed),
            streams: self.streams.load(Ordering::Relaxed),
        }
    }

    /// The number of open connections.
    pub fn open(&self) -> usize {
        self.open.lock().connections.len()
    }

    /// The requests in flight on the connection with the most.
    pub fn most_streams(&self) -> usize {
        let (mut most, mut next) = (0, Some(0));
        while let Some(from) = next {
            let in_step;
            (in_step, next) = self.most_streams_from(from);
            most = most.max(in_step);
        }
        most
    }

    /// The requests in flight on the busiest of the next [`STEP`] connections, and the number from which the others
    /// begin.
    fn most_streams_from(&self, from: u64) -> (usize, Option<u64>) {
        let open = self.open.lock();
        let mut step = open.connections.range(from..);
        let requests =
            step.by_ref().take(STEP).filter_map(|(_, activity)| Some(activity.as_ref()?.requests()));
        let most = requests.max().unwrap_or_default();
        let next = step.next().map(|(number, _)| *number);
        // Otherwise this thread would take the lock again before one that waits for it.
        MutexGuard::unlock_fair(open);
        (most, next)
    }

    /// Replaces the limits. Open connections stay, with the number of streams that they began with: if there are too
    /// many, the server accepts no other until enough have ended.
    pub fn change(&self, limits: ConnectionLimits) {
        self.streams.store(limits.streams, Ordering::Relaxed);
        let before = self.limit.swap(limits.connections, Ordering::Relaxed);
        self.slots.add_permits(limits.connections.saturating_sub(before));
        let fewer = u32::try_from(before.saturating_sub(limits.connections)).unwrap_or(u32::MAX);
        if fewer > 0 {
            let slots = Arc::clone(&self.slots);
            tokio::spawn(async move {
                // An error would mean that the semaphore is closed, which it never is.
                if let Ok(surplus) = slots.acquire_many_owned(fewer).await {
                    surplus.forget();
                }
            });
        }
    }

    /// Registers a connection.
    pub(super) fn opened(self: &Arc<Self>, slot: OwnedSemaphorePermit) -> OpenConnection {
        let mut open = self.open.lock();
        open.opened += 1;
        let number = open.opened;
        open.connections.insert(number, None);
        OpenConnection { connections: Arc::clone(self), number, _slot: slot }
    }
}

/// One open connection. Dropping it frees its slot.
#[derive(Debug)]
pub(super) struct OpenConnection {
    connections: Arc<Connections>,
    number: u64,
    _slot: OwnedSemaphorePermit,
}

impl OpenConnection {
    /// The most concurrent streams that the connection may have.
    pub(super) fn streams(&self) -> u32 {
        self.connections.limits().streams
    }

    /// Notes the activity of the connection.
    pub(super) fn has(&self, activity: &Arc<Activity>) {
        self.connections.open.lock().connections.insert(self.number, Some(Arc::clone(activity)));
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.connections.open.lock().connections.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_counted_in_steps() {
        let all = Connections::new(ConnectionLimits::default());
        let open = || all.opened(Arc::clone(&all.slots).try_acquire_owned().unwrap());
        let held: Vec<_> = (0..=2 * STEP).map(|_| open()).collect();
        let first = held[0].number;
        let step = STEP as u64;
        assert_eq!(all.most_streams_from(0), (0, Some(first + step)));
        assert_eq!(all.most_streams_from(first + step), (0, Some(first + 2 * step)));
        assert_eq!(all.most_streams_from(first + 2 * step), (0, None));
        assert_eq!(all.most_streams(), 0);
    }

    #[tokio::test]
    async fn limits_change_while_connections_are_open() {
        let limits = |connections| ConnectionLimits { connections, streams: 7 };
        let all = Connections::new(limits(2));
        let open = || Arc::clone(&all.slots).try_acquire_owned().ok().map(|slot| all.opened(slot));
        let mut held = vec![open().unwrap(), open().unwrap()];
        assert!(open().is_none());
        all.change(limits(3));
        held.push(open().unwrap());
        assert!(open().is_none());
        assert_eq!((all.open(), all.limits()), (3, limits(3)));
        all.change(limits(1));
        tokio::task::yield_now().await;
        for left in [2, 1] {
            held.pop();
            tokio::task::yield_now().await;
            assert_eq!(all.open(), left);
            assert!(open().is_none(), "{left} connections are open, and 1 may be");
        }
        held.pop();
        assert!(open().is_some());
    }
}
