//! `RoleSessionName`: the user, as AWS's bill and `CloudTrail` will know them.

use std::sync::Arc;

use crate::attribution::replacement;

/// A name that STS takes: `[A-Za-z0-9_+=,.@-]{2,64}` (ASCII; STS API reference, `AssumeRole`). Two
/// different values never yield the same one.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionName(Arc<str>);

/// A value that is no legal name as it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a session name has 2 to 64 of the characters A-Z a-z 0-9 _ + = , . @ - and does not end like a replaced value"
)]
pub struct IllegalName;

const LONGEST: usize = 64;

impl SessionName {
    /// `value` as it is.
    ///
    /// # Errors
    /// When STS would not take it, or it has the shape of a replaced name.
    pub fn exact(value: &str) -> Result<Self, IllegalName> {
        let fits =
            (2..=LONGEST).contains(&value.len()) && value.chars().all(is_legal) && !replacement::ends(value);
        if fits { Ok(Self(value.into())) } else { Err(IllegalName) }
    }

    /// `value` as it is, or else up to 46 legal characters of it and a suffix that is its own; and
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

fn is_legal(c: char) -> bool {
    c.is_ascii_alphanumeric() || "_+=,.@-".contains(c)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn legal_names_stay_and_others_are_replaced_for_ever_alike() {
        for legal in ["alice@acme.org", "ab", "A_+=,.@-9", &"x".repeat(64)] {
            assert_eq!(SessionName::from_value(legal), (SessionName(legal.into()), false));
        }
        // These are in bills: they may never change.
        for (value, name) in [
            ("Alice Müller", "AliceMller==vmi2slj2ykjznbm4"),
            ("a", "a==zklycewkdo64v6wc"),
            ("漢字", "==y3jjo4jvsxjpket3"),
        ] {
            assert_eq!(SessionName::from_value(value), (SessionName(name.into()), true));
        }
    }

    #[test]
    fn nobody_can_write_themselves_anothers_name() {
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
