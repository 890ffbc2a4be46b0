//! Whether messages, items or tools refer to what is stored for all users of an account.
//!
//! Read in one pass over JSON that was found well-formed. Texts are not decoded: that would cost more than all
//! the rest, and fail at what JavaScript makes of a text that was cut within an emoji.
//!
//! This is a scanner and no serde visitor. `serde_json` does not tell the kind of a value before it is read,
//! and reading any value decodes texts. So a visitor takes each value as a `RawValue` first, and each byte is
//! scanned again on every level. Such a visitor gave the same answers, at 1.75 times the instructions: 2.90
//! million instead of 1.66 million for 100 KiB of messages that are lists of parts, 30.0 instead of 17.4 for 1 MiB.

use std::borrow::Cow;

/// It is nested deeper than any messages are.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooDeep;

/// A skill of a shell's environment in a namespace of an item's tools is on the ninth.
const LEVELS: u8 = 10;

/// What is looked through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// The items of `input`, each of which may stand for a stored one.
    Items,
    /// Messages, and what they and items are made of.
    Parts,
    /// Tools' own members, and what is at their disposal.
    Tools,
}

/// Members that name what is stored.
const IDS: [&str; 3] = ["file_id", "container_id", "skill_id"];
/// Lists of such.
const ID_LISTS: [&str; 2] = ["file_ids", "vector_store_ids"];
/// Where the parts of a message may stand. What tools are given or give is the caller's own and is passed over.
const PARTS: [&str; 5] = ["content", "file", "image", "output", "source"];
/// Where a tool says what it works on; its schemas are the caller's own and are passed over. A shell's call has
/// an environment too.
const TOOLS: [&str; 7] =
    ["code_interpreter", "container", "environment", "file_search", "input_image_mask", "skills", "tools"];

/// Whether `json`, which is well-formed, refers to what is stored.
pub(super) fn refers(json: &str, place: Place) -> Result<bool, TooDeep> {
    let mut walk = Walk { rest: json.as_bytes(), found: false };
    walk.value(place, LEVELS)?;
    Ok(walk.found)
}

struct Walk<'a> {
    rest: &'a [u8],
    found: bool,
}

impl<'a> Walk<'a> {
    /// Looks through a list or an object, and passes over anything else. `depth` are the levels that may be
    /// left.
    fn value(&mut self, place: Place, depth: u8) -> Result<(), TooDeep> {
        let open = self.peek();
        if !matches!(open, Some(b'[' | b'{')) {
            self.skip();
            return Ok(());
        }
        let depth = depth.checked_sub(1).ok_or(TooDeep)?;
        self.take(1);
        if open == Some(b'{') {
            return self.object(place, depth);
        }
        while self.has_more() {
            self.value(place, depth)?;
        }
        Ok(())
    }

    fn object(&mut self, place: Place, depth: u8) -> Result<(), TooDeep> {
        let mut item = Item::default();
        while let Some(name) = self.name() {
            self.peek();
            self.found |= place == Place::Items && item.note(&name, self.rest);
            match &*name {
                name if IDS.contains(&name) => self.found |= self.skip() != b"null",
                "type" => self.found |= text(self.skip()).is_some_and(|kind| kind == "item_reference"),
                name if ID_LISTS.contains(&name) => {
                    let ids = self.skip();
                    self.found |= ids != b"null" && !is_empty(ids);
                }
                name if place != Place::Tools && PARTS.contains(&name) => self.value(Place::Parts, depth)?,
                name if place != Place::Parts && TOOLS.contains(&name) => {
                    // A container's id; an environment's name is none.
                    self.found |= name == "container" && self.peek() == Some(b'"');
                    self.value(Place::Tools, depth)?;
                }
                _ => {
                    self.skip();
                }
            }
        }
        self.found |= item.is_stored();
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

/// An item, as far as it tells whether it stands for a stored one: by an id and no type (`ItemReference` of
/// the OpenAI API reference), or by an id and nothing that it would be made of.
#[derive(Default)]
struct Item<'a> {
    has_id: bool,
    kind: Option<Cow<'a, str>>,
    seen: Vec<&'static str>,
    /// Members of [`PAYLOADS`] that are not null.
    given: Vec<&'static str>,
    /// Those that are not empty either.
    filled: Vec<&'static str>,
}

/// What items are made of, beside names, ids and a status.
const PAYLOADS: [&str; 17] = [
    "action",
    "actions",
    "approve",
    "arguments",
    "code",
    "content",
    "encrypted_content",
    "input",
    "operation",
    "output",
    "outputs",
    "queries",
    "reasoning",
    "result",
    "results",
    "summary",
    "tools",
];

impl<'a> Item<'a> {
    /// Notes a member, whose value `json` begins with. True if it stands twice and decides: the last counts to
    /// some, the first to others.
    fn note(&mut self, name: &str, json: &'a [u8]) -> bool {
        let Some(name) = PAYLOADS.iter().chain(&["id", "type"]).find(|known| **known == name) else {
            return false;
        };
        if self.seen.contains(name) {
            return true;
        }
        self.seen.push(name);
        if json.starts_with(b"null") {
            return false;
        }
        match *name {
            "id" => self.has_id = true,
            "type" => self.kind = text(json.get(..length(json)).unwrap_or_default()),
            _ => {
                self.given.push(name);
                if !is_empty(json) {
                    self.filled.push(name);
                }
            }
        }
        false
    }

