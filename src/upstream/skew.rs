//! AWS's clock, as far as it is known. Signatures have its time.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime};

use crate::clock;

/// The largest difference of clocks that the gateway corrects.
const MOST: Duration = Duration::from_secs(24 * 60 * 60);

/// The difference between AWS's clock and this machine's, learnt from Bedrock's refusals.
#[derive(Debug, Default)]
pub struct Skew {
    seconds: AtomicI64,
}

impl Skew {
    /// The present moment by AWS's clock.
    pub fn now(&self) -> SystemTime {
        shifted(clock::now(), self.seconds())
    }

    /// AWS's clock minus this machine's, seconds.
    pub fn seconds(&self) -> i64 {
        self.seconds.load(Ordering::Relaxed)
    }

    /// Learns the difference from `date`, which AWS has just sent. Returns the new difference in seconds. `None`: it is
    /// more than a day, and the gateway does not use it.
    pub fn learn(&self, date: SystemTime) -> Option<i64> {
        let ours = clock::now();
        let (apart, sign) = match date.duration_since(ours) {
            Ok(ahead) => (ahead, 1),
            Err(behind) => (behind.duration(), -1),
        };
        if apart > MOST {
            return None;
        }
        let seconds = sign * i64::try_from(apart.as_secs()).ok()?;
        self.seconds.store(seconds, Ordering::Relaxed);
        Some(seconds)
    }
}

fn shifted(time: SystemTime, seconds: i64) -> SystemTime {
    let by = Duration::from_secs(seconds.unsigned_abs());
    if seconds < 0 { time.checked_sub(by) } else { time.checked_add(by) }.unwrap_or(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_learnt_within_a_day() {
        let skew = Skew::default();
        let hour = Duration::from_secs(3600);
        let learnt = skew.learn(clock::now() - hour).unwrap();
        assert!((-3602..=-3598).contains(&learnt));
        assert!(skew.now() < clock::now() - hour / 2);
        assert_eq!(skew.learn(clock::now() + 25 * hour), None);
        assert_eq!(skew.seconds(), learnt);
    }
}
