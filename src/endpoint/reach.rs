//! Whether connections to an endpoint can be opened.

use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

/// The outcome of the last attempt to connect to an endpoint.
#[derive(Debug, Default)]
pub struct Reach {
    /// Whether there is a failure, so that a success costs one load.
    failing: AtomicBool,
    failure: Mutex<Option<String>>,
}

impl Reach {
    /// Notes that a connection was opened.
    pub fn connected(&self) {
        if self.failing.load(Ordering::Relaxed) {
            let mut failure = self.failure.lock();
            *failure = None;
            self.failing.store(false, Ordering::Relaxed);
        }
    }

    /// Notes that no connection could be opened, and why.
    pub fn failed(&self, why: &str) {
        let mut failure = self.failure.lock();
        *failure = Some(why.to_owned());
        self.failing.store(true, Ordering::Relaxed);
    }

    pub fn is_failing(&self) -> bool {
        self.failing.load(Ordering::Relaxed)
    }

    /// Why the last attempt failed. `None`: it succeeded, or there was none.
    pub fn failure(&self) -> Option<String> {
        if self.is_failing() { self.failure.lock().clone() } else { None }
    }
}