    fn is_stored(&self) -> bool {
        let has = |payload: &str| self.given.contains(&payload);
        let is_whole = match self.kind.as_deref() {
            None => false,
            Some("message") => has("content"),
            // The service takes these from its store where they come empty.
            Some("reasoning") => {
                self.filled.iter().any(|name| ["content", "encrypted_content", "summary"].contains(name))
            }
            Some("compaction") => self.filled.contains(&"encrypted_content"),
            Some("image_generation_call") => self.filled.contains(&"result"),
            // All there is of them.
            Some("apply_patch_call_output" | "compaction_trigger" | "configuration_update") => true,
            Some(_) => !self.given.is_empty(),
        };
        self.has_id && !is_whole
    }
}

/// Whether the value that `json` begins with is an empty text, list or object.
fn is_empty(json: &[u8]) -> bool {
    match json.split_first() {
        Some((b'"', rest)) => rest.first() == Some(&b'"'),
        Some((b'[' | b'{', rest)) => matches!(rest.trim_ascii_start().first(), Some(b']' | b'}')),
        _ => false,
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
            let is_bare = value.as_array().is_some_and(Vec::is_empty)
                || value.as_object().is_some_and(serde_json::Map::is_empty);
            found |= name == "file_ids" && !value.is_null() && value != "" && !is_bare;
            found |= IDS.contains(&name.as_str()) && !value.is_null()
                || name == "type" && value == "item_reference";
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
            let name = "content|file_id|file_ids|container_id|type|output|x\"\\\\|x";
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map(name, inner, 0..4)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    #[test]
    fn texts_are_not_decoded() {
        assert_eq!(
            refers(r#"[{"content":"\ud83e","\ud83e":"\\\"","file_id":null}]"#, Place::Parts),
            Ok(false)
        );
        assert_eq!(refers(r#"[{"content":"\ud83e\\"},{"fil\u0065_id" : "f"}]"#, Place::Parts), Ok(true));
        assert_eq!(
            refers(r#"[{"x":{"y":["]}\""]},"n":-1.5e+3 , "type" : "item\u005freference"}]"#, Place::Parts),
            Ok(true)
        );
    }

    fn is_stored(item: &Value) -> bool {
        refers(&json!([item]).to_string(), Place::Items).unwrap()
    }

    #[test]
    fn items_that_stand_for_stored_ones() {
        for stored in [
            json!({ "id": "msg_1" }),
            json!({ "id": "msg_1", "type": null }),
            json!({ "id": "msg_1", "type": null, "role": "assistant", "content": "a" }),
            json!({ "id": "msg_1", "type": "item_reference" }),
            json!({ "id": "msg_1", "type": "message", "role": "assistant", "status": "completed" }),
            json!({ "id": "msg_1", "type": "message", "content": null }),
            json!({ "id": "rs_1", "type": "reasoning", "summary": [], "encrypted_content": null }),
            json!({ "id": "rs_1", "type": "reasoning", "summary": [], "content": [], "output": "a" }),
            json!({ "id": "ig_1", "type": "image_generation_call" }),
            json!({ "id": "ig_1", "type": "image_generation_call", "status": "completed", "result": null }),
            json!({ "id": "fc_1", "type": "function_call", "call_id": "c", "name": "f" }),
            json!({ "id": "ws_1", "type": "web_search_call", "status": "completed" }),
            json!({ "id": "new_1", "type": "new_call" }),
            json!({ "id": "ci_1", "type": "code_interpreter_call", "code": "1", "container_id": "c", "outputs": [] }),
            json!({ "type": "shell_call_output", "output": [{ "container_id": "c" }] }),
        ] {
            assert!(is_stored(&stored), "{stored}");
        }
        for twice in [
            r#"[{"id":"m","type":"message","content":"a","type":null}]"#,
            r#"[{"id":"m","type":"message","content":"a","content":null}]"#,
            r#"[{"id":"m","type":"message","content":"a","i\u0064":null}]"#,
        ] {
            assert_eq!(refers(twice, Place::Items), Ok(true), "{twice}");
        }
    }

    #[test]
    fn tools_that_work_on_what_is_stored() {
        let is_stored = |tool: &Value| refers(&json!([tool]).to_string(), Place::Tools).unwrap();
        for stored in [
            json!({ "type": "code_interpreter", "container": "cntr_1" }),
            json!({ "type": "code_interpreter", "container": { "type": "auto", "file_ids": ["f"] } }),
            json!({ "type": "file_search", "vector_store_ids": ["vs_1"] }),
            json!({ "type": "image_generation", "input_image_mask": { "file_id": "f" } }),
            json!({ "type": "shell", "environment": { "type": "container_reference", "container_id": "c" } }),
            json!({ "type": "shell", "environment": { "type": "container_auto", "file_ids": ["f"] } }),
            json!({ "type": "shell", "environment": { "skills": [{ "type": "skill_reference", "skill_id": "s" }] } }),
            json!({ "type": "namespace", "tools": [{ "type": "file_search", "vector_store_ids": ["vs_1"] }] }),
            json!({ "type": "x", "container_id": "c" }),
            json!({ "type": "x", "file_ids": "f" }),
        ] {
            assert!(is_stored(&stored), "{stored}");
            let item = json!({ "type": "additional_tools", "role": "developer", "tools": [stored] });
            assert_eq!(refers(&json!([item]).to_string(), Place::Items), Ok(true), "{item}");
        }
        let schema = json!({ "type": "object", "properties": {
            "container": "c", "container_id": "c", "file_id": { "type": "string" }, "file_ids": ["f"] } });
        for own in [
            json!({ "type": "function", "name": "f", "parameters": schema, "strict": true }),
            json!({ "type": "function", "function": { "name": "container", "parameters": schema } }),
            json!({ "name": "f", "input_schema": schema }),
            json!({ "type": "code_interpreter", "container": { "type": "auto", "file_ids": [] } }),
            json!({ "type": "code_interpreter", "container": null }),
            json!({ "type": "computer_use_preview", "environment": "browser" }),
            json!({ "type": "shell", "environment": { "type": "local", "skills": [{ "name": "s", "path": "p" }] } }),
            json!({ "type": "image_generation", "input_image_mask": { "image_url": "data:" } }),
            json!({ "type": "mcp", "server_label": "s", "headers": { "file_id": "f" } }),
        ] {
            assert!(!is_stored(&own), "{own}");
        }
        let shell = json!({ "type": "shell", "environment": { "skills": [{ "skill_id": "s" }] } });
        let deep =
            json!([{ "type": "additional_tools", "tools": [{ "type": "namespace", "tools": [shell] }] }]);
        assert_eq!(refers(&deep.to_string(), Place::Items), Ok(true));
        let call = json!([{ "type": "shell_call", "call_id": "c", "action": { "commands": ["file_id"] },
            "environment": { "type": "container_reference", "container_id": "c" } }]);
        assert_eq!(refers(&call.to_string(), Place::Items), Ok(true));
    }

    /// What the openai package's `ResponseInputItemParam` lists, as a client sends it back.
    #[test]
    fn items_that_are_whole() {
        let text = json!([{ "type": "output_text", "text": "a", "annotations": [
            { "type": "container_file_citation", "container_id": "c", "file_id": "f" }] }]);
        for whole in [
            json!({ "role": "user", "content": "a" }),
            json!({ "role": "user", "content": [{ "type": "input_text", "text": "a", "id": "i" }] }),
            json!({ "type": "message", "id": "msg_1", "role": "assistant", "content": text }),
            json!({ "type": "message", "id": "msg_1", "role": "assistant", "content": [] }),
            json!({ "type": "function_call", "id": "fc_1", "call_id": "c", "name": "f", "arguments": "" }),
            json!({ "type": "function_call_output", "id": "fco_1", "call_id": "c", "output": "" }),
            json!({ "type": "function_call_output", "id": null, "call_id": "c", "output": "{\"id\":\"x\"}" }),
            json!({ "type": "custom_tool_call", "id": "ctc_1", "call_id": "c", "name": "f", "input": "" }),
            json!({ "type": "custom_tool_call_output", "id": "ctco_1", "call_id": "c", "output": [] }),
            json!({ "type": "reasoning", "id": "rs_1", "summary": [{ "type": "summary_text", "text": "a" }] }),
            json!({ "type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "a" }),
            json!({ "type": "reasoning", "id": "rs_1", "summary": [], "content": [{ "type": "reasoning_text", "text": "a" }] }),
            json!({ "type": "compaction", "id": "cmp_1", "encrypted_content": "a" }),
            json!({ "type": "compaction_trigger", "id": "cmp_1" }),
            json!({ "type": "configuration_update", "id": "cu_1", "text": { "format": { "type": "text" } } }),
            json!({ "type": "image_generation_call", "id": "ig_1", "status": "completed", "result": "aGk=" }),
            json!({ "type": "web_search_call", "id": "ws_1", "status": "completed", "action": { "type": "search" } }),
            json!({ "type": "file_search_call", "id": "fs_1", "queries": ["a"], "results": [{ "file_id": "f" }] }),
            json!({ "type": "computer_call", "id": "cc_1", "call_id": "c", "action": { "type": "wait" } }),
            json!({ "type": "computer_call_output", "id": "cco_1", "call_id": "c", "output": { "image_url": "data:" } }),
            json!({ "type": "local_shell_call", "id": "ls_1", "call_id": "c", "action": { "type": "exec" } }),
            json!({ "type": "shell_call_output", "id": "sho_1", "call_id": "c", "output": [{ "stdout": "a" }] }),
            json!({ "type": "apply_patch_call", "id": "ap_1", "operation": { "type": "delete_file" } }),
            json!({ "type": "apply_patch_call_output", "id": "apo_1", "call_id": "c", "status": "completed" }),
            json!({ "type": "tool_search_call", "id": "ts_1", "arguments": {} }),
            json!({ "type": "tool_search_output", "id": "tso_1", "tools": [] }),
            json!({ "type": "mcp_list_tools", "id": "mcpl_1", "server_label": "s", "tools": [] }),
            json!({ "type": "mcp_call", "id": "mcp_1", "name": "f", "arguments": "{}", "output": null }),
            json!({ "type": "mcp_approval_request", "id": "mcpr_1", "name": "f", "arguments": "{}" }),
            json!({ "type": "mcp_approval_response", "id": "mcpa_1", "approval_request_id": "a", "approve": true }),
            json!({ "type": "program", "id": "p_1", "call_id": "c", "code": "1", "fingerprint": "f" }),
            json!({ "type": "program_output", "id": "po_1", "call_id": "c", "result": "", "status": "completed" }),
        ] {
            assert!(!is_stored(&whole), "{whole}");
        }
    }

    proptest! {
        #[test]
        fn what_is_found_is_what_stands_there(tree in tree(), pretty in prop::bool::ANY) {
            let json = if pretty { format!("{tree:#}") } else { tree.to_string() };
            prop_assert_eq!(length(json.as_bytes()), json.len());
            prop_assert_eq!(refers(&json, Place::Parts), in_tree(&tree, LEVELS));
        }
    }
}
