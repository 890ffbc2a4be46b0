//! Idle connections to one endpoint.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http1::SendRequest;
use parking_lot::{Mutex, MutexGuard};
use tokio::time::Instant;

/// Idle connections are closed well before anything between here and Bedrock forgets them.
pub(crate) const POOL_IDLE: Duration = Duration::from_secs(30);

/// A connection that can bear a request.
pub(crate) type Connection = SendRequest<Full<Bytes>>;

/// An endpoint's connections without a request.
#[derive(Default)]
pub struct Idle(Mutex<Vec<(Connection, Instant)>>);

impl fmt::Debug for Idle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Idle").field(&self.connections().len()).finish()
    }
}

impl Idle {
    /// The one used last, so that those that are too many grow old.
    pub(crate) fn take(&self) -> Option<Connection> {
        let mut connections = self.connections();
        let ready = connections.iter().rposition(|(connection, _)| connection.is_ready())?;
        // Those behind it have not yet noticed that they are ready, or closed.
        let (connection, since) = connections.remove(ready);
        (since.elapsed() < POOL_IDLE).then_some(connection)
    }

    pub(crate) fn put(&self, connection: Connection) {
        self.connections().push((connection, Instant::now()));
    }

    /// Closes what has been idle for long, and forgets what the other side closed.
    pub(crate) fn sweep(&self) {
        let is_good =
            |connection: &Connection, since: &Instant| !connection.is_closed() && since.elapsed() < POOL_IDLE;
        self.connections().retain(|(connection, since)| is_good(connection, since));
    }

    fn connections(&self) -> MutexGuard<'_, Vec<(Connection, Instant)>> {
        self.0.lock()
    }
}

#[cfg(test)]
impl Idle {
    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.connections().len()
    }
}
