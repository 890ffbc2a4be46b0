//! An error and what caused it, for the log and for operators.

use std::error::Error;

/// An error and its causes in one line. Not an SDK's own rendering: that adds debug output, which may hold
/// answers of the metadata services.
pub(crate) fn in_one_line(error: &(dyn Error + 'static)) -> String {
    let mut words: Vec<String> = Vec::new();
    for error in chain(error) {
        let text = error.to_string();
        // Many errors repeat their cause.
        if !words.last().is_some_and(|last| last.contains(&text)) {
            words.push(text);
        }
    }
    words.join(": ")
}

/// An error, its cause, the cause of that, and so on.
pub(crate) fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error| (*error).source())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{text}")]
    struct Told {
        text: &'static str,
        source: Option<Box<Told>>,
    }

    fn told(text: &'static str, source: Option<Told>) -> Told {
        Told { text, source: source.map(Box::new) }
    }

    #[test]
    fn causes_follow_and_are_not_repeated() {
        let cause = told("refused", Some(told("os error 111", None)));
        assert_eq!(in_one_line(&told("no connection", Some(cause))), "no connection: refused: os error 111");
        let repeating = told("no connection: refused", Some(told("refused", None)));
        assert_eq!(in_one_line(&repeating), "no connection: refused");
    }
}
