//! Measures how long single polls of tasks hold up their worker.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// The longest poll, by the CPU time of its thread. Benchmarks use it: reading that clock twice costs a poll about half a
/// microsecond.
#[derive(Debug, Default)]
pub struct PollMeter {
    nanoseconds: AtomicU64,
}

impl PollMeter {
    /// The longest poll since the last call.
    pub fn take_longest(&self) -> Duration {
        Duration::from_nanos(self.nanoseconds.swap(0, Ordering::Relaxed))
    }

    pub(super) fn measure<T>(&self, poll: impl FnOnce() -> T) -> T {
        let before = cpu_time();
        let polled = poll();
        self.nanoseconds.fetch_max(cpu_time().saturating_sub(before), Ordering::Relaxed);
        polled
    }
}

/// The CPU time that this thread has used, nanoseconds.
pub(super) fn cpu_time() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let (seconds, nanoseconds) = (u64::try_from(time.tv_sec), u64::try_from(time.tv_nsec));
    seconds.unwrap_or_default() * 1_000_000_000 + nanoseconds.unwrap_or_default()
}
