//! The answers of the upstream.

use bytes::Bytes;
use serde_json::json;

/// The body of an answer that is not a stream: about as long as a short Converse answer.
pub(crate) fn answer() -> Vec<u8> {
    let text = "All the world's a stage, and all the men and women merely players. ".repeat(6);
    let body = json!({
        "metrics": { "latencyMs": 551 },
        "output": { "message": { "content": [{ "text": text }], "role": "assistant" } },
        "stopReason": "end_turn",
        "usage": { "inputTokens": 14, "outputTokens": 105, "totalTokens": 119 }
    });
    body.to_string().into_bytes()
}

/// One frame of an event stream: a few words, as models send them.
pub(crate) fn delta() -> Bytes {
    let payload =
        json!({ "contentBlockIndex": 0, "delta": { "text": "merely players; they" }, "p": "abcdefghij" });
    bedrock_standin::frames::event("contentBlockDelta", "application/json", payload.to_string())
}
