//! `OpenAI`'s Responses.

use serde_json::{Value, json};

use super::reply::{Frame, Reply};
use crate::bill::Call;
use crate::{clock, credentials};

/// The complete response.
pub(super) fn whole(reply: &Reply, call: &Call, body: &Value) -> Value {
    let id = credentials::request_id().replace('-', "");
    let input = reply.usage.input + reply.usage.cache_read + reply.usage.cache_write;
    json!({
        "id": format!("resp_{id}"),
        "object": "response",
        "created_at": clock::unix_seconds(call.at),
        "status": "completed",
        "error": null,
        "incomplete_details": null,
        "instructions": body["instructions"],
        "model": call.model,
        "output": [{
            "type": "message",
            "id": format!("msg_{id}"),
            "status": "completed",
            "role": "assistant",
            "content": [{ "type": "output_text", "text": reply.text, "annotations": [] }],
        }],
        "parallel_tool_calls": true,
        "previous_response_id": body["previous_response_id"],
        "store": stored(body),
        "tool_choice": "auto",
        "tools": [],
        "usage": {
            "input_tokens": input,
            "input_tokens_details": { "cached_tokens": reply.usage.cache_read },
            "output_tokens": reply.usage.output,
            "output_tokens_details": { "reasoning_tokens": 0 },
            "total_tokens": input + reply.usage.output,
        },
    })
}

/// Whether Bedrock stores the response: unless the body says no.
pub(super) fn stored(body: &Value) -> bool {
    body["store"] != false
}

pub(super) fn stream(reply: &Reply, response: &Value) -> Vec<Frame> {
    let mut begun = response.clone();
    begun["status"] = json!("in_progress");
    begun["output"] = json!([]);
    begun["usage"] = Value::Null;
    let item = response["output"][0]["id"].clone();
    let mut events = vec![(json!({ "type": "response.created", "response": begun }), 0)];
    events.extend(reply.tokens().into_iter().map(|token| {
        let delta = json!({
            "type": "response.output_text.delta",
            "item_id": item,
            "output_index": 0,
            "content_index": 0,
            "delta": token,
        });
        (delta, 1)
    }));
    events.push((json!({ "type": "response.completed", "response": response }), 0));
    let numbered = events.into_iter().enumerate().map(|(number, (mut event, tokens))| {
        event["sequence_number"] = json!(number);
        Frame::sse(&event).with_tokens(tokens)
    });
    numbered.collect()
}
