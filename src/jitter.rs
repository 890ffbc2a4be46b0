//! Random delays, so that many sessions and many replicas do not act at the same time.

use std::time::Duration;

/// A random time between half of `longest` and `longest`.
pub(crate) fn up_to(longest: Duration) -> Duration {
    longest * fastrand::u32(50..=100) / 100
}

/// `pause`, shortened at random by up to a tenth.
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
