//! Chance, so that many sessions, and many replicas, do not act in the same moment.

use std::time::Duration;

/// Some time between half of `longest` and all of it.
pub(crate) fn up_to(longest: Duration) -> Duration {
    longest * fastrand::u32(50..=100) / 100
}

/// `pause`, or up to a tenth less.
pub(crate) fn a_little_less(pause: Duration) -> Duration {
    pause.mul_f64(1.0 - fastrand::f64() / 10.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stays_between_half_and_whole_and_varies() {
        let whole = Duration::from_secs(100);
        let rolls: Vec<_> = (0..200).map(|_| up_to(whole)).collect();
        assert!(rolls.iter().all(|roll| (whole / 2..=whole).contains(roll)));
        assert!(rolls.iter().any(|roll| *roll != rolls[0]));
    }

    #[test]
    fn a_little_less_is_at_most_a_tenth_and_varies() {
        let whole = Duration::from_secs(100);
        let rolls: Vec<_> = (0..200).map(|_| a_little_less(whole)).collect();
        assert!(rolls.iter().all(|roll| (whole * 9 / 10..=whole).contains(roll)));
        assert!(rolls.iter().any(|roll| *roll != rolls[0]));
    }
}
