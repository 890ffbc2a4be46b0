//! A throttle for lines of the process log that any client can cause with each connection.

use std::mem;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// The shortest time between two lines.
const PERIOD: Duration = Duration::from_secs(10);

/// Lets one line through in each [`PERIOD`] and counts the others.
#[derive(Debug, Default)]
pub(super) struct Throttle(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    last: Option<Instant>,
    left_out: u64,
}

impl Throttle {
    /// Asks to write a line: the number of lines that were left out since the last one. `None`: leave this one out too.
    pub(super) fn line(&self) -> Option<u64> {
        let mut state = self.0.lock();
        if state.last.is_some_and(|last| last.elapsed() < PERIOD) {
            state.left_out += 1;
            return None;
        }
        state.last = Some(Instant::now());
        Some(mem::take(&mut state.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn each_period_has_one_line_with_the_number_left_out() {
        let throttle = Throttle::default();
        assert_eq!(throttle.line(), Some(0));
        assert_eq!((throttle.line(), throttle.line()), (None, None));
        tokio::time::advance(PERIOD).await;
        assert_eq!(throttle.line(), Some(2));
        assert_eq!(throttle.line(), None);
        tokio::time::advance(2 * PERIOD).await;
        assert_eq!(throttle.line(), Some(1));
    }
}
