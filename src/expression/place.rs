//! The part of an expression that an error is about.

use std::ops::Range;

/// The token at a line and column of the text, from 1.
pub(super) fn token(text: &str, (line, column): (usize, usize)) -> Option<Range<usize>> {
    let begins = text.split_inclusive('\n').take(line.checked_sub(1)?).map(str::len).sum::<usize>();
    let rest = text.get(begins..)?;
    let before: usize = rest.chars().take(column.checked_sub(1)?).map(char::len_utf8).sum();
    let rest = rest.get(before..)?;
    let word = rest.find(|c: char| !is_of_word(c)).unwrap_or(rest.len());
    let width = if word > 0 { word } else { rest.chars().next().map_or(0, char::len_utf8) };
    Some(begins + before..begins + before + width)
}

/// The first place of a word that is not a part of a longer one. One outside texts in quotes comes first.
pub(super) fn word(text: &str, word: &str) -> Option<Range<usize>> {
    let is_whole = |at: usize| {
        let before = text.get(..at).and_then(|before| before.chars().next_back());
        let behind = text.get(at + word.len()..).and_then(|behind| behind.chars().next());
        !before.is_some_and(is_of_word) && !behind.is_some_and(is_of_word)
    };
    let found: Vec<usize> = text.match_indices(word).map(|(at, _)| at).filter(|at| is_whole(*at)).collect();
    let outside = found.iter().copied().find(|at| !is_quoted(text, *at));
    outside.or_else(|| found.first().copied()).map(|at| at..at + word.len())
}

/// Whether the byte `at` is inside a text in quotes.
fn is_quoted(text: &str, at: usize) -> bool {
    let mut open = None;
    for c in text.get(..at).unwrap_or_default().chars() {
        match open {
            None if matches!(c, '\'' | '"') => open = Some(c),
            Some(quote) if c == quote => open = None,
            _ => {}
        }
    }
    open.is_some()
}

fn is_of_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_found_outside_texts_first() {
        for (text, sought, part) in [
            ("claims.team == ml", "ml", Some(15..17)),
            ("'ml' in mla || ml", "ml", Some(15..17)),
            ("request.headers['x-a']", "x-a", Some(17..20)),
            ("claims.a", "b", None),
        ] {
            assert_eq!(word(text, sought), part, "{text}");
        }
    }

    #[test]
    fn a_place_marks_its_whole_token() {
        assert_eq!(token("a and b", (1, 3)), Some(2..5));
        assert_eq!(token("a\n  == =", (2, 6)), Some(7..8));
        assert_eq!(token("a", (1, 2)), Some(1..1));
        assert_eq!(token("a", (2, 9)), Some(1..1));
    }
}
