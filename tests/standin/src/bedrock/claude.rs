//! `InvokeModel`'s formats for Claude: its Messages, with what Bedrock adds.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderValue};
use serde_json::{Value, json};

use super::reply::{FIRST_BYTE_LATENCY_MS, Frame, LATENCY_MS, Reply, padding};
use crate::bill::Usage;
use crate::credentials;

pub(super) fn whole(reply: &Reply, model: &str) -> Value {
    let mut message = message(model, reply.usage);
    message["content"] = json!([{ "type": "text", "text": reply.text }]);
    message["stop_reason"] = json!("end_turn");
    message
}

/// The counts that stand in the head of an answer in one piece.
pub(super) fn count_headers(usage: Usage) -> HeaderMap {
    [
        ("x-amzn-bedrock-input-token-count", usage.input),
        ("x-amzn-bedrock-output-token-count", usage.output),
        ("x-amzn-bedrock-cache-read-input-token-count", usage.cache_read),
        ("x-amzn-bedrock-cache-write-input-token-count", usage.cache_write),
        ("x-amzn-bedrock-invocation-latency", LATENCY_MS),
    ]
    .into_iter()
    .map(|(name, count)| (http::HeaderName::from_static(name), HeaderValue::from(count)))
    .collect()
}

pub(super) fn stream(reply: &Reply, model: &str) -> Vec<Frame> {
    let started = message(model, Usage { output: 1, ..reply.usage });
    let block = json!({ "type": "text", "text": "" });
    let mut frames = vec![
        chunk(&json!({ "type": "message_start", "message": started })),
        chunk(&json!({ "type": "content_block_start", "index": 0, "content_block": block })),
    ];
    frames.extend(reply.tokens().iter().map(|token| {
        let delta = json!({ "type": "text_delta", "text": token });
        chunk(&json!({ "type": "content_block_delta", "index": 0, "delta": delta })).with_tokens(1)
    }));
    frames.push(chunk(&json!({ "type": "content_block_stop", "index": 0 })));
    frames.push(chunk(&json!({
        "type": "message_delta",
        "delta": { "stop_reason": "end_turn", "stop_sequence": null },
        "usage": { "output_tokens": reply.usage.output },
    })));
    frames.push(chunk(&json!({
        "type": "message_stop",
        "amazon-bedrock-invocationMetrics": {
            "inputTokenCount": reply.usage.input,
            "outputTokenCount": reply.usage.output,
            "invocationLatency": LATENCY_MS,
            "firstByteLatency": FIRST_BYTE_LATENCY_MS,
            "cacheReadInputTokenCount": reply.usage.cache_read,
            "cacheWriteInputTokenCount": reply.usage.cache_write,
        },
    })));
    frames
}

/// A message that has only just begun.
fn message(model: &str, usage: Usage) -> Value {
    let id = credentials::request_id().replace('-', "");
    json!({
        "id": format!("msg_bdrk_{id}"),
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [],
        "stop_reason": null,
        "stop_sequence": null,
        "usage": {
            "input_tokens": usage.input,
            "cache_creation_input_tokens": usage.cache_write,
            "cache_read_input_tokens": usage.cache_read,
            "output_tokens": usage.output,
        },
    })
}

/// An event of Claude's in a frame of Bedrock's.
fn chunk(event: &Value) -> Frame {
    let event = event.to_string();
    Frame::new("chunk", &json!({ "bytes": STANDARD.encode(&event), "p": padding(&event) }))
}
