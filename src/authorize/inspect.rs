//! Reads the members of a body that the decision needs: the model, and references to objects that the account stores for
//! all its users.
//!
//! The body is scanned once and sent unchanged. The gateway refuses a body that two parsers could read differently: one
//! with a duplicate of such a member, with a content encoding, or that is not one JSON object in UTF-8.

use std::fmt;
use std::panic::resume_unwind;
use std::sync::Arc;

use http::{HeaderMap, HeaderValue, header};
use serde::de::{Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;
use tokio::sync::Semaphore;
use tokio::task::{JoinError, spawn_blocking};

use crate::authorize::inspect::stored_references::Place;
use crate::body::{PIECE, WholeBody};
use crate::route::{IllegalModelId, ModelId};
use crate::workers;

mod stored_references;

/// The members of a body that the decision needs.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Members {
    pub(super) model: ModelId,
    /// Whether the body refers to a stored response, conversation, prompt, item, container, skill, vector store or file.
    pub(super) refers_to_stored: bool,
}

/// Why the members of a body cannot be read unambiguously.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InspectError {
    #[error("it has a Content-Encoding, which is not supported")]
    Encoded,
    #[error("its Content-Type is not application/json in UTF-8")]
    OtherType,
    #[error("it is not one JSON object in UTF-8")]
    NotAnObject,
    #[error("a member that selects the model or a stored object appears twice")]
    Twice,
    #[error("it must name exactly one model")]
    NotOneModel,
    #[error("its model id contains an illegal character or is too long")]
    IllegalModel,
}

impl From<IllegalModelId> for InspectError {
    fn from(_: IllegalModelId) -> Self {
        Self::IllegalModel
    }
}

/// Checks that the headers describe a body that [`read`] can read: JSON in UTF-8, without encoding.
pub(super) fn check_headers(headers: &HeaderMap) -> Result<(), InspectError> {
    if headers.get_all(header::CONTENT_ENCODING).iter().any(|encoding| encoding != "identity") {
        return Err(InspectError::Encoded);
    }
    let mut types = headers.get_all(header::CONTENT_TYPE).iter();
    let plain = types.next().is_none_or(is_json);
    if plain && types.next().is_none() { Ok(()) } else { Err(InspectError::OtherType) }
}

fn is_json(content_type: &HeaderValue) -> bool {
    let Ok(text) = content_type.to_str() else { return false };
    let mut parts = text.split(';').map(str::trim);
    let is_utf8 = |parameter: &str| match parameter.split_once('=') {
        Some((name, charset)) if name.trim().eq_ignore_ascii_case("charset") => {
            charset.trim().trim_matches('"').eq_ignore_ascii_case("utf-8")
        }
        _ => true,
    };
    parts.next().is_some_and(|kind| kind.eq_ignore_ascii_case("application/json")) && parts.all(is_utf8)
}

/// Members that name the model. Each upstream service reads one of them.
// Assumption A26.
const MODELS: [&str; 2] = ["model", "modelId"];
/// Members that refer to stored objects, unless they are null (OpenAI API reference, create a response; Anthropic API
/// reference, create a message).
// Assumption A27.
const STORED: [&str; 4] = ["previous_response_id", "conversation", "prompt", "container"];

/// The scans of large bodies. They run on threads for blocking work, so that no worker waits for them: one for each core
/// at a time, because more would only take the cores from the workers.
#[derive(Debug, Clone)]
pub(super) struct Scans(Arc<Semaphore>);

impl Default for Scans {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(workers::cores().get())))
    }
}

impl Scans {
    /// Reads the members that the decision needs, in place if `body` is not longer than [`PIECE`]. `model` is the member
    /// that names the model for this upstream service.
    pub(super) async fn read(
        &self,
        body: WholeBody,
        model: &'static str,
    ) -> Result<(WholeBody, Members), InspectError> {
        if body.len() <= PIECE {
            let members = read(&body.bytes(), model)?;
            return Ok((body, members));
        }
        let turn = Arc::clone(&self.0).acquire_owned().await;
        let scanned = spawn_blocking(move || {
            let _turn = turn;
            let body = body.in_one_piece();
            let members = read(&body.bytes(), model);
            members.map(|members| (body, members))
        });
        match scanned.await.map_err(JoinError::try_into_panic) {
            Ok(scanned) => scanned,
            Err(Ok(panic)) => resume_unwind(panic),
            // The runtime ends, and this task with it.
            Err(Err(_cancelled)) => std::future::pending().await,
        }
    }
}

