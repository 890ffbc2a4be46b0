//! The session name (`RoleSessionName`): the caller's name in AWS's bill and in `CloudTrail`.

use std::sync::Arc;

use crate::attribution::replacement;

/// A session name that STS accepts: `[A-Za-z0-9_+=,.@-]{2,64}` (ASCII; STS API reference, `AssumeRole`).
/// Two different values never become the same name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionName(Arc<str>);

/// The error for a value that is not a legal name without replacement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a session name has 2 to 64 of the characters A-Z a-z 0-9 _ + = , . @ - and does not end like a replaced value"
)]
pub struct IllegalName;

// Assumption A4.
pub(crate) const LONGEST: usize = 64;

impl SessionName {
    /// The name that is exactly `value`.
    ///
    /// # Errors
    /// When STS would reject it, or it has the shape of a replaced value.
    pub fn exact(value: &str) -> Result<Self, IllegalName> {
        let fits =
            (2..=LONGEST).contains(&value.len()) && value.chars().all(is_legal) && !replacement::ends(value);
        if fits { Ok(Self(value.into())) } else { Err(IllegalName) }
    }

    /// `value` as it is if it is legal; otherwise up to 46 of its legal characters and its suffix. The `bool` says
    /// whether it was replaced.
    pub fn from_value(value: &str) -> (Self, bool) {
        if let Ok(name) = Self::exact(value) {
            (name, false)
        } else {
            let mut name: String =
                value.chars().filter(|c| is_legal(*c)).take(LONGEST - replacement::LENGTH).collect();
            name.push_str(&replacement::of(value));
            (Self(name.into()), true)
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether a session name can contain `c`.
pub(crate) fn is_legal(c: char) -> bool {
    c.is_ascii_alphanumeric() || "_+=,.@-".contains(c)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn legal_names_are_kept_and_replaced_names_never_change() {
        for legal in ["alice@acme.org", "ab", "A_+=,.@-9", &"x".repeat(64)] {
            assert_eq!(SessionName::from_value(legal), (SessionName(legal.into()), false));
        }
        // Bills contain these names, so they must never change.
        for (value, name) in [
            ("Alice Müller", "AliceMller==vmi2slj2ykjznbm4"),
            ("a", "a==zklycewkdo64v6wc"),
            ("漢字", "==y3jjo4jvsxjpket3"),
        ] {
            assert_eq!(SessionName::from_value(value), (SessionName(name.into()), true));
        }
    }

    #[test]
    fn a_value_cannot_forge_the_replaced_name_of_another_user() {
        let (victim, _) = SessionName::from_value("Zoë");
        let (forged, replaced) = SessionName::from_value(victim.as_str());
        assert!(replaced);
        assert_ne!(forged, victim);
    }

    proptest! {
        #[test]
        fn always_legal(value in any::<String>()) {
            let (name, _) = SessionName::from_value(&value);
            prop_assert!((2..=64).contains(&name.as_str().len()));
            prop_assert!(name.as_str().bytes().all(|b| b.is_ascii_alphanumeric() || b"_+=,.@-".contains(&b)));
        }

        #[test]
        fn injective(first in ".{0,80}|[a-c@ é]{0,4}", second in ".{0,80}|[a-c@ é]{0,4}") {
            let same = SessionName::from_value(&first).0 == SessionName::from_value(&second).0;
            prop_assert_eq!(same, first == second);
        }

        #[test]
        fn a_replaced_name_replaced_again_is_another(value in any::<String>()) {
            let (once, replaced) = SessionName::from_value(&value);
            prop_assume!(replaced);
            prop_assert_ne!(SessionName::from_value(once.as_str()).0, once);
        }
    }
}
