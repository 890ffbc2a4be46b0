//! Chance, so that many sessions, and many replicas, do not act in the same moment.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::time::Duration;

/// Some time between half of `longest` and all of it.
pub(super) fn up_to(longest: Duration) -> Duration {
    // The standard library seeds each of these differently; nothing here needs more than that.
    let dice = RandomState::new().hash_one(());
    let percent = u32::try_from(50 + dice % 51).unwrap_or(100);
    longest * percent / 100
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
}
