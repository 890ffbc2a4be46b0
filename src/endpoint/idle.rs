//! Idle connections to one endpoint.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http1::SendRequest;
use parking_lot::{Mutex, MutexGuard};
use tokio::time::Instant;

/// The longest time that a connection stays idle. Network devices on the way to Bedrock forget connections much later.
// Assumption A35.
pub(crate) const POOL_IDLE: Duration = Duration::from_secs(30);

/// A connection that can send a request.
pub(crate) type Connection = SendRequest<Full<Bytes>>;

/// The idle connections of one endpoint.
#[derive(Default)]
pub struct Idle(Mutex<Vec<(Connection, Instant)>>);

impl fmt::Debug for Idle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Idle").field(&self.connections().len()).finish()
    }
}

impl Idle {
    /// Takes the connection that was used last, so that surplus ones stay idle until they are closed.
    pub(crate) fn take(&self) -> Option<Connection> {
        let mut connections = self.connections();
        let ready = connections.iter().rposition(|(connection, _)| connection.is_ready())?;
        // The connections behind it do not yet know whether they are ready or closed.
        let (connection, since) = connections.remove(ready);
        (since.elapsed() < POOL_IDLE).then_some(connection)
    }

    pub(crate) fn put(&self, connection: Connection) {
        self.connections().push((connection, Instant::now()));
    }

    /// Closes connections that were idle for too long, and drops those that the other side closed.
    pub(crate) fn sweep(&self) {
        let is_usable =
            |connection: &Connection, since: &Instant| !connection.is_closed() && since.elapsed() < POOL_IDLE;
        self.connections().retain(|(connection, since)| is_usable(connection, since));
    }

    fn connections(&self) -> MutexGuard<'_, Vec<(Connection, Instant)>> {
        self.0.lock()
    }
}

#[cfg(test)]
impl Idle {
    /// The number of idle connections.
    pub(crate) fn len(&self) -> usize {
        self.connections().len()
    }
}