/// Reads the members that the decision needs. `model` is the member that names the model for this upstream service.
fn read(body: &[u8], model: &'static str) -> Result<Members, InspectError> {
    let text = std::str::from_utf8(body).map_err(|_| InspectError::NotAnObject)?;
    let mut found = Found::default();
    let mut json = serde_json::Deserializer::from_str(text);
    let parsed = json.deserialize_map(&mut found).and_then(|()| json.end());
    if found.twice {
        return Err(InspectError::Twice);
    }
    parsed.map_err(|_| InspectError::NotAnObject)?;
    match found.models.pop() {
        Some((name, Some(id))) if name == model && found.models.is_empty() => {
            Ok(Members { model: id?, refers_to_stored: found.stored })
        }
        _ => Err(InspectError::NotOneModel),
    }
}

#[derive(Default)]
struct Found {
    /// Each member that names a model, with its id; `None` if the value is not a text.
    models: Vec<(&'static str, Option<Result<ModelId, IllegalModelId>>)>,
    seen: Vec<&'static str>,
    stored: bool,
    twice: bool,
}

impl<'de> Visitor<'de> for &mut Found {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        while let Some(Name(name)) = members.next_key()? {
            let Some(known) = name else {
                members.next_value::<IgnoredAny>()?;
                continue;
            };
            if self.seen.contains(&known) {
                self.twice = true;
                return Err(A::Error::custom("duplicate member"));
            }
            self.seen.push(known);
            if MODELS.contains(&known) {
                self.models.push((known, model_id(members.next_value()?)));
            } else if STORED.contains(&known) {
                self.stored |= members.next_value::<Option<IgnoredAny>>()?.is_some();
            } else {
                let place = match known {
                    "input" => Place::Items,
                    "messages" => Place::Parts,
                    _ => Place::Tools,
                };
                let value = members.next_value::<&RawValue>()?.get();
                let refer = stored_references::refers(value, place)
                    .map_err(|stored_references::TooDeep| A::Error::custom("too deep"));
                self.stored |= refer?;
            }
        }
        Ok(())
    }
}

/// Longest JSON text of a model id, bytes: every byte is escaped, and there are two quotes.
const LONGEST_MODEL: usize = 6 * 2048 + 2;

/// The model that a value names; `None` if the value is not a text. A longer text is not decoded.
fn model_id(raw: &RawValue) -> Option<Result<ModelId, IllegalModelId>> {
    let raw = raw.get();
    if !raw.starts_with('"') {
        return None;
    }
    let id = (raw.len() <= LONGEST_MODEL).then(|| serde_json::from_str::<String>(raw).ok()).flatten();
    Some(id.ok_or(IllegalModelId).and_then(|id| ModelId::parse(&id)))
}

/// The name of a member that the decision needs; `None` is any other name.
struct Name(Option<&'static str>);

/// Members that may contain references to stored objects.
const LOOKED_THROUGH: [&str; 4] = ["input", "messages", "tools", "tool_resources"];

impl<'de> serde::Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Known;
        impl Visitor<'_> for Known {
            type Value = Name;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name")
            }

            fn visit_str<E>(self, name: &str) -> Result<Name, E> {
                let known = MODELS.iter().chain(&STORED).chain(&LOOKED_THROUGH).find(|known| **known == name);
                Ok(Name(known.copied()))
            }
        }
        deserializer.deserialize_str(Known)
    }
}

