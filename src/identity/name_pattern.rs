//! Name patterns: the session names that a role rule permits.

use crate::attribution::session_name::{self, SessionName};
use crate::wildcard;

/// A pattern in which `*` matches any run of characters. The case of letters counts, as for `StringLike` in the role's
/// trust policy, which can contain the same text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamePattern(String);

/// The longest pattern, in characters: no session name is longer.
pub const LONGEST: usize = session_name::LONGEST;

/// The error for a text that cannot be a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IllegalNamePattern {
    #[error("it is empty")]
    Empty,
    #[error("it is longer than {LONGEST} characters, as no session name is")]
    TooLong,
    /// `?` is not allowed either: in IAM it is a wildcard, and here it would look like one.
    #[error("no session name contains {0:?}")]
    Character(char),
}

impl NamePattern {
    /// # Errors
    /// When `text` is empty or too long, or has a character that no session name has.
    pub fn parse(text: &str) -> Result<Self, IllegalNamePattern> {
        if let Some(illegal) = text.chars().find(|c| *c != '*' && !session_name::is_legal(*c)) {
            return Err(IllegalNamePattern::Character(illegal));
        }
        match text.len() {
            0 => Err(IllegalNamePattern::Empty),
            1..=LONGEST => Ok(Self(text.to_owned())),
            _ => Err(IllegalNamePattern::TooLong),
        }
    }

    /// The pattern as the operator wrote it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the pattern matches a value that needs no replacement. If none does, the pattern is probably a mistake.
    pub fn can_match(&self) -> bool {
        self.0.contains('*') || SessionName::exact(&self.0).is_ok()
    }

    /// Whether the pattern matches `value`, which is the exact value of the mapping.
    pub fn matches(&self, value: &str) -> bool {
        wildcard::matches(&self.0, value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> NamePattern {
        NamePattern::parse(text).unwrap()
    }

    #[test]
    fn a_pattern_matches_whole_names_in_their_case() {
        for (text, matched, not_matched) in [
            ("*@acme.org", ["alice@acme.org", "@acme.org"], ["alice@acme.org.evil", "alice@Acme.org"]),
            ("svc-*", ["svc-", "svc-search"], ["SVC-search", "my-svc-search"]),
            ("a*b*c", ["abc", "a-b-b-c"], ["ab", "acb"]),
            ("alice", ["alice", "alice"], ["alicea", "Alice"]),
        ] {
            assert!(matched.iter().all(|name| pattern(text).matches(name)), "{text}");
            assert!(!not_matched.iter().any(|name| pattern(text).matches(name)), "{text}");
        }
    }

    #[test]
    fn characters_that_no_name_has_are_illegal() {
        for (text, illegal) in [
            ("alice?", '?'),
            ("${aws:username}", '$'),
            ("alice bob", ' '),
            ("müller@*", 'ü'),
            ("a/b", '/'),
            ("[a-z]*", '['),
        ] {
            assert_eq!(NamePattern::parse(text), Err(IllegalNamePattern::Character(illegal)), "{text}");
        }
        assert_eq!(NamePattern::parse(""), Err(IllegalNamePattern::Empty));
        assert_eq!(NamePattern::parse(&"a".repeat(65)), Err(IllegalNamePattern::TooLong));
        assert!(NamePattern::parse(&"a".repeat(64)).is_ok());
    }

    #[test]
    fn a_pattern_that_matches_no_name_is_known() {
        for text in ["*", "a*", "ab", "*@acme.org"] {
            assert!(pattern(text).can_match(), "{text}");
        }
        for text in ["a", "AliceMller==vmi2slj2ykjznbm4"] {
            assert!(!pattern(text).can_match(), "{text}");
        }
    }
}
