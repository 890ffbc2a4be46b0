//! Wrong uses of functions, in words for the operator.

use std::fmt;
use std::ops::RangeInclusive;

/// A function that is called with the wrong arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrongCall {
    pub(super) function: String,
    /// The numbers of arguments that it accepts.
    pub(super) needs: RangeInclusive<usize>,
    /// The number that the operator wrote; `None` if the function has no value before it.
    pub(super) has: Option<usize>,
    /// A right call.
    pub(super) example: String,
}

impl fmt::Display for WrongCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { function, needs, has, .. } = self;
        let Some(has) = has else {
            return write!(f, "{function}() needs a value before it, with a dot between them");
        };
        let (least, most) = (needs.start(), needs.end());
        let noun = if *most == 1 { "argument" } else { "arguments" };
        match (least, most) {
            (_, 0) => write!(f, "{function}() takes no arguments, but has {has}"),
            (least, most) if least == most => write!(f, "{function}() needs {least} {noun}, but has {has}"),
            (least, most) => write!(f, "{function}() needs {least} or {most} {noun}, but has {has}"),
        }
    }
}

/// A regular expression that does not compile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegexFault {
    pub(super) pattern: String,
    /// The library's words.
    pub(super) cause: String,
}

impl RegexFault {
    /// The bracket that has no partner, the missing one, and whether brackets around it make it an ordinary sign.
    fn bracket(&self) -> Option<(char, char, bool)> {
        match self.cause.as_str() {
            "unclosed group" => Some(('(', ')', true)),
            "unopened group" => Some((')', '(', true)),
            "unclosed character class" => Some(('[', ']', false)),
            _ => None,
        }
    }

    /// The next step for the operator.
    pub(super) fn help(&self) -> String {
        match self.bracket() {
            Some((sign, partner, true)) => {
                format!("add the \"{partner}\", or write [{sign}] to match the sign itself")
            }
            Some((_, partner, false)) => format!("add the \"{partner}\""),
            None if self.cause.contains("repetition operator missing") => {
                "write .* for any text, or [*] to match the sign itself".to_owned()
            }
            None => "correct it; to match a sign such as ( or * itself, write it in brackets: [(]".to_owned(),
        }
    }
}

impl fmt::Display for RegexFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { pattern, cause } = self;
        match self.bracket() {
            Some((sign, partner, _)) => {
                write!(f, "the regular expression '{pattern}' has a \"{sign}\" without its \"{partner}\"")
            }
            None => write!(f, "the regular expression '{pattern}' is invalid: {cause}"),
        }
    }
}
