//! The line for people: one for each request, in at most [`COLUMNS`] columns. The columns of ordinary requests stand
//! below each other, within eighty.

use std::time::SystemTime;

use time::OffsetDateTime;
use time::macros::format_description;

use super::{AccessRecord, Ended};
use crate::reason::Reason;
use crate::style::{self, BAD, DIM, GOOD, WARNING, clipped, columns, legible};

/// The most columns of a line.
pub(super) const COLUMNS: usize = 120;
/// The characters of the request id that a line shows. They are enough to find the request in a day of any replica.
const ID: usize = 8;
/// The least columns that are worth the beginning of a detail.
const DETAIL: usize = 12;
/// The fewest columns of the person.
const PERSON: usize = 10;
/// Shown in place of a value that is not known.
const UNKNOWN: &str = "-";

/// How much of a time a line shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stamp {
    /// `11:49:19Z`, for a terminal.
    Time,
    /// `2026-11-24T11:49:19Z`, for a file, which may have the lines of many days.
    DateAndTime,
}

impl Stamp {
    pub(crate) fn on(terminal: bool) -> Self {
        if terminal { Self::Time } else { Self::DateAndTime }
    }

    /// The time in UTC, to the second.
    pub(crate) fn of(self, time: SystemTime) -> String {
        let time = OffsetDateTime::from(time);
        let text = match self {
            Self::Time => time.format(format_description!("[hour]:[minute]:[second]Z")),
            Self::DateAndTime => {
                time.format(format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]Z"))
            }
        };
        // All these parts exist of every time.
        text.unwrap_or_default()
    }
}

/// The line of `record`.
pub(super) fn of(record: &AccessRecord<'_>, stamp: Stamp, colour: bool) -> String {
    let time = stamp.of(record.time);
    let operation = clipped(&legible(record.operation.unwrap_or(UNKNOWN)), 16);
    let model = clipped(&legible(&record.model.map_or_else(|| UNKNOWN.into(), short_model)), 16);
    let team: Vec<&str> = record.tags.iter().map(|(_, value)| *value).collect();
    let team = if team.is_empty() { UNKNOWN.to_owned() } else { clipped(&legible(&team.join(",")), 10) };
    let duration = duration(record.duration_ms);
    let id: String = legible(record.request_id).chars().take(ID).collect();
    let ending = ending(record);

    // Everything but the person, with the spaces between.
    let taken = columns(&time)
        + " 200 ".len()
        + columns(&operation).max(15)
        + columns(&model).max(10)
        + columns(&team).max(6)
        + columns(&duration).max(6)
        + columns(&id)
        + columns(&ending)
        + 6;
    let room = COLUMNS.saturating_sub(taken).max(PERSON);
    let person = clipped(&legible(person(record)), room);
    let person_width = room.min(15);

    let mut line = String::with_capacity(2 * COLUMNS);
    let style = match record.status {
        ..400 => GOOD,
        400..500 => WARNING,
        500.. => BAD,
    };
    style::push(&mut line, colour, DIM, &time);
    line.push(' ');
    style::push(&mut line, colour, style, &format!("{:3}", record.status));
    for (text, width) in [(&operation, 15), (&model, 10), (&person, person_width), (&team, 6)] {
        line.push(' ');
        line.push_str(text);
        line.extend(std::iter::repeat_n(' ', usize::saturating_sub(width, columns(text))));
    }
    let duration = format!(" {duration:>6} ");
    line.push_str(&duration);
    style::push(&mut line, colour, DIM, &id);
    if !ending.is_empty() {
        line.push(' ');
        style::push(&mut line, colour, style, &ending);
        let used = taken + columns(&person).max(person_width);
        if let Some(detail) = record.detail
            && used + DETAIL + 2 <= COLUMNS
        {
            let detail = clipped(&legible(detail), COLUMNS - used - 2);
            line.push_str(": ");
            line.push_str(&detail);
        }
    }
    line
}

/// Why the request did not end well: its reason, or how its answer ended.
fn ending(record: &AccessRecord<'_>) -> String {
    match record.reason {
        Some(reason) if reason != Reason::Ok => clipped(&legible(reason.as_str()), 24),
        _ if record.ended != Ended::Complete => format!("ended={}", record.ended.as_str()),
        _ => String::new(),
    }
}

