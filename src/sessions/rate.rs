//! The rate of `AssumeRole` calls of this process, and the order of the calls that wait.
//!
//! This is hand-written: the published limiters, for example `governor`, have no queue with a limit and an order.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{Instant, sleep, sleep_until};

/// The longest time that a call waits for its turn.
const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// Unused turns of the last second stay available.
const BURST: Duration = Duration::from_secs(1);
/// The shortest time between two looks for a spare turn.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// A steady rate of calls. After an idle second, as many calls as one second has turns can start at once.
#[derive(Debug)]
pub struct Rate {
    /// The time from one turn to the next.
    interval: Duration,
    /// The next free turn. Each call in the queue has already taken its turn: if `next` is in the future, calls already
    /// wait.
    next: Mutex<Instant>,
}

/// An error: the turn would come later than the call can wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooLate;

impl Rate {
    /// A rate of `per_second` calls a second, at least one.
    pub(super) fn new(per_second: u32) -> Self {
        let interval = Duration::from_secs(1) / per_second.max(1);
        Self { interval, next: Mutex::new(earliest(interval)) }
    }

    /// Waits for this call's turn. The calls go in the order of their arrival.
    ///
    /// # Errors
    /// At once, when the turn is more than ten seconds away.
    pub async fn turn(&self) -> Result<(), TooLate> {
        self.turn_within(LONGEST_WAIT).await
    }

    /// Waits for this call's turn for at most `longest`.
    ///
    /// # Errors
    /// At once, when the turn comes later.
    pub async fn turn_within(&self, longest: Duration) -> Result<(), TooLate> {
        let turn = self.claim(longest).ok_or(TooLate)?;
        sleep_until(turn).await;
        Ok(())
    }

    /// Takes a turn if one is free and no call waits for it.
    pub(super) fn take_spare(&self) -> bool {
        self.claim(Duration::ZERO).is_some()
    }

    /// Waits until a turn is spare, however long, and takes it.
    pub(super) async fn spare_turn(&self) {
        while !self.take_spare() {
            sleep(self.interval.max(LOOK_AGAIN)).await;
        }
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

/// The earliest turn that a call can take now: unused turns of the last second stay available.
fn earliest(interval: Duration) -> Instant {
    let now = Instant::now();
    now.checked_sub(BURST.saturating_sub(interval)).unwrap_or(now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_rate_holds_and_a_call_that_would_wait_too_long_fails() {
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
    async fn a_spare_turn_is_one_that_no_call_waits_for() {
        let rate = Rate::new(1);
        assert!(rate.take_spare());
        assert!(!rate.take_spare());
        let waiting = rate.claim(LONGEST_WAIT).unwrap();
        tokio::time::advance(Duration::from_millis(1500)).await;
        assert!(waiting <= Instant::now());
        assert!(!rate.take_spare(), "the call that waited took the second turn");
        tokio::time::advance(Duration::from_mins(1)).await;
        assert!(rate.take_spare());
        assert!(!rate.take_spare(), "an idle minute is kept as one second");
    }

    #[tokio::test(start_paused = true)]
    async fn what_waits_for_a_spare_turn_goes_behind_all_calls() {
        let rate = Rate::new(1);
        let waiting: Vec<_> = (0..3).map(|_| rate.claim(LONGEST_WAIT).unwrap()).collect();
        rate.spare_turn().await;
        assert!(Instant::now() >= waiting[2] + Duration::from_secs(1));
    }
}
