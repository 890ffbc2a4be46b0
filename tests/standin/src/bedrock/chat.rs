//! `OpenAI`'s Chat Completions.

use serde_json::{Value, json};

use super::reply::{Frame, Reply};
use crate::bill::{Call, Usage};
use crate::{clock, credentials};

pub(super) fn whole(reply: &Reply, call: &Call) -> Value {
    let mut completion = completion(call, "chat.completion");
    completion["choices"] = json!([{
        "index": 0,
        "message": { "role": "assistant", "content": reply.text },
        "finish_reason": "stop",
    }]);
    completion["usage"] = usage(reply.usage);
    completion
}

/// The frames of a stream. Usage is a chunk of its own, and only sent if the body asks for it.
pub(super) fn stream(reply: &Reply, call: &Call, body: &Value) -> Vec<Frame> {
    let completion = completion(call, "chat.completion.chunk");
    let chunk = |delta: Value, finish_reason: Value| {
        let mut chunk = completion.clone();
        chunk["choices"] = json!([{ "index": 0, "delta": delta, "finish_reason": finish_reason }]);
        data(&chunk)
    };
    let mut frames = vec![chunk(json!({ "role": "assistant", "content": "" }), Value::Null)];
    let tokens = reply.tokens();
    frames.extend(tokens.iter().map(|token| chunk(json!({ "content": token }), Value::Null).with_tokens(1)));
    frames.push(chunk(json!({}), json!("stop")));
    if body["stream_options"]["include_usage"] == true {
        let mut last = completion.clone();
        last["choices"] = json!([]);
        last["usage"] = usage(reply.usage);
        frames.push(data(&last));
    }
    frames.push(Frame { bytes: "data: [DONE]\n\n".into(), tokens: 0 });
    frames
}

fn data(chunk: &Value) -> Frame {
    Frame { bytes: format!("data: {chunk}\n\n").into(), tokens: 0 }
}

fn completion(call: &Call, object: &str) -> Value {
    let id = credentials::request_id().replace('-', "");
    json!({
        "id": format!("chatcmpl-{id}"),
        "object": object,
        "created": clock::unix_seconds(call.at),
        "model": call.model,
        "choices": [],
    })
}

fn usage(usage: Usage) -> Value {
    let prompt = usage.input + usage.cache_read + usage.cache_write;
    json!({
        "prompt_tokens": prompt,
        "completion_tokens": usage.output,
        "total_tokens": prompt + usage.output,
        "prompt_tokens_details": { "cached_tokens": usage.cache_read },
    })
}