/// The session name, which is the last part of the principal; before there is one, the token's verified subject.
fn person<'a>(record: &AccessRecord<'a>) -> &'a str {
    let name = record.principal.and_then(|principal| principal.rsplit('/').next());
    name.or(record.subject).unwrap_or(UNKNOWN)
}

/// The model without what can be left out: the geography, the provider, the first version. `-v2` stays, and so does a
/// name that would say nothing without its provider.
fn short_model(model: &str) -> String {
    const GEOGRAPHIES: [&str; 8] = ["us", "eu", "apac", "global", "us-gov", "jp", "au", "ca"];
    let name = model.rsplit('/').next().unwrap_or(model);
    let name = match name.split_once('.') {
        Some((geography, rest)) if GEOGRAPHIES.contains(&geography) => rest,
        _ => name,
    };
    let name = name.strip_suffix(":0").unwrap_or(name);
    let name = name.strip_suffix("-v1").unwrap_or(name);
    let (name, version) = match name.strip_suffix("-v2") {
        Some(name) => (name, "-v2"),
        None => (name, ""),
    };
    let name = match name.rsplit_once('-') {
        Some((name, date)) if date.len() == 8 && date.starts_with("20") && is_number(date) => name,
        _ => name,
    };
    let starts_with_word = |name: &str| name.chars().take_while(char::is_ascii_alphabetic).count() >= 3;
    let without = |name: &'_ str, until: &str| {
        name.split_once(until).map(|(_, rest)| rest).filter(|rest| starts_with_word(rest)).map(str::to_owned)
    };
    let name = without(name, ".").unwrap_or_else(|| name.to_owned());
    let name = if name.starts_with("claude-") { without(&name, "-").unwrap_or(name) } else { name };
    name + version
}

fn is_number(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

/// `340 ms`, `1.2 s`, `12 min`, `3 h`: at most six columns.
fn duration(milliseconds: u64) -> String {
    match milliseconds {
        ..1_000 => format!("{milliseconds} ms"),
        1_000..60_000 => format!("{}.{} s", milliseconds / 1_000, milliseconds % 1_000 / 100),
        60_000..6_000_000 => format!("{} min", milliseconds / 60_000),
        6_000_000.. => format!("{} h", (milliseconds / 3_600_000).min(9_999)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_is_shown_without_what_can_be_left_out() {
        for (model, shown) in [
            ("us.anthropic.claude-sonnet-4-6-v1:0", "sonnet-4-6"),
            ("anthropic.claude-opus-4-8-20260101-v1:0", "opus-4-8"),
            ("global.anthropic.claude-haiku-4-5-20251001-v1:0", "haiku-4-5"),
            ("anthropic.claude-3-5-sonnet-20240620-v1:0", "claude-3-5-sonnet"),
            ("anthropic.claude-3-5-sonnet-20241022-v2:0", "claude-3-5-sonnet-v2"),
            ("meta.llama3-1-8b-instruct-v1:0", "llama3-1-8b-instruct"),
            ("amazon.nova-reel-v1:1", "nova-reel-v1:1"),
            ("amazon.nova-lite-v1:0:300k", "nova-lite-v1:0:300k"),
            ("us.deepseek.r1-v1:0", "deepseek.r1"),
            ("zai.glm-4.6", "glm-4.6"),
            ("openai.gpt-oss-120b", "gpt-oss-120b"),
            (
                "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abcdefghijkl",
                "abcdefghijkl",
            ),
            ("arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-sonnet-4-6-v1:0", "sonnet-4-6"),
            ("", ""),
            (".", "."),
        ] {
            assert_eq!(short_model(model), shown, "{model}");
        }
    }

    #[test]
    fn a_duration_has_one_unit() {
        for (milliseconds, shown) in [
            (0, "0 ms"),
            (999, "999 ms"),
            (1_000, "1.0 s"),
            (59_999, "59.9 s"),
            (60_000, "1 min"),
            (7_230_000, "2 h"),
            (u64::MAX, "9999 h"),
        ] {
            assert_eq!(duration(milliseconds), shown);
        }
    }
}
