//! Whether messages refer to what is stored for all users of an account.
//!
//! Read in one pass over JSON that was found well-formed. Texts are not decoded: that would cost more than all
//! the rest, and fail at what JavaScript makes of a text that was cut within an emoji.

use std::borrow::Cow;

/// Messages are nested deeper than any are.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooDeep;

/// A file in an image in a tool's result is on the seventh.
const LEVELS: u8 = 8;

/// Where the parts of a message may stand. What tools are given or give is the caller's own and is passed over.
const PARTS: [&str; 5] = ["content", "file", "image", "output", "source"];

/// Whether `json`, which is well-formed, refers to what is stored.
pub(super) fn refers(json: &str) -> Result<bool, TooDeep> {
    let mut walk = Walk { rest: json.as_bytes(), found: false };
    walk.value(LEVELS)?;
    Ok(walk.found)
}

struct Walk<'a> {
    rest: &'a [u8],
    found: bool,
}

impl<'a> Walk<'a> {
    /// Looks through a list or an object, and passes over anything else. `depth` are the levels that may be
    /// left.
    fn value(&mut self, depth: u8) -> Result<(), TooDeep> {
        let open = self.peek();
        if !matches!(open, Some(b'[' | b'{')) {
            self.skip();
            return Ok(());
        }
        let depth = depth.checked_sub(1).ok_or(TooDeep)?;
        self.take(1);
        if open == Some(b'{') {
            return self.object(depth);
        }
        while self.has_more() {
            self.value(depth)?;
        }
        Ok(())
    }

    fn object(&mut self, depth: u8) -> Result<(), TooDeep> {
        while let Some(name) = self.name() {
            match &*name {
                "file_id" => self.found |= self.skip() != b"null",
                "type" => self.found |= text(self.skip()).is_some_and(|kind| kind == "item_reference"),
                name if PARTS.contains(&name) => self.value(depth)?,
                _ => {
                    self.skip();
                }
            }
        }
        Ok(())
    }

    /// The name of an object's next member, and goes on to its value; `None` behind the last.
    fn name(&mut self) -> Option<Cow<'a, str>> {
        if !self.has_more() {
            return None;
        }
        let name = self.skip();
        self.peek();
        self.take(1);
        // What is no text is no name that is known.
        Some(text(name).unwrap_or_default())
    }

    /// Whether another member follows in this list or object; goes past the comma before it, or past the end.
    fn has_more(&mut self) -> bool {
        match self.peek() {
            Some(b',') => {
                self.take(1);
                true
            }
            Some(b']' | b'}') => {
                self.take(1);
                false
            }
            more => more.is_some(),
        }
    }

    /// The next byte but for white space.
    fn peek(&mut self) -> Option<u8> {
        self.rest = self.rest.trim_ascii_start();
        self.rest.first().copied()
    }

    fn take(&mut self, bytes: usize) -> &'a [u8] {
        let (taken, rest) = self.rest.split_at_checked(bytes).unwrap_or((self.rest, &[]));
        self.rest = rest;
        taken
    }

    /// Passes over a value, whatever it is.
    fn skip(&mut self) -> &'a [u8] {
        self.peek();
        let length = length(self.rest);
        self.take(length)
    }
}

/// How long the value is that `json` begins with.
fn length(json: &[u8]) -> usize {
    let mut open = 0_usize;
    let mut at = 0;
    while let Some(byte) = json.get(at) {
        at += 1;
        match byte {
            b'"' => at += behind_quote(json.get(at..).unwrap_or_default()),
            b'[' | b'{' => open += 1,
            b']' | b'}' => open = open.saturating_sub(1),
            _ if open == 0 => {
                let scalar = |byte: &u8| byte.is_ascii_alphanumeric() || b"+-.".contains(byte);
                let more = json.get(at..).unwrap_or_default();
                return at + more.iter().position(|byte| !scalar(byte)).unwrap_or(more.len());
            }
            _ => continue,
        }
        if open == 0 {
            break;
        }
    }
    at
}

/// How long a string is whose opening quote is behind.
fn behind_quote(text: &[u8]) -> usize {
    let mut at = 0;
    while let Some(next) =
        text.get(at..).unwrap_or_default().iter().position(|byte| matches!(byte, b'"' | b'\\'))
    {
        at += next;
        if text.get(at) == Some(&b'"') {
            return at + 1;
        }
        at += 2;
    }
    text.len()
}

/// The text of a string as it stands in JSON.
fn text(raw: &[u8]) -> Option<Cow<'_, str>> {
    let within = raw.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    if within.contains(&b'\\') {
        return serde_json::from_slice(raw).ok().map(Cow::Owned);
    }
    std::str::from_utf8(within).ok().map(Cow::Borrowed)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    /// The same over a tree.
    fn in_tree(value: &Value, depth: u8) -> Result<bool, TooDeep> {
        if !value.is_array() && !value.is_object() {
            return Ok(false);
        }
        let depth = depth.checked_sub(1).ok_or(TooDeep)?;
        let mut found = false;
        for value in value.as_array().into_iter().flatten() {
            found |= in_tree(value, depth)?;
        }
        for (name, value) in value.as_object().into_iter().flatten() {
            found |= name == "file_id" && !value.is_null() || name == "type" && value == "item_reference";
            if PARTS.contains(&name.as_str()) {
                found |= in_tree(value, depth)?;
            }
        }
        Ok(found)
    }

    fn tree() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(json!(null)),
            Just(json!("item_reference")),
            "[a\"\\\\{}\\[\\]:,é\n]{0,5}".prop_map(Value::from),
            prop::num::f64::NORMAL.prop_map(Value::from),
            prop::bool::ANY.prop_map(Value::from),
        ];
        leaf.prop_recursive(10, 60, 4, |inner| {
            let name = "content|file_id|type|output|x\"\\\\|x";
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map(name, inner, 0..4)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    #[test]
    fn texts_are_not_decoded() {
        assert_eq!(refers(r#"[{"content":"\ud83e","\ud83e":"\\\"","file_id":null}]"#), Ok(false));
        assert_eq!(refers(r#"[{"content":"\ud83e\\"},{"fil\u0065_id" : "f"}]"#), Ok(true));
        assert_eq!(
            refers(r#"[{"x":{"y":["]}\""]},"n":-1.5e+3 , "type" : "item\u005freference"}]"#),
            Ok(true)
        );
    }

    proptest! {
        #[test]
        fn what_is_found_is_what_stands_there(tree in tree(), pretty in prop::bool::ANY) {
            let json = if pretty { format!("{tree:#}") } else { tree.to_string() };
            prop_assert_eq!(length(json.as_bytes()), json.len());
            prop_assert_eq!(refers(&json), in_tree(&tree, LEVELS));
        }
    }
}
