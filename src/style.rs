//! How text for people looks on a terminal: colours, widths, and characters that a terminal would act on.

use std::io::{stderr, stdout};

use anstream::{AutoStream, ColorChoice};
use anstyle::{AnsiColor, Effects, Style};
use unicode_width::UnicodeWidthChar as _;

/// Green: it went well.
pub const GOOD: Style = AnsiColor::Green.on_default();
/// Yellow: a caller or the operator has to change something.
pub const WARNING: Style = AnsiColor::Yellow.on_default();
/// Red: it failed.
pub const BAD: Style = AnsiColor::Red.on_default();
/// Dim: it is there to be searched for, not to be read.
pub const DIM: Style = Style::new().effects(Effects::DIMMED);

/// The mark of a text that was clipped.
const CLIPPED: char = '…';

/// Whether text on standard output is coloured: on a terminal, unless `NO_COLOR` or `CLICOLOR=0` forbids it, and
/// wherever `CLICOLOR_FORCE` demands it.
pub fn stdout_has_colour() -> bool {
    AutoStream::choice(&stdout()) != ColorChoice::Never
}

/// [`stdout_has_colour`] of standard error.
pub fn stderr_has_colour() -> bool {
    AutoStream::choice(&stderr()) != ColorChoice::Never
}

/// Appends `text` in this style. Without colour it is the text alone.
pub fn push(line: &mut String, colour: bool, style: Style, text: &str) {
    if colour {
        for part in [&style.render().to_string(), text, &style.render_reset().to_string()] {
            line.push_str(part);
        }
    } else {
        line.push_str(text);
    }
}

/// The text without characters that a terminal might act on. Control characters, line separators, and marks that turn
/// or join what is around them become escapes such as `\u{1b}`.
pub fn legible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if c == ' ' || c.is_ascii_graphic() || c.is_alphanumeric() {
            shown.push(c);
        } else {
            // A quotation mark is escaped only in quotes.
            shown.extend(c.escape_debug());
        }
    }
    shown
}

/// The first `most` of the names, and how many more there are.
pub fn listed<'n>(names: impl IntoIterator<Item = &'n str>, most: usize) -> String {
    let mut names = names.into_iter();
    let first: Vec<&str> = names.by_ref().take(most).collect();
    match names.count() {
        0 => first.join(", "),
        more => format!("{} and {more} more", first.join(", ")),
    }
}

/// The columns that a terminal needs for `text`.
pub fn columns(text: &str) -> usize {
    text.chars().map(|c| c.width().unwrap_or(0)).sum()
}

/// The text in at most `most` columns. What is left out is marked with an ellipsis.
pub fn clipped(text: &str, most: usize) -> String {
    if columns(text) <= most {
        return text.to_owned();
    }
    let mut room = most.saturating_sub(1);
    let fits = |c: &char| {
        let left = room.checked_sub(c.width().unwrap_or(0));
        left.inspect(|left| room = *left).is_some()
    };
    let mut kept: String = text.chars().take_while(fits).collect();
    kept.push(CLIPPED);
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_that_a_terminal_would_act_on_is_escaped() {
        assert_eq!(
            legible("a\u{1b}[2J\u{202e}b\u{2028}\u{200b}c"),
            "a\\u{1b}[2J\\u{202e}b\\u{2028}\\u{200b}c"
        );
        for text in ["müller@acme.org", "[\"sales\", 'x']", "C:\\x"] {
            assert_eq!(legible(text), text);
        }
    }

    #[test]
    fn a_long_list_says_how_many_are_left_out() {
        assert_eq!(listed([], 2), "");
        assert_eq!(listed(["a", "b"], 2), "a, b");
        assert_eq!(listed(["a", "b", "c", "d"], 2), "a, b and 2 more");
    }
}
