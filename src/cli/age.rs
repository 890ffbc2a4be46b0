//! Times as operators read them in a table: how long ago, or how long until then.

use std::time::{Duration, SystemTime};

use crate::clock;

/// The distance of an RFC 3339 time from `now`, in one unit, for example `3 min`. Another text stays as it is.
pub(super) fn distance(text: &str, now: SystemTime) -> String {
    let Some(at) = clock::parse_rfc3339(text) else { return text.to_owned() };
    words(at.duration_since(now).unwrap_or_else(|before| before.duration()))
}

fn words(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..=99 => format!("{seconds} s"),
        100..=5_999 => format!("{} min", seconds / 60),
        6_000..=172_799 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_shown_in_one_unit() {
        let now = clock::parse_rfc3339("2026-11-24T12:00:00Z").unwrap();
        for (time, shown) in [
            ("2026-11-24T11:59:57Z", "3 s"),
            ("2026-11-24T12:59:59Z", "59 min"),
            ("2026-11-24T02:00:00Z", "10 h"),
            ("2026-12-24T12:00:00Z", "30 d"),
            ("soon", "soon"),
        ] {
            assert_eq!(distance(time, now), shown);
        }
    }
}
