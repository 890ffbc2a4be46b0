//! Claude's Messages: Anthropic's own format, and `InvokeModel`'s formats with Bedrock's additions.

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

/// The headers with token counts, for an answer that is not a stream.
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

/// The events, each in one of Bedrock's frames. The last one also has Bedrock's metrics.
pub(super) fn stream(reply: &Reply, model: &str) -> Vec<Frame> {
    let mut events = events(reply, model);
    if let Some((last, _)) = events.last_mut() {
        last["amazon-bedrock-invocationMetrics"] = json!({
            "inputTokenCount": reply.usage.input,
            "outputTokenCount": reply.usage.output,
            "invocationLatency": LATENCY_MS,
            "firstByteLatency": FIRST_BYTE_LATENCY_MS,
            "cacheReadInputTokenCount": reply.usage.cache_read,
            "cacheWriteInputTokenCount": reply.usage.cache_write,
        });
    }
    events.iter().map(|(event, tokens)| chunk(event).with_tokens(*tokens)).collect()
}

/// The events in the format that Anthropic itself sends.
pub(super) fn sse(reply: &Reply, model: &str) -> Vec<Frame> {
    let events = events(reply, model);
    events.iter().map(|(event, tokens)| Frame::sse(event).with_tokens(*tokens)).collect()
}

/// The events of a stream, each with its number of output tokens.
fn events(reply: &Reply, model: &str) -> Vec<(Value, u64)> {
    let started = message(model, Usage { output: 1, ..reply.usage });
    let block = json!({ "type": "text", "text": "" });
    let mut events = vec![
        (json!({ "type": "message_start", "message": started }), 0),
        (json!({ "type": "content_block_start", "index": 0, "content_block": block }), 0),
    ];
    events.extend(reply.tokens().iter().map(|token| {
        let delta = json!({ "type": "text_delta", "text": token });
        (json!({ "type": "content_block_delta", "index": 0, "delta": delta }), 1)
    }));
    events.push((json!({ "type": "content_block_stop", "index": 0 }), 0));
    let delta = json!({
        "type": "message_delta",
        "delta": { "stop_reason": "end_turn", "stop_sequence": null },
        "usage": { "output_tokens": reply.usage.output },
    });
    events.push((delta, 0));
    events.push((json!({ "type": "message_stop" }), 0));
    events
}

/// A message without content.
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

/// One of Claude's events in one of Bedrock's frames.
fn chunk(event: &Value) -> Frame {
    let event = event.to_string();
    Frame::new("chunk", &json!({ "bytes": STANDARD.encode(&event), "p": padding(&event) }))
}
