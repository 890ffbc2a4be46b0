//! The answer of a model, before it is put into a format.

use bytes::Bytes;

use super::prompt::Prompt;
use crate::bill::Usage;
use crate::frames;

/// The characters of a token. Real models have tokens of different lengths.
const TOKEN_CHARS: usize = 4;

/// The most characters of the last message that the answer repeats.
const MAX_ECHO_CHARS: usize = 400;

/// The latency that answers contain, in milliseconds. It is invented.
pub(super) const LATENCY_MS: u64 = 12;
pub(super) const FIRST_BYTE_LATENCY_MS: u64 = 3;

/// An answer: `You said: ` and the last message, so that tests can recognize their own.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) text: String,
    /// The input does not include cached tokens; see [`Usage`].
    pub(super) usage: Usage,
}

impl Reply {
    /// An answer of at least `min_tokens`. `is_cached` says whether an earlier prompt had this prefix.
    pub(super) fn new(prompt: &Prompt, min_tokens: usize, is_cached: impl FnOnce(&str) -> bool) -> Self {
        let echo: String = prompt.last.chars().take(MAX_ECHO_CHARS).collect();
        let mut text = format!("You said: {echo}");
        for _ in text.chars().count().div_ceil(TOKEN_CHARS)..min_tokens {
            text.push_str(" and");
        }
        let mut usage = Usage { input: tokens(&prompt.fresh), output: tokens(&text), ..Usage::default() };
        if !prompt.cached.is_empty() {
            let saved = tokens(&prompt.cached);
            if is_cached(&prompt.cached) {
                usage.cache_read = saved;
            } else {
                usage.cache_write = saved;
            }
        }
        Self { text, usage }
    }

    /// The tokens of the text.
    pub(super) fn tokens(&self) -> Vec<String> {
        let chars: Vec<char> = self.text.chars().collect();
        chars.chunks(TOKEN_CHARS).map(|token| token.iter().collect()).collect()
    }
}

/// The number of tokens of a text.
pub(super) fn tokens(text: &str) -> u64 {
    text.chars().count().div_ceil(TOKEN_CHARS) as u64
}

/// A frame of a stream.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) bytes: Bytes,
    /// The number of output tokens in it.
    pub(super) tokens: u64,
}

impl Frame {
    pub(super) fn new(event_type: &str, payload: &serde_json::Value) -> Self {
        Self { bytes: frames::event(event_type, "application/json", payload.to_string()), tokens: 0 }
    }

    /// A server-sent event, named by its `type`.
    pub(super) fn sse(event: &serde_json::Value) -> Self {
        let name = event["type"].as_str().unwrap_or_default();
        Self { bytes: format!("event: {name}\ndata: {event}\n\n").into(), tokens: 0 }
    }

    pub(super) fn with_tokens(mut self, tokens: u64) -> Self {
        self.tokens = tokens;
        self
    }
}

/// The member `p`, padding with which Bedrock hides the lengths of the tokens in a stream.
pub(super) fn padding(hidden: &str) -> &'static str {
    const LETTERS: &str = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
    let length = 1 + (hidden.len() * 7) % LETTERS.len();
    &LETTERS[..length]
}