#[cfg(test)]
mod tests {
    use std::task::Poll;

    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn read_as(name: &'static str, body: &str) -> Result<(String, bool), InspectError> {
        read(body.as_bytes(), name)
            .map(|members| (members.model.as_str().to_owned(), members.refers_to_stored))
    }

    #[test]
    fn the_model_is_found_at_any_place_and_in_any_spelling() {
        let found = Ok(("openai.gpt-oss-120b-1:0".to_owned(), false));
        for body in [
            r#"{"model":"openai.gpt-oss-120b-1:0"}"#,
            r#" {"messages":[{"model":"x","content":"model"}],"model":"openai.gpt-oss-120b-1:0","n":1.5}"#,
            r#"{"mod\u0065l":"openai.gpt-oss-120b-1\u003a0","input":"a","previous_response_id":null}"#,
            // JavaScript writes this for a text that was truncated within an emoji. The gateway must accept it.
            r#"{"model":"openai.gpt-oss-120b-1:0","input":"\ud83e","messages":[{"content":"\ud83e"}],"x":"\ud83e"}"#,
        ] {
            assert_eq!(read_as("model", body), found, "{body}");
        }
        assert_eq!(
            read_as("modelId", r#"{"modelId":"m","modelInput":{"model":"x"}}"#),
            Ok(("m".into(), false))
        );
    }

    #[test]
    fn a_body_that_can_be_read_in_two_ways_is_refused() {
        for (body, error) in [
            (r#"{"model":"a","model":"b"}"#, InspectError::Twice),
            (r#"{"model":"a","mod\u0065l":"b"}"#, InspectError::Twice),
            (r#"{"model":"a","conversation":null,"conversation":"c"}"#, InspectError::Twice),
            (r#"{"model":"a","modelId":"b"}"#, InspectError::NotOneModel),
            (r#"{"modelId":"b"}"#, InspectError::NotOneModel),
            (r#"{"model":["a"]}"#, InspectError::NotOneModel),
            (r#"{"model":null}"#, InspectError::NotOneModel),
            (r#"{"model":{"model":"a"}}"#, InspectError::NotOneModel),
            ("{}", InspectError::NotOneModel),
            (r#"{"model":"a b"}"#, InspectError::IllegalModel),
            (r#"{"model":""}"#, InspectError::IllegalModel),
            (r#"{"model":"a/b"}"#, InspectError::IllegalModel),
            (r#"{"model":"a"} {"model":"b"}"#, InspectError::NotAnObject),
            (r#"{"model":"a""#, InspectError::NotAnObject),
            (r#"[{"model":"a"}]"#, InspectError::NotAnObject),
            ("", InspectError::NotAnObject),
            ("\u{feff}{\"model\":\"a\"}", InspectError::NotAnObject),
        ] {
            assert_eq!(read_as("model", body), Err(error), "{body}");
        }
        assert_eq!(read(b"{\"model\":\"a\",\"x\":\"\xff\"}", "model"), Err(InspectError::NotAnObject));
        // The value of the model is not parsed into a tree.
        let deep = format!("{{\"model\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(read_as("model", &deep), Err(InspectError::NotOneModel));
        let long = format!("{{\"model\":\"{}\"}}", "\\u0061".repeat(2049));
        assert_eq!(read_as("model", &long), Err(InspectError::IllegalModel));
        assert!(read_as("model", &long.replacen("\\u0061", "", 1)).is_ok());
        for (open, close) in [("[", "]"), ("{\"content\":", "}")] {
            let (open, close) = (open.repeat(100_000), close.repeat(100_000));
            for deep in [format!("{open}0"), format!("{open}0{close}")] {
                let deep = format!("{{\"model\":\"a\",\"messages\":{deep}}}");
                assert_eq!(read_as("model", &deep), Err(InspectError::NotAnObject));
            }
        }
    }

    #[tokio::test]
    async fn no_worker_scans_a_large_body() {
        let body = |length: usize| {
            let text = format!("{{\"model\":\"m\"{}}}", " ".repeat(length - 13));
            assert_eq!(text.len(), length);
            let (first, second) = text.split_at(length / 3);
            WholeBody::for_tests(&[first.as_bytes(), second.as_bytes()])
        };
        let scans = Scans(Arc::new(Semaphore::new(1)));
        let turn = scans.0.acquire().await.unwrap();
        scans.read(body(PIECE), "model").await.unwrap();
        let mut large = std::pin::pin!(scans.read(body(PIECE + 1), "model"));
        assert!(std::future::poll_fn(|cx| Poll::Ready(large.as_mut().poll(cx).is_pending())).await);
        drop(turn);
        let (read, members) = large.await.unwrap();
        assert_eq!(members, Members { model: ModelId::parse("m").unwrap(), refers_to_stored: false });
        assert_eq!(read.bytes(), body(PIECE + 1).bytes());
        // The scan ends in the same way as a short one.
        let broken = WholeBody::for_tests(&[&vec![b' '; PIECE], b"{"]);
        assert_eq!(scans.read(broken, "model").await.unwrap_err(), InspectError::NotAnObject);
    }

    #[test]
    fn references_to_stored_objects() {
        for stored in [
            json!({ "previous_response_id": "resp_1" }),
            json!({ "conversation": { "id": "conv_1" } }),
            json!({ "prompt": { "id": "pmpt_1" } }),
            json!({ "container": "c" }),
            json!({ "input": [{ "type": "item_reference", "id": "msg_1" }] }),
            json!({ "input": [{ "id": "msg_1" }] }),
            json!({ "input": [{ "content": [{ "type": "input_file", "file_id": "file_1" }] }] }),
            json!({ "tools": [{ "type": "file_search", "vector_store_ids": ["vs_1"] }] }),
            json!({ "tool_resources": { "code_interpreter": { "file_ids": ["f"] } } }),
            json!({ "tool_resources": { "file_search": { "vector_store_ids": ["f"] } } }),
            json!({ "messages": [{ "content": [{ "type": "file", "file": { "file_id": "f" } }] }] }),
            json!({ "messages": [{ "content": [{ "source": { "type": "file", "file_id": "f" } }] }] }),
            json!({ "messages": [{ "content": [{ "type": "tool_result", "content": [{ "source": { "file_id": "f" } }] }] }] }),
        ] {
            let mut body = stored;
            body["model"] = json!("m");
            assert_eq!(read_as("model", &body.to_string()), Ok(("m".into(), true)), "{body}");
        }
        for own in [
            json!({ "tools": [{ "parameters": { "properties": { "file_id": { "type": "string" } } } }] }),
            json!({ "messages": [{ "content": [{ "type": "tool_use", "input": { "file_id": "f" } }] }] }),
            json!({ "messages": [{ "content": [{ "file_id": null }] }], "prompt": null }),
            json!({ "messages": [{ "id": "mine", "role": "user", "content": "a" }] }),
            json!({ "input": "file_id", "metadata": { "conversation": "c" } }),
        ] {
            let mut body = own;
            body["model"] = json!("m");
            assert_eq!(read_as("model", &body.to_string()), Ok(("m".into(), false)), "{body}");
        }
    }

    proptest! {
        /// Any JSON parser finds the same model.
        #[test]
        fn the_model_that_is_found_is_the_only_one(
            members in prop::collection::vec(("model|modelId|messages|n|x", "[a-z]{0,3}|\"|\\\\|[{}\\[\\]:,]{1,2}"), 0..5),
            cut in 0..200_usize,
        ) {
            let body: Vec<String> = members.iter().map(|(name, text)| format!("\"{name}\":{}", json!(text))).collect();
            let body = format!("{{{}}}", body.join(","));
            let body = body.get(..body.len().saturating_sub(cut / 20)).unwrap_or(&body);
            if let Ok(found) = read(body.as_bytes(), "model") {
                let parsed: serde_json::Value = serde_json::from_str(body).unwrap();
                prop_assert_eq!(parsed["model"].as_str(), Some(found.model.as_str()));
                prop_assert_eq!(members.iter().filter(|(name, _)| name.starts_with("model")).count(), 1);
            }
        }
    }
}
