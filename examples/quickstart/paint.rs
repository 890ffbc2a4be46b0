//! Styles, and text that keeps its column. `anstream` removes the styles where standard output is no terminal, or
//! `NO_COLOR` is set.

use anstyle::{AnsiColor, Style};

pub(crate) const GOOD: Style = AnsiColor::Green.on_default();
pub(crate) const BAD: Style = AnsiColor::Red.on_default();
pub(crate) const NAME: Style = AnsiColor::Cyan.on_default();
pub(crate) const STRONG: Style = Style::new().bold();
pub(crate) const FAINT: Style = Style::new().dimmed();

/// The width of everything that the quickstart prints, except variables and log lines, characters.
pub(crate) const WIDTH: usize = 80;

/// A line in bold after an empty line.
pub(crate) fn heading(text: &str) {
    anstream::println!("\n{STRONG}{text}{STRONG:#}");
}

/// The text in at most `width` characters, the last of which is … if text is missing.
pub(crate) fn elided(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    text.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}

/// The text in lines of at most `width` characters, broken at spaces.
pub(crate) fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}
