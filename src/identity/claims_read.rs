//! The claims that the deciding expressions of a refusal read, for the access log. Only claims that the operator's own
//! expressions name are in it, and only a bounded part of each.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::expression::Expression;

/// The longest value, in bytes.
const LONGEST_VALUE: usize = 64;
/// The most bytes of all names and values together. The names of further claims are left out as well.
const MOST: usize = 512;

/// Names and values of claims, in the order of the names. A claim that the token does not have is not in it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClaimsRead(Arc<[(String, String)]>);

impl ClaimsRead {
    /// The claims that `expressions` read by name. A value that is too long ends with a note of its length.
    pub(super) fn of<'e>(
        expressions: impl IntoIterator<Item = &'e Expression>,
        claims: &Map<String, Value>,
    ) -> Self {
        let names: BTreeSet<_> = expressions.into_iter().flat_map(Expression::claims_read).collect();
        let present = names.into_iter().filter_map(|name| Some((name, claims.get(name)?)));
        let mut room = MOST;
        let mut read = Vec::new();
        for (name, value) in present.filter(|(_, value)| !value.is_null()) {
            let value = shown(value);
            let Some(left) = room.checked_sub(name.len() + value.len()) else {
                read.push(("…".to_owned(), format!("[clipped: {MOST} bytes of claims]")));
                break;
            };
            room = left;
            read.push((name.to_owned(), value));
        }
        Self(read.into())
    }

    /// Each claim and its value: a string as it is, any other value as JSON.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The approximate memory, bytes.
    pub(super) fn bytes(&self) -> usize {
        self.iter().map(|(name, value)| 2 * size_of::<String>() + name.len() + value.len()).sum()
    }
}

fn shown(value: &Value) -> String {
    let mut text = match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let whole = text.len();
    if whole > LONGEST_VALUE {
        text.truncate(text.floor_char_boundary(LONGEST_VALUE));
        // Writing to a String cannot fail.
        let _written = write!(text, "…[clipped: {whole} bytes]");
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(expressions: &[&str], claims: &Value) -> Vec<(String, String)> {
        let compiled: Vec<_> =
            expressions.iter().map(|source| Expression::compile(source, &[]).unwrap()).collect();
        let read = ClaimsRead::of(&compiled, claims.as_object().unwrap());
        read.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    fn pair(name: &str, value: &str) -> (String, String) {
        (name.to_owned(), value.to_owned())
    }

    #[test]
    fn only_claims_that_an_expression_names_are_read() {
        let claims =
            json!({ "groups": ["a", "b"], "email": "a@b.c", "level": 7, "gone": null, "secret": "x" });
        let expressions =
            ["'a' in claims.groups", "claims.level > 9 && claims.email != '' && has(claims.gone)"];
        let expected = [pair("email", "a@b.c"), pair("groups", r#"["a","b"]"#), pair("level", "7")];
        assert_eq!(read(&expressions, &claims), expected);
    }

    #[test]
    fn a_long_value_is_clipped_and_marked() {
        let claims = json!({ "name": "é".repeat(40), "fits": "x".repeat(LONGEST_VALUE) });
        let found = read(&["claims.name == claims.fits"], &claims);
        assert_eq!(found[0], pair("fits", &"x".repeat(LONGEST_VALUE)));
        assert_eq!(found[1], pair("name", &format!("{}…[clipped: 80 bytes]", "é".repeat(32))));
    }

    #[test]
    fn all_claims_together_have_a_limit() {
        let names: Vec<_> = (0..20).map(|number| format!("claim{number:02}")).collect();
        let claims: Map<_, _> = names.iter().map(|name| (name.clone(), json!("v".repeat(60)))).collect();
        let expression = names.iter().map(|name| format!("claims.{name}")).collect::<Vec<_>>().join(" + ");
        let found = read(&[&expression], &Value::Object(claims));
        assert_eq!(found.len(), 8);
        assert_eq!(found.last(), Some(&pair("…", "[clipped: 512 bytes of claims]")));
        let bytes: usize = found[..7].iter().map(|(name, value)| name.len() + value.len()).sum();
        assert!(bytes <= MOST, "{bytes}");
    }
}
