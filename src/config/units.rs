//! Durations and sizes as people write them.
//!
//! Written here, because the libraries for this accept more than what is documented, for example "1 hour 30 min" or
//! "5 MB".

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::diagnostics::Diagnostics;
use super::raw::{Spanned, Text};
use crate::clock::in_words;
use crate::limits::memory::Bytes;

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// Reads `"45s"`, `"10m"`, `"1h30m"`, `"7d"`, `"250ms"`: whole numbers with a unit, largest unit first.
pub(super) fn duration(text: &str) -> Option<Duration> {
    const UNITS: [(&str, Duration); 5] = [
        ("d", Duration::from_secs(DAY)),
        ("h", Duration::from_secs(HOUR)),
        ("m", Duration::from_secs(MINUTE)),
        ("s", Duration::from_secs(1)),
        ("ms", Duration::from_millis(1)),
    ];
    let mut rest = text;
    let mut sum = Duration::ZERO;
    let mut units = UNITS.iter();
    while !rest.is_empty() {
        let (number, unit, behind) = quantity(rest)?;
        // A unit once at most, and never a larger one after a smaller.
        let (_, length) = units.find(|(name, _)| *name == unit)?;
        sum = sum.checked_add(length.checked_mul(u32::try_from(number).ok()?)?)?;
        rest = behind;
    }
    (!text.is_empty()).then_some(sum)
}

/// Reads `"32MiB"`, `"64KiB"`, `"1GiB"` or `"100B"` as bytes.
pub(super) fn bytes(text: &str) -> Option<usize> {
    let (number, unit, "") = quantity(text)? else { return None };
    let unit: u64 = match unit {
        "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    usize::try_from(number.checked_mul(unit)?).ok()
}

impl Diagnostics<'_> {
    /// The duration in `text`, if it is valid and within `limits`.
    pub(super) fn duration(
        &mut self,
        text: Option<&Text>,
        limits: RangeInclusive<Duration>,
    ) -> Option<Duration> {
        let text = text?;
        let Some(length) = duration(text.get_ref()) else {
            let message = format!("\"{}\" is not a duration", text.get_ref());
            let (least, most) = (in_words(*limits.start()), in_words(*limits.end()));
            let example = if limits.start().is_zero() { &most } else { &least };
            let help = format!("write, for example, \"{example}\"; the limits are {least} to {most}");
            self.error(text.span(), message, help);
            return None;
        };
        if !limits.contains(&length) {
            let (fault, bound, or) = if length < *limits.start() {
                ("short: the least", in_words(*limits.start()), "more")
            } else {
                ("long: the most", in_words(*limits.end()), "less")
            };
            let message = format!("{} is too {fault} is {bound}", text.get_ref());
            self.error(text.span(), message, format!("write \"{bound}\" or {or}"));
        }
        Some(length)
    }

    /// The size in `text`, bytes, if it is valid and within `limits`.
    pub(super) fn size(&mut self, text: Option<&Text>, limits: RangeInclusive<usize>) -> Option<usize> {
        let text = text?;
        let Some(size) = bytes(text.get_ref()) else {
            let message = format!("\"{}\" is not a size", text.get_ref());
            self.error(text.span(), message, "write, for example, \"32MiB\" or \"512KiB\"");
            return None;
        };
        if !limits.contains(&size) {
            let (least, most) = (Bytes(*limits.start()), Bytes(*limits.end()));
            let help = format!("write {} to {}", least.in_configuration(), most.in_configuration());
            self.error(text.span(), format!("{} is out of bounds", text.get_ref()), help);
            return None;
        }
        Some(size)
    }

    /// The number, if it is within `limits`.
    pub(super) fn number<N: Copy + PartialOrd + Display>(
        &mut self,
        number: Option<&Spanned<N>>,
        limits: RangeInclusive<N>,
    ) -> Option<N> {
        let number = number?;
        if !limits.contains(number.get_ref()) {
            let help = format!("write {} to {}", limits.start(), limits.end());
            self.error(number.span(), format!("{number} is out of bounds"), help);
            return None;
        }
        Some(*number.get_ref())
    }
}

/// Splits digits, the letters after them, and what is left.
fn quantity(text: &str) -> Option<(u64, &str, &str)> {
    let letters = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, rest) = text.split_at(letters);
    let end = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
    let (unit, rest) = rest.split_at(end);
    Some((number.parse().ok()?, unit, rest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations() {
        for (text, millis) in [
            ("45s", Some(45_000)),
            ("10m", Some(600_000)),
            ("1h30m", Some(5_400_000)),
            ("1d", Some(86_400_000)),
            ("250ms", Some(250)),
            ("1s500ms", Some(1_500)),
            ("0s", Some(0)),
            ("", None),
            ("10", None),
            ("m", None),
            ("-1s", None),
            ("1.5h", None),
            ("30m1h", None),
            ("1m1m", None),
            ("1 m", None),
            ("1x", None),
            ("99999999999999999999s", None),
            ("9999999999d", None),
        ] {
            assert_eq!(duration(text), millis.map(Duration::from_millis), "{text}");
        }
    }

    #[test]
    fn sizes() {
        for (text, size) in [
            ("32MiB", Some(32 << 20)),
            ("1GiB", Some(1 << 30)),
            ("64KiB", Some(65_536)),
            ("7B", Some(7)),
            ("7", None),
            ("7MB", None),
            ("", None),
            ("1MiB1B", None),
            ("99999999999999GiB", None),
        ] {
            assert_eq!(bytes(text), size, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(seconds in 1u64..1_000_000) {
            let length = Duration::from_secs(seconds);
            prop_assert_eq!(duration(&in_words(length)), Some(length));
        }

        #[test]
        fn a_size_that_is_written_is_read_again(number in 0_usize..2_048, shift in 0_u32..=30) {
            let size = number << shift;
            prop_assert_eq!(bytes(&Bytes(size).in_configuration()), Some(size));
        }

        #[test]
        fn nothing_written_panics(text in "\\PC{0,12}") {
            duration(&text);
            bytes(&text);
        }
    }
}
