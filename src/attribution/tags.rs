//! Session tags: the teams and cost centres on the bill.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use regex::Regex;

use crate::attribution::replacement;

/// The most tags that a session can have (STS API reference, `AssumeRole`).
// Assumption A5.
pub const MOST: usize = 50;

/// A tag key: 1 to 128 letters, digits, separators and `_.:/=+-@`; it does not begin with `aws:`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TagKey(Arc<str>);

/// A tag value: up to 256 letters, digits, separators and `_.:/=+-@`. Two different values never become the
/// same tag value.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TagValue(Arc<str>);

/// Tags sorted by key: at most [`MOST`], and no two keys that differ only in case.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct SessionTags(BTreeMap<TagKey, TagValue>);

/// The error for a tag that STS would reject.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IllegalTag {
    #[error("a tag key has 1 to 128 letters, digits, separators and _ . : / = + - @")]
    Key,
    #[error("tag keys that begin with aws: are reserved for AWS")]
    Reserved,
    #[error(
        "a tag value has at most 256 letters, digits, separators and _ . : / = + - @, and does not end like a replaced value"
    )]
    Value,
    #[error("a session has at most 50 tags")]
    TooMany,
    #[error("two tag keys are equal or differ only in case, which STS ignores; rename one")]
    Duplicate,
}

// Assumption A5.
const LONGEST_VALUE: usize = 256;
const LONGEST_KEY: usize = 128;

/// A character outside STS's pattern for keys and values, `[\p{L}\p{Z}\p{N}_.:/=+\-@]*`.
#[expect(clippy::expect_used, reason = "the pattern is written out here")]
static ILLEGAL: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"[^\p{L}\p{Z}\p{N}_.:/=+\-@]").expect("a regular expression"));

fn is_legal(text: &str) -> bool {
    !ILLEGAL.is_match(text)
}

impl TagKey {
    /// # Errors
    /// When STS would reject it.
    pub fn parse(text: &str) -> Result<Self, IllegalTag> {
        if !(1..=LONGEST_KEY).contains(&text.chars().count()) || !is_legal(text) {
            return Err(IllegalTag::Key);
        }
        if text.to_lowercase().starts_with("aws:") {
            return Err(IllegalTag::Reserved);
        }
        Ok(Self(text.into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TagValue {
    /// The tag value that is exactly `value`.
    ///
    /// # Errors
    /// When STS would reject it, or it has the shape of a replaced value.
    pub fn exact(value: &str) -> Result<Self, IllegalTag> {
        let fits = value.chars().count() <= LONGEST_VALUE && is_legal(value) && !replacement::ends(value);
        if fits { Ok(Self(value.into())) } else { Err(IllegalTag::Value) }
    }

    /// `value` as it is if it is legal; otherwise up to 238 of its legal characters and its suffix. The `bool` says
    /// whether it was replaced.
    pub fn from_value(value: &str) -> (Self, bool) {
        if let Ok(exact) = Self::exact(value) {
            return (exact, false);
        }
        let legal = ILLEGAL.replace_all(value, "");
        let mut replaced: String = legal.chars().take(LONGEST_VALUE - replacement::LENGTH).collect();
        replaced.push_str(&replacement::of(value));
        (Self(replaced.into()), true)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl SessionTags {
    /// # Errors
    /// When there are more than [`MOST`], or STS treats two keys as one.
    pub fn new(tags: impl IntoIterator<Item = (TagKey, TagValue)>) -> Result<Self, IllegalTag> {
        let mut kept = BTreeMap::new();
        let mut folded = std::collections::HashSet::new();
        for (key, value) in tags {
            if !folded.insert(key.as_str().to_lowercase()) {
                return Err(IllegalTag::Duplicate);
            }
            kept.insert(key, value);
        }
        if kept.len() > MOST { Err(IllegalTag::TooMany) } else { Ok(Self(kept)) }
    }

    /// The tags by key.
    pub fn iter(&self) -> impl Iterator<Item = (&TagKey, &TagValue)> {
        self.0.iter()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn tag_keys_follow_the_rules_of_sts() {
        for legal in ["team", "cost-center", "Kostenstelle Süd", "a:b/c=d+e@f.g_h"] {
            assert!(TagKey::parse(legal).is_ok(), "{legal}");
        }
        assert_eq!(TagKey::parse(""), Err(IllegalTag::Key));
        assert_eq!(TagKey::parse(&"k".repeat(129)), Err(IllegalTag::Key));
        assert_eq!(TagKey::parse("a,b"), Err(IllegalTag::Key));
        assert_eq!(TagKey::parse("AWS:team"), Err(IllegalTag::Reserved));
    }

    #[test]
    fn keys_that_differ_only_in_case_are_duplicates() {
        let tag = |key: &str| (TagKey::parse(key).unwrap(), TagValue::exact("v").unwrap());
        assert_eq!(SessionTags::new([tag("Team"), tag("team")]), Err(IllegalTag::Duplicate));
        assert_eq!(SessionTags::new((0..51).map(|n| tag(&format!("k{n}")))), Err(IllegalTag::TooMany));
        assert!(SessionTags::new((0..50).map(|n| tag(&format!("k{n}")))).is_ok());
    }

    proptest! {
        #[test]
        fn values_are_legal_and_different_values_stay_different(first in any::<String>(), second in any::<String>()) {
            let (value, replaced) = TagValue::from_value(&first);
            prop_assert!(value.as_str().chars().count() <= 256 && is_legal(value.as_str()));
            prop_assert!(replaced || value.as_str() == first);
            prop_assert_eq!(value == TagValue::from_value(&second).0, first == second);
            if replaced {
                prop_assert_ne!(TagValue::from_value(value.as_str()).0, value);
            }
        }

        #[test]
        fn long_values_that_differ_at_the_end_stay_apart(n in 240usize..400, first in prop::char::range('a', 'z'), second in prop::char::range('a', 'z')) {
            prop_assume!(first != second);
            let value = |last: char| TagValue::from_value(&format!("{}{last}", "x".repeat(n))).0;
            prop_assert_ne!(value(first), value(second));
        }
    }
}
