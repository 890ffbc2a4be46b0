//! The only place where the stand-in reads the wall clock, and AWS's two formats of times.

use std::time::SystemTime;

use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;

const AMZ_DATE: &[BorrowedFormatItem<'_>] = format_description!("[year][month][day]T[hour][minute][second]Z");
const ISO_8601: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]Z");

/// The time now.
#[expect(clippy::disallowed_methods, reason = "this is the function that all others must use")]
pub fn now() -> SystemTime {
    SystemTime::now()
}

/// The format of `X-Amz-Date`: `20261122T013000Z`.
pub fn amz_date(at: SystemTime) -> String {
    write(at, AMZ_DATE)
}

/// The format of XML and JSON answers, in whole seconds: `2026-11-22T01:30:00Z`.
pub fn iso8601(at: SystemTime) -> String {
    write(at, ISO_8601)
}

/// Reads an `X-Amz-Date`.
pub(crate) fn parse_amz_date(text: &str) -> Option<SystemTime> {
    let parsed = time::PrimitiveDateTime::parse(text, AMZ_DATE).ok()?;
    Some(parsed.assume_utc().into())
}

/// Whole seconds since 1970.
pub(crate) fn unix_seconds(at: SystemTime) -> i64 {
    OffsetDateTime::from(at).unix_timestamp()
}

fn write(at: SystemTime, format: &[BorrowedFormatItem<'_>]) -> String {
    OffsetDateTime::from(at).format(format).expect("the format has only fields that every time has")
}
