//! Injected faults: a test decides which of the next calls of a service fail, and how.

use std::collections::VecDeque;
use std::fmt::Debug;
use std::sync::{Mutex, PoisonError};

/// A queue of faults that a test and a service share.
///
/// Each call takes one fault from the queue. When the queue is empty, every call gets the standing fault, if there is
/// one.
#[derive(Debug)]
pub struct Faults<F> {
    plan: Mutex<Plan<F>>,
}

#[derive(Debug)]
struct Plan<F> {
    queue: VecDeque<F>,
    standing: Option<F>,
}

impl<F: Clone> Faults<F> {
    pub fn new() -> Self {
        Self { plan: Mutex::new(Plan { queue: VecDeque::new(), standing: None }) }
    }

    /// Queues `fault` for `n` calls, after the faults that are already queued.
    pub fn next(&self, n: usize, fault: F) {
        self.with(|plan| plan.queue.extend(std::iter::repeat_n(fault, n)));
    }

    /// Sets the standing fault: after the queue, every call gets `fault` until [`clear`](Self::clear).
    pub fn always(&self, fault: F) {
        self.with(|plan| plan.standing = Some(fault));
    }

    /// Removes all faults.
    pub fn clear(&self) {
        self.with(|plan| {
            plan.queue.clear();
            plan.standing = None;
        });
    }

    /// The fault of the next call. Removes it from the queue.
    pub fn take(&self) -> Option<F> {
        self.with(|plan| plan.queue.pop_front().or_else(|| plan.standing.clone()))
    }

    fn with<T>(&self, act: impl FnOnce(&mut Plan<F>) -> T) -> T {
        act(&mut self.plan.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<F: Clone> Default for Faults<F> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_queue_comes_before_the_standing_fault() {
        let faults = Faults::new();
        assert_eq!(faults.take(), None);
        faults.always("standing");
        faults.next(2, "queued");
        let taken: Vec<_> = (0..4).map(|_| faults.take()).collect();
        assert_eq!(taken, [Some("queued"), Some("queued"), Some("standing"), Some("standing")]);
        faults.clear();
        assert_eq!(faults.take(), None);
    }
}
