//! How many times a second this process calls STS, and who goes first when that is not enough.
//!
//! Written here, because the published limiters, `governor` among them, have no queue with a bound and an order.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{Instant, sleep_until};

/// How long a call waits for its turn at most.
const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// How much unused rate is kept for later.
const BURST: Duration = Duration::from_secs(1);

/// An even rate of calls; after an idle second, a second's worth of them at once.
#[derive(Debug)]
pub struct Rate {
    /// From one call to the next.
    interval: Duration,
    /// When the next call may go. Callers in the queue have theirs already, so a moment in the
    /// future means that somebody waits.
    next: Mutex<Instant>,
}

/// The turn would come too late to be worth waiting for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooLate;

impl Rate {
    /// At most `per_second` calls a second, one at least.
    pub(super) fn new(per_second: u32) -> Self {
        let interval = Duration::from_secs(1) / per_second.max(1);
        Self { interval, next: Mutex::new(earliest(interval)) }
    }

    /// Waits for this call's turn, first come, first served.
    ///
    /// # Errors
    /// At once, when the turn would come later than ten seconds from now.
    pub async fn turn(&self) -> Result<(), TooLate> {
        self.turn_within(LONGEST_WAIT).await
    }

    /// Waits for this call's turn, if it comes within `longest`.
    ///
    /// # Errors
    /// At once, when it comes later.
    pub async fn turn_within(&self, longest: Duration) -> Result<(), TooLate> {
        let turn = self.claim(longest).ok_or(TooLate)?;
        sleep_until(turn).await;
        Ok(())
    }

    /// Takes a turn if one is free and nobody waits for it.
    pub(super) fn take_spare(&self) -> bool {
        self.claim(Duration::ZERO).is_some()
    }

    fn claim(&self, longest: Duration) -> Option<Instant> {
        let mut next = self.next.lock();
        let turn = earliest(self.interval).max(*next);
        if turn > Instant::now() + longest {
            return None;
        }
        *next = turn + self.interval;
        Some(turn)
    }
}

/// The oldest turn that may still be taken: what is older was not kept.
fn earliest(interval: Duration) -> Instant {
    let now = Instant::now();
    now.checked_sub(BURST.saturating_sub(interval)).unwrap_or(now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn keeps_to_the_rate_and_refuses_who_would_wait_too_long() {
        let rate = Rate::new(2);
        let start = Instant::now();
        for _ in 0..6 {
            rate.turn().await.unwrap();
        }
        assert_eq!(start.elapsed(), Duration::from_secs(2), "two at once, then two a second");

        let queue: Vec<_> = (0..40).map(|_| rate.claim(LONGEST_WAIT)).collect();
        assert_eq!(queue.iter().flatten().count(), 20, "ten seconds' worth");
        assert_eq!(rate.turn().await, Err(TooLate));
    }

    #[tokio::test(start_paused = true)]
    async fn a_spare_turn_is_only_what_nobody_waits_for() {
        let rate = Rate::new(1);
        assert!(rate.take_spare());
        assert!(!rate.take_spare());
        let waiting = rate.claim(LONGEST_WAIT).unwrap();
        tokio::time::advance(Duration::from_millis(1500)).await;
        assert!(waiting <= Instant::now());
        assert!(!rate.take_spare(), "the second second went to the one who waited");
        tokio::time::advance(Duration::from_mins(1)).await;
        assert!(rate.take_spare());
        assert!(!rate.take_spare(), "an idle minute is kept as one second");
    }
}
