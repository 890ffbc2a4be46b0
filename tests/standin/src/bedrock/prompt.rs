//! The prompt of a model: the texts in a request's body.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::refusal::Refusal;
use super::reply::tokens;
use crate::bill::{Call, Operation, Service};

/// The limit of `Body` of `InvokeModel` in AWS's service model.
const MAX_INVOKE_BODY_BYTES: usize = 25_000_000;

/// The required members of a body of `InvokeModel` for Claude.
const INVOKE_MEMBERS: &[&str] = &["anthropic_version", "max_tokens", "messages"];

/// The texts of a prompt, in order.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Prompt {
    /// The text up to the last cache point.
    pub(super) cached: String,
    /// The text after the last cache point.
    pub(super) fresh: String,
    /// The last message.
    pub(super) last: String,
}

impl Prompt {
    /// Reads the body in its operation's format.
    pub(super) fn read(call: &Call) -> Result<Self, Refusal> {
        use Operation as O;

        let invoked = matches!(call.operation, O::Invoke | O::InvokeStream);
        if invoked && call.body.len() > MAX_INVOKE_BODY_BYTES {
            return Err(Refusal::validation(format!(
                "the body is longer than {MAX_INVOKE_BODY_BYTES} bytes"
            )));
        }
        let body = json(&call.body)?;
        match call.operation {
            O::Converse | O::ConverseStream => Self::of_converse(&body),
            O::ChatCompletions | O::ChatCompletionsStream => Self::of_chat(&body),
            O::Responses | O::ResponsesStream => Self::of_responses(&body),
            O::Messages | O::MessagesStream => {
                check_version(call)?;
                Self::of_claude(&body, &["model", "max_tokens", "messages"])
            }
            _ => Self::of_claude(&body, INVOKE_MEMBERS),
        }
    }

    /// Reads the prompt of a request to count tokens. It has Anthropic's format, or that of the wrapped call.
    pub(super) fn to_count(call: &Call) -> Result<Self, Refusal> {
        let body = json(&call.body)?;
        if call.service == Service::Mantle {
            check_version(call)?;
            return Self::of_claude(&body, &["model", "messages"]);
        }
        let input = &body["input"];
        if input["converse"].is_object() {
            return Self::of_converse(&input["converse"]);
        }
        let invoke = input["invokeModel"]["body"].as_str().ok_or_else(|| missing("input"))?;
        let invoke = STANDARD.decode(invoke).map_err(|_| Refusal::validation("body is not base64"))?;
        Self::of_claude(&json(&invoke)?, INVOKE_MEMBERS)
    }

    /// The number of tokens of the whole prompt.
    pub(super) fn tokens(&self) -> u64 {
        tokens(&self.cached) + tokens(&self.fresh)
    }

    fn of_chat(body: &Value) -> Result<Self, Refusal> {
        let messages = body["messages"].as_array().ok_or_else(|| missing("messages"))?;
        let mut prompt = Self::default();
        prompt.take_messages(messages);
        Ok(prompt)
    }

    fn of_responses(body: &Value) -> Result<Self, Refusal> {
        let mut prompt = Self::default();
        prompt.take_content(&body["instructions"]);
        match &body["input"] {
            Value::String(text) => {
                prompt.last.clear();
                prompt.take_text(text);
            }
            Value::Array(items) => prompt.take_messages(items),
            _ => return Err(missing("input")),
        }
        Ok(prompt)
    }

    fn of_converse(body: &Value) -> Result<Self, Refusal> {
        let messages = body["messages"].as_array().ok_or_else(|| missing("messages"))?;
        let mut prompt = Self::default();
        for block in body["system"].as_array().into_iter().flatten() {
            prompt.take(block);
        }
        for message in messages {
            let content = message["content"].as_array().ok_or_else(|| missing("messages.content"))?;
            prompt.last.clear();
            for block in content {
                prompt.take(block);
            }
        }
        Ok(prompt)
    }

    fn of_claude(body: &Value, members: &[&str]) -> Result<Self, Refusal> {
        for required in members {
            if body[required].is_null() {
                return Err(missing(required));
            }
        }
        let messages = body["messages"].as_array().ok_or_else(|| missing("messages"))?;
        let mut prompt = Self::default();
        prompt.take_content(&body["system"]);
        prompt.take_messages(messages);
        Ok(prompt)
    }

    fn take_messages(&mut self, messages: &[Value]) {
        for message in messages {
            self.last.clear();
            self.take_content(&message["content"]);
        }
    }

    /// Adds a text, or a list of blocks.
    fn take_content(&mut self, content: &Value) {
        match content {
            Value::String(text) => self.take_text(text),
            Value::Array(blocks) => blocks.iter().for_each(|block| self.take(block)),
            _ => {}
        }
    }

    /// Adds a block. A cache point is a block of its own in Converse (`cachePoint`), and part of a text block in
    /// Claude's format (`cache_control`).
    fn take(&mut self, block: &Value) {
        if let Some(text) = block["text"].as_str() {
            self.take_text(text);
        }
        if block["cachePoint"].is_object() || block["cache_control"].is_object() {
            self.cached.push_str(&self.fresh);
            self.fresh.clear();
        }
    }

    fn take_text(&mut self, text: &str) {
        self.fresh.push_str(text);
        self.last.push_str(text);
    }
}

fn json(body: &[u8]) -> Result<Value, Refusal> {
    let malformed = "Malformed input request, please reformat your input and try again.";
    serde_json::from_slice(body).map_err(|_| Refusal::validation(malformed))
}

/// Checks the header that Anthropic's interface requires.
fn check_version(call: &Call) -> Result<(), Refusal> {
    if call.headers.contains_key("anthropic-version") {
        return Ok(());
    }
    Err(Refusal::validation("anthropic-version: header is required"))
}

fn missing(member: &str) -> Refusal {
    Refusal::validation(format!("{member}: Field required"))
}
