//! Finds references of messages, items and tools to objects that an account stores for all its users.
//!
//! The scan is one pass over JSON that is known to be well-formed. It does not decode texts. Decoding would cost more than
//! everything else, and would fail at a text that JavaScript has truncated within an emoji.
//!
//! This is a scanner instead of a serde visitor. `serde_json` does not reveal the kind of a value before it reads the
//! value, and reading decodes texts. So a visitor has to read each value as a `RawValue` first, and scans each byte again
//! on every level. Such a visitor gave the same results with 1.75 times the instructions: 2.90 million instead of 1.66
//! million for 100 KiB of messages that are lists of parts, and 30.0 million instead of 17.4 million for 1 MiB.

use std::borrow::Cow;

/// The error for JSON that is nested deeper than any real message.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooDeep;

/// Most levels of nesting. The deepest known reference is on the ninth: a skill of a shell's environment, in a namespace
/// of an item's tools.
const LEVELS: u8 = 10;

/// The kind of value that is scanned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// The items of `input`. Each may refer to a stored item.
    Items,
    /// Messages, and the parts of messages and items.
    Parts,
    /// Tools, and the objects that they work on.
    Tools,
}

/// Members whose value is the id of a stored object.
// Assumption A27.
const IDS: [&str; 3] = ["file_id", "container_id", "skill_id"];
/// Members whose value is a list of such ids.
const ID_LISTS: [&str; 2] = ["file_ids", "vector_store_ids"];
/// Members that may contain parts of a message. Input and output of tools are the caller's own data and are skipped.
const PARTS: [&str; 5] = ["content", "file", "image", "output", "source"];
/// Members that name the objects which a tool works on. The call of a shell has an environment too. A tool's schemas are
/// the caller's own data and are skipped.
const TOOLS: [&str; 7] =
    ["code_interpreter", "container", "environment", "file_search", "input_image_mask", "skills", "tools"];

/// Whether `json` refers to stored objects. It must be well-formed.
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
    /// Scans a list or an object, and skips any other value. `depth` is the number of levels that may follow.
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
                    // A container may be given by its id alone. The name of an environment is not an id.
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

    /// Reads the name of an object's next member and moves to its value; `None` after the last member.
    fn name(&mut self) -> Option<Cow<'a, str>> {
        if !self.has_more() {
            return None;
        }
        let name = self.skip();
        self.peek();
        self.take(1);
        // A name that cannot be decoded is not a known one.
        Some(text(name).unwrap_or_default())
    }

    /// Whether another member follows in this list or object. Moves past the comma before it, or past the end.
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

    /// Skips white space and returns the next byte, without moving past it.
    fn peek(&mut self) -> Option<u8> {
        self.rest = self.rest.trim_ascii_start();
        self.rest.first().copied()
    }

    fn take(&mut self, bytes: usize) -> &'a [u8] {
        let (taken, rest) = self.rest.split_at_checked(bytes).unwrap_or((self.rest, &[]));
        self.rest = rest;
        taken
    }

    /// Skips a value of any kind and returns its bytes.
    fn skip(&mut self) -> &'a [u8] {
        self.peek();
        let length = length(self.rest);
        self.take(length)
    }
}

/// The members of an item that show whether it refers to a stored item. It does if it has an id and no type
/// (`ItemReference` in the OpenAI API reference), or an id and no content of its own.
#[derive(Default)]
struct Item<'a> {
    has_id: bool,
    kind: Option<Cow<'a, str>>,
    seen: Vec<&'static str>,
    /// Members of [`PAYLOADS`] that are not null.
    given: Vec<&'static str>,
    /// Members of `given` that are not empty.
    filled: Vec<&'static str>,
}

/// Members that hold the content of items; all other members are names, ids and a status.
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
    /// Records a member; `json` begins with its value. Returns true for a duplicate of a member that matters, because
    /// some parsers use the first value and others the last.
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
            // If these are empty, the service reads them from its store.
            Some("reasoning") => {
                self.filled.iter().any(|name| ["content", "encrypted_content", "summary"].contains(name))
            }
            Some("compaction") => self.filled.contains(&"encrypted_content"),
            Some("image_generation_call") => self.filled.contains(&"result"),
            // Items of these types have no content.
            Some("apply_patch_call_output" | "compaction_trigger" | "configuration_update") => true,
            Some(_) => !self.given.is_empty(),
        };
        self.has_id && !is_whole
    }
}

/// Whether `json` begins with an empty text, list or object.
fn is_empty(json: &[u8]) -> bool {
    match json.split_first() {
        Some((b'"', rest)) => rest.first() == Some(&b'"'),
        Some((b'[' | b'{', rest)) => matches!(rest.trim_ascii_start().first(), Some(b']' | b'}')),
        _ => false,
    }
}

/// The length of the value that `json` begins with.
fn length(json: &[u8]) -> usize {
    let mut open = 0_usize;
    let mut at = 0;
    while let Some(byte) = json.get(at) {
        at += 1;
        match byte {
            b'"' => at += after_quote(json.get(at..).unwrap_or_default()),
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

/// The length of a string after its opening quote.
fn after_quote(text: &[u8]) -> usize {
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

/// The text of a JSON string.
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

    /// The expected result, found in a parsed tree.
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
    fn items_that_refer_to_stored_ones() {
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
    fn tools_that_work_on_stored_objects() {
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

    /// The types of items that `ResponseInputItemParam` of the openai package lists, as a client sends them back.
    #[test]
    fn items_with_their_own_content() {
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
        fn the_scan_finds_the_references_of_the_tree(tree in tree(), pretty in prop::bool::ANY) {
            let json = if pretty { format!("{tree:#}") } else { tree.to_string() };
            prop_assert_eq!(length(json.as_bytes()), json.len());
            prop_assert_eq!(refers(&json, Place::Parts), in_tree(&tree, LEVELS));
        }
    }
}
