//! The only wall clock. Everything that compares with a token's, a session's or a signature's time
//! asks here, so that a reader finds every such place by one name.

use std::time::SystemTime;

use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;

/// The present moment by this machine's clock, uncorrected.
pub fn now() -> SystemTime {
    #[expect(clippy::disallowed_methods, reason = "this is the clock that the lint sends everyone to")]
    SystemTime::now()
}

/// `at` as RFC 3339 has it, in UTC and whole seconds.
pub fn rfc3339(at: SystemTime) -> String {
    const FORMAT: &[BorrowedFormatItem<'_>] =
        format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]Z");
    // Fails for formats that need what a time does not have; this one does not.
    OffsetDateTime::from(at).format(FORMAT).unwrap_or_default()
}

/// The moment that a text of RFC 3339 names; `None` where it names none.
pub fn parse_rfc3339(text: &str) -> Option<SystemTime> {
    OffsetDateTime::parse(text, &Rfc3339).ok().map(Into::into)
}
