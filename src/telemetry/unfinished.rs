//! The requests that the gateway aborted because the drain ended before they did.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

/// The number of aborted requests, by operation.
#[derive(Debug, Default)]
pub struct Unfinished {
    begun: AtomicBool,
    requests: Mutex<BTreeMap<&'static str, usize>>,
}

impl Unfinished {
    /// Notes that the drain has ended: from now on a request that ends early counts as aborted.
    pub fn begin(&self) {
        self.begun.store(true, Ordering::Relaxed);
    }

    pub fn has_begun(&self) -> bool {
        self.begun.load(Ordering::Relaxed)
    }

    pub fn count(&self, operation: &'static str) {
        *self.requests.lock().entry(operation).or_default() += 1;
    }

    /// The number of aborted requests so far.
    pub fn requests(&self) -> usize {
        self.requests.lock().values().sum()
    }
}

impl fmt::Display for Unfinished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let requests = self.requests.lock();
        for (index, (operation, count)) in requests.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}{operation} {count}")?;
        }
        Ok(())
    }
}
