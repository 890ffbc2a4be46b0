//! What a model is told: the texts of a request's body.

use serde_json::Value;

use super::refusal::Refusal;
use crate::bill::{Call, Operation};

/// Of AWS's service model: `Body` of `InvokeModel`.
const MAX_INVOKE_BODY_BYTES: usize = 25_000_000;

/// The texts of a prompt, in order.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Prompt {
    /// Up to and with the last cache point.
    pub(super) cached: String,
    /// After it.
    pub(super) fresh: String,
    /// The last message.
    pub(super) last: String,
}

impl Prompt {
    /// Reads a body in Converse's format or in Claude's.
    pub(super) fn read(call: &Call) -> Result<Self, Refusal> {
        let converse = matches!(call.operation, Operation::Converse | Operation::ConverseStream);
        if !converse && call.body.len() > MAX_INVOKE_BODY_BYTES {
            return Err(Refusal::validation(format!(
                "the body is longer than {MAX_INVOKE_BODY_BYTES} bytes"
            )));
        }
        let body: Value = serde_json::from_slice(&call.body).map_err(|_| {
            Refusal::validation("Malformed input request, please reformat your input and try again.")
        })?;
        if converse { Self::of_converse(&body) } else { Self::of_claude(&body) }
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

    fn of_claude(body: &Value) -> Result<Self, Refusal> {
        for required in ["anthropic_version", "max_tokens", "messages"] {
            if body[required].is_null() {
                return Err(missing(required));
            }
        }
        let messages = body["messages"].as_array().ok_or_else(|| missing("messages"))?;
        let mut prompt = Self::default();
        prompt.take_content(&body["system"]);
        for message in messages {
            prompt.last.clear();
            prompt.take_content(&message["content"]);
        }
        Ok(prompt)
    }

    /// A text, or a list of blocks.
    fn take_content(&mut self, content: &Value) {
        match content {
            Value::String(text) => self.take_text(text),
            Value::Array(blocks) => blocks.iter().for_each(|block| self.take(block)),
            _ => {}
        }
    }

    /// A block of text; `cachePoint` (Converse) stands for itself, `cache_control` (Claude) is a block's.
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

fn missing(member: &str) -> Refusal {
    Refusal::validation(format!("{member}: Field required"))
}
