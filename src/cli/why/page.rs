//! A page of labelled paragraphs, at most 80 columns wide.

use std::fmt::Write as _;

/// The width of a terminal's smallest window.
const WIDTH: usize = 80;
/// The column at which the paragraphs begin.
const INDENT: usize = 10;

#[derive(Debug, Default)]
pub(super) struct Page {
    text: String,
    label: &'static str,
}

impl Page {
    pub(super) fn heading(&mut self, words: &str) {
        for line in wrapped(words, WIDTH) {
            self.push(&line);
        }
    }

    /// Begins a section. Its first paragraph has this label.
    pub(super) fn section(&mut self, label: &'static str) {
        self.label = label;
    }

    /// One paragraph of the section. It begins on a line of its own.
    pub(super) fn line(&mut self, words: &str) {
        for (index, line) in wrapped(words, WIDTH - INDENT).into_iter().enumerate() {
            let label = if index == 0 { std::mem::take(&mut self.label) } else { "" };
            // A paragraph that continues is indented, so that the next one is seen to begin.
            self.push(&format!("{label:INDENT$}{line}"));
        }
    }

    fn push(&mut self, line: &str) {
        // Writing to a String cannot fail.
        let _written = writeln!(self.text, "{}", line.trim_end());
    }

    pub(super) fn into_string(self) -> String {
        self.text
    }
}

/// The text in lines of at most `width` characters. A longer word is broken.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut used = 0;
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        let length = word.chars().count();
        if used > 0 && used + 1 + length > width {
            lines.push(String::new());
            used = 0;
        }
        for (index, c) in
            (if used > 0 { Some(' ') } else { None }).into_iter().chain(word.chars()).enumerate()
        {
            if used == width && index > 0 {
                lines.push(String::new());
                used = 0;
            }
            if let Some(line) = lines.last_mut() {
                line.push(c);
            }
            used += 1;
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn paragraphs_are_wrapped_under_their_label() {
        let mut page = Page::default();
        page.section("who");
        page.line(&"word ".repeat(20));
        page.line("next");
        let words = |count: usize| ["word"; 14][..count].join(" ");
        assert_eq!(
            page.into_string(),
            format!("who       {}\n          {}\n          next\n", words(14), words(6))
        );
    }

    proptest! {
        #[test]
        fn no_line_is_longer_than_80_columns_and_no_character_is_lost(text in "[a-zé]{0,200}( [a-zé:/]{0,120}){0,6}") {
            let lines = wrapped(&text, WIDTH - INDENT);
            prop_assert!(lines.iter().all(|line| line.chars().count() <= WIDTH - INDENT), "{lines:?}");
            let squeezed = |text: &str| text.replace(' ', "");
            prop_assert_eq!(squeezed(&lines.concat()), squeezed(&text));
        }
    }
}
