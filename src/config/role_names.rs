//! `session_names` of a role: patterns of the session names that the role allows.

use super::diagnostics::Diagnostics;
use super::raw::{Spanned, Text};
use crate::identity::name_pattern::{IllegalNamePattern, LONGEST, NamePattern};

pub(super) const HELP: &str =
    "write patterns, for example \"*@acme.org\", or remove the key to allow all session names";

/// The problem of an illegal pattern, and what to write.
pub(super) fn fault(text: &str, fault: IllegalNamePattern) -> (String, String) {
    (format!("\"{text}\" is not a valid pattern of session names: {fault}"), help(fault).to_owned())
}

/// Warns of patterns that match no session name.
pub(super) fn warn(list: &Spanned<Vec<Text>>, diagnostics: &mut Diagnostics<'_>) {
    for text in list.get_ref() {
        if !NamePattern::parse(text.get_ref()).is_ok_and(|pattern| !pattern.can_match()) {
            continue;
        }
        let (message, help) = if text.get_ref().len() < 2 {
            let message = format!("\"{text}\" matches no session name: names have 2 to {LONGEST} characters");
            (message, format!("did you mean \"{text}*\"?"))
        } else {
            let message = format!("\"{text}\" is a replaced name, which no pattern matches");
            (
                message,
                "write a pattern that matches the original value, for example \"*@acme.org\"".to_owned(),
            )
        };
        diagnostics.warn(text.span(), message, help);
    }
}

fn help(fault: IllegalNamePattern) -> &'static str {
    match fault {
        IllegalNamePattern::Character('?') => "write *, which is the only wildcard",
        IllegalNamePattern::Character('$' | '{' | '}') => {
            "write the names themselves: the gateway does not expand policy variables"
        }
        IllegalNamePattern::Character(_) => {
            "use A-Z a-z 0-9 _ + = , . @ - and *; where the value has other characters, write *"
        }
        IllegalNamePattern::Empty | IllegalNamePattern::TooLong => HELP,
    }
}
