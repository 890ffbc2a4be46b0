//! Whether connections to an endpoint can be opened.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::proxy::NoConnection;

/// How long a failure counts that no request meets again. A caller may name a region without this service, whose host
/// never resolves; then no check would ever succeed.
pub const FORGOTTEN: Duration = Duration::from_secs(5 * 60);

/// The outcome of the last attempt to connect to an endpoint.
#[derive(Debug, Default)]
pub struct Reach {
    /// Whether there is a failure, so that a success costs one load.
    failing: AtomicBool,
    failure: Mutex<Option<Failure>>,
}

#[derive(Debug)]
struct Failure {
    why: NoConnection,
    /// When a request met it last; when a check found it, if no request has.
    met: Instant,
}

impl Reach {
    /// Notes that a connection was opened.
    pub fn connected(&self) {
        if self.is_failing() {
            self.clear(&mut self.failure.lock());
        }
    }

    /// Notes that a request got no connection, and why.
    pub fn failed(&self, why: NoConnection) {
        self.note(&mut self.failure.lock(), why, Instant::now());
    }

    /// Notes that a check could open no connection, and why.
    pub fn still_failing(&self, why: NoConnection) {
        let mut failure = self.failure.lock();
        let met = failure.as_ref().map_or_else(Instant::now, |failure| failure.met);
        self.note(&mut failure, why, met);
    }

    /// Forgets a failure that no request has met for [`FORGOTTEN`].
    pub fn forget(&self) {
        let mut failure = self.failure.lock();
        if failure.as_ref().is_some_and(|failure| failure.met.elapsed() >= FORGOTTEN) {
            self.clear(&mut failure);
        }
    }

    pub fn is_failing(&self) -> bool {
        self.failing.load(Ordering::Relaxed)
    }

    /// Why the last attempt failed. `None`: it succeeded, or there was none.
    pub fn failure(&self) -> Option<NoConnection> {
        if !self.is_failing() {
            return None;
        }
        self.failure.lock().as_ref().map(|failure| failure.why.clone())
    }

    fn note(&self, failure: &mut Option<Failure>, why: NoConnection, met: Instant) {
        *failure = Some(Failure { why, met });
        self.failing.store(true, Ordering::Relaxed);
    }

    fn clear(&self, failure: &mut Option<Failure>) {
        *failure = None;
        self.failing.store(false, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::Obstacle;

    fn unknown_host() -> NoConnection {
        NoConnection { obstacle: Obstacle::HostName, text: "dns error".to_owned() }
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_that_only_checks_meet_is_forgotten() {
        let reach = Reach::default();
        reach.failed(unknown_host());
        tokio::time::advance(FORGOTTEN / 2).await;
        reach.still_failing(unknown_host());
        reach.forget();
        assert_eq!(reach.failure(), Some(unknown_host()));
        tokio::time::advance(FORGOTTEN / 2).await;
        reach.still_failing(unknown_host());
        reach.forget();
        assert_eq!(reach.failure(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_that_requests_meet_lasts_until_a_connection_is_opened() {
        let reach = Reach::default();
        for _ in 0..3 {
            tokio::time::advance(FORGOTTEN / 2).await;
            reach.failed(unknown_host());
            reach.forget();
        }
        assert!(reach.is_failing());
        reach.connected();
        assert_eq!(reach.failure(), None);
    }
}
