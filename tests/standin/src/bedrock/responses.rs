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

/// The events of a stream in `OpenAI`'s order: the item and its part begin before the first piece of text. Codex drops
/// text without an item.
pub(super) fn stream(reply: &Reply, response: &Value) -> Vec<Frame> {
    let mut begun = response.clone();
    begun["status"] = json!("in_progress");
    begun["output"] = json!([]);
    begun["usage"] = Value::Null;
    let item = &response["output"][0];
    let mut item_begun = item.clone();
    item_begun["status"] = json!("in_progress");
    item_begun["content"] = json!([]);
    let mut part_begun = item["content"][0].clone();
    part_begun["text"] = json!("");
    let of_part = |mut event: Value| {
        event["item_id"] = item["id"].clone();
        event["output_index"] = json!(0);
        event["content_index"] = json!(0);
        event
    };
    let of_item = |kind: &str, item: &Value| json!({ "type": kind, "output_index": 0, "item": item });

    let mut events = vec![
        (json!({ "type": "response.created", "response": begun }), 0),
        (of_item("response.output_item.added", &item_begun), 0),
        (of_part(json!({ "type": "response.content_part.added", "part": part_begun })), 0),
    ];
    events.extend(
        reply
            .tokens()
            .into_iter()
            .map(|token| (of_part(json!({ "type": "response.output_text.delta", "delta": token })), 1)),
    );
    events.extend([
        (of_part(json!({ "type": "response.output_text.done", "text": reply.text })), 0),
        (of_part(json!({ "type": "response.content_part.done", "part": item["content"][0] })), 0),
        (of_item("response.output_item.done", item), 0),
        (json!({ "type": "response.completed", "response": response }), 0),
    ]);
    let numbered = events.into_iter().enumerate().map(|(number, (mut event, tokens))| {
        event["sequence_number"] = json!(number);
        Frame::sse(&event).with_tokens(tokens)
    });
    numbered.collect()
}
