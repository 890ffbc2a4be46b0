//! Requests that were cut off because the drain had ended before they had.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

/// How many requests were cut, by operation.
#[derive(Debug, Default)]
pub struct Unfinished {
    begun: AtomicBool,
    requests: Mutex<BTreeMap<&'static str, usize>>,
}

impl Unfinished {
    /// From now on whatever ends before its end was cut.
    pub fn begin(&self) {
        self.begun.store(true, Ordering::Relaxed);
    }

    pub fn has_begun(&self) -> bool {
        self.begun.load(Ordering::Relaxed)
    }

    pub fn count(&self, operation: &'static str) {
        *self.requests.lock().entry(operation).or_default() += 1;
    }

    /// How many there are so far.
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
