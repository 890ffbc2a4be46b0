//! The formats of Converse.

use serde_json::{Value, json};

use super::reply::{Frame, LATENCY_MS, Reply, padding};
use crate::bill::Usage;

pub(super) fn whole(reply: &Reply) -> Value {
    json!({
        "metrics": { "latencyMs": LATENCY_MS },
        "output": { "message": { "role": "assistant", "content": [{ "text": reply.text }] } },
        "stopReason": "end_turn",
        "usage": usage(reply.usage),
    })
}

pub(super) fn stream(reply: &Reply) -> Vec<Frame> {
    let mut frames = vec![Frame::new("messageStart", &json!({ "p": padding(""), "role": "assistant" }))];
    frames.extend(reply.tokens().iter().map(|token| {
        let delta = json!({ "contentBlockIndex": 0, "delta": { "text": token }, "p": padding(token) });
        Frame::new("contentBlockDelta", &delta).with_tokens(1)
    }));
    frames.push(Frame::new("contentBlockStop", &json!({ "contentBlockIndex": 0, "p": padding("a") })));
    frames.push(Frame::new("messageStop", &json!({ "p": padding("ab"), "stopReason": "end_turn" })));
    let metadata =
        json!({ "metrics": { "latencyMs": LATENCY_MS }, "p": padding("abc"), "usage": usage(reply.usage) });
    frames.push(Frame::new("metadata", &metadata));
    frames
}

fn usage(usage: Usage) -> Value {
    let Usage { input, output, cache_read, cache_write } = usage;
    json!({
        "inputTokens": input,
        "outputTokens": output,
        "totalTokens": input + output + cache_read + cache_write,
        "cacheReadInputTokens": cache_read,
        "cacheWriteInputTokens": cache_write,
    })
}
