//! Errors with their causes, as text for logs and operators.

use std::error::Error;

/// An error and its causes in one line. The gateway does not use the SDK's own rendering, because that adds debug
/// output, which may contain answers of metadata services.
pub(crate) fn in_one_line(error: &(dyn Error + 'static)) -> String {
    joined(chain(error).map(ToString::to_string))
}

/// The texts of an error and its causes in one line, without those that the text before already contains: many errors
/// repeat the text of their cause.
pub(crate) fn joined(texts: impl Iterator<Item = String>) -> String {
    let mut kept: Vec<String> = Vec::new();
    for text in texts {
        if !kept.last().is_some_and(|last| last.contains(&text)) {
            kept.push(text);
        }
    }
    kept.join(": ")
}

/// An error, its cause, the cause of that cause, and so on.
pub(crate) fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error| (*error).source())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{text}")]
    struct Fault {
        text: &'static str,
        source: Option<Box<Fault>>,
    }

    fn fault(text: &'static str, source: Option<Fault>) -> Fault {
        Fault { text, source: source.map(Box::new) }
    }

    #[test]
    fn causes_follow_and_are_not_repeated() {
        let cause = fault("refused", Some(fault("os error 111", None)));
        assert_eq!(in_one_line(&fault("no connection", Some(cause))), "no connection: refused: os error 111");
        let repeating = fault("no connection: refused", Some(fault("refused", None)));
        assert_eq!(in_one_line(&repeating), "no connection: refused");
    }
}
