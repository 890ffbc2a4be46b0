//! Idle connections to one endpoint.

use std::fmt;
use std::time::Duration;

use hyper::client::conn::http1::SendRequest;
use parking_lot::{Mutex, MutexGuard};
use tokio::time::Instant;

use crate::body::sent::SentBody;
use crate::workers;

/// The longest time that a connection stays idle. Network devices on the way to Bedrock forget connections much later.
// Assumption A35.
pub(crate) const POOL_IDLE: Duration = Duration::from_secs(30);

/// A connection that can send a request.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) sender: SendRequest<SentBody>,
    /// The worker whose runtime reads and writes it.
    worker: usize,
}

impl Connection {
    /// A connection that the present worker's runtime reads and writes.
    pub(crate) fn of_this_worker(sender: SendRequest<SentBody>) -> Self {
        Self { sender, worker: workers::current() }
    }
}

/// The idle connections of one endpoint, by the worker that reads and writes them.
pub struct Idle(Box<[OfWorker]>);

/// The idle connections of one worker, on a cache line of their own.
#[derive(Default)]
#[repr(align(128))]
struct OfWorker(Mutex<Vec<(Connection, Instant)>>);

impl fmt::Debug for Idle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let numbers = self.0.iter().map(|of_worker| of_worker.connections().len());
        f.debug_tuple("Idle").field(&numbers.collect::<Vec<_>>()).finish()
    }
}

impl Idle {
    /// No connections yet, of this number of workers. 0 counts as 1.
    pub(crate) fn of_workers(workers: usize) -> Self {
        Self((0..workers.max(1)).map(|_| OfWorker::default()).collect())
    }

    /// Takes a connection of the present worker. If it has none, takes one of another worker: that costs less than a new
    /// one.
    pub(crate) fn take(&self) -> Option<Connection> {
        let own = workers::current();
        let workers = (0..self.0.len()).map(|number| &self.0[(own + number) % self.0.len()]);
        workers.into_iter().find_map(OfWorker::take)
    }

    /// Returns a connection to its own worker, so that one which another worker took does not stay there.
    pub(crate) fn put(&self, connection: Connection) {
        let of_worker = &self.0[connection.worker % self.0.len()];
        of_worker.connections().push((connection, Instant::now()));
    }

    /// Closes connections that were idle for too long, and drops those that the other side closed.
    pub(crate) fn sweep(&self) {
        let is_usable = |connection: &Connection, since: &Instant| {
            !connection.sender.is_closed() && since.elapsed() < POOL_IDLE
        };
        for of_worker in &self.0 {
            of_worker.connections().retain(|(connection, since)| is_usable(connection, since));
        }
    }
}

impl OfWorker {
    /// Takes the connection that was used last, so that surplus ones stay idle until they are closed.
    fn take(&self) -> Option<Connection> {
        let mut connections = self.connections();
        let ready = connections.iter().rposition(|(connection, _)| connection.sender.is_ready())?;
        // The connections behind it do not yet know whether they are ready or closed.
        let (connection, since) = connections.remove(ready);
        (since.elapsed() < POOL_IDLE).then_some(connection)
    }

    fn connections(&self) -> MutexGuard<'_, Vec<(Connection, Instant)>> {
        self.0.lock()
    }
}

#[cfg(test)]
impl Idle {
    /// The number of idle connections.
    pub(crate) fn len(&self) -> usize {
        self.0.iter().map(|of_worker| of_worker.connections().len()).sum()
    }
}
