//! The only wall clock. All code that compares with the time of a token, a session or a signature calls this module, so
//! a search for one name finds every such place.

use std::time::{Duration, SystemTime};

use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;

/// The present time by this machine's clock, without any correction.
pub fn now() -> SystemTime {
    #[expect(clippy::disallowed_methods, reason = "the lint tells all other code to call this function")]
    SystemTime::now()
}

/// `at` as a text of RFC 3339, in UTC and whole seconds.
pub fn rfc3339(at: SystemTime) -> String {
    const FORMAT: &[BorrowedFormatItem<'_>] =
        format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]Z");
    // Fails only for a format that needs a part which the time lacks. This format needs none.
    OffsetDateTime::from(at).format(FORMAT).unwrap_or_default()
}

/// The time that a text of RFC 3339 names; `None` if the text is something else.
pub fn parse_rfc3339(text: &str) -> Option<SystemTime> {
    OffsetDateTime::parse(text, &Rfc3339).ok().map(Into::into)
}

/// Writes a duration as the configuration does, for messages.
pub fn in_words(duration: Duration) -> String {
    const MINUTE: u64 = 60;
    const HOUR: u64 = 60 * MINUTE;
    match duration.as_secs() {
        0 => format!("{}ms", duration.as_millis()),
        seconds if seconds % HOUR == 0 => format!("{}h", seconds / HOUR),
        seconds if seconds % MINUTE == 0 => format!("{}m", seconds / MINUTE),
        seconds => format!("{seconds}s"),
    }
}
