//! What a model says, in the formats of the four operations. It repeats what it was told, so that tests
//! can tell whose answer they read.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderValue, Response, header};
use serde_json::{Value, json};

use crate::bill::{Call, Usage};
use crate::frames;
use crate::server::{self, Body};

pub(super) enum Answered {
    Whole { response: Response<Body>, usage: Usage },
    Stream { head: Response<()>, frames: Vec<Bytes>, usage: Usage },
}

/// The answer to `call`, or why its body is not valid.
pub(super) fn answer(call: &Call) -> Result<Answered, &'static str> {
    let body: Value = serde_json::from_slice(&call.body)
        .map_err(|_| "Malformed input request, please reformat your input.")?;
    let said = said(&body).ok_or("messages is required")?;
    let text = format!("You said: {said}");
    let usage = Usage {
        input: tokens(&said),
        output: tokens(&text),
        cache_read: body["cached"].as_u64().unwrap_or(0),
        cache_write: 0,
    };
    Ok(match call.operation.as_str() {
        "converse" => whole(&converse(&text, usage), usage, call),
        "invoke" => {
            let mut answered = whole(&message(&text, usage), usage, call);
            if let Answered::Whole { response, .. } = &mut answered {
                for (name, value) in [
                    ("x-amzn-bedrock-input-token-count", usage.input),
                    ("x-amzn-bedrock-output-token-count", usage.output),
                    ("x-amzn-bedrock-cache-read-input-token-count", usage.cache_read),
                    ("x-amzn-bedrock-invocation-latency", 12),
                ] {
                    response.headers_mut().insert(name, HeaderValue::from(value));
                }
            }
            answered
        }
        "converse-stream" => stream(converse_stream(&text, usage), usage, false),
        "invoke-with-response-stream" => stream(invoke_stream(&text, usage), usage, true),
        _ => return Err("unknown operation"),
    })
}

/// All text of all messages, in Converse's or Claude's form.
fn said(body: &Value) -> Option<String> {
    let messages = body["messages"].as_array()?;
    let mut said = Vec::new();
    for message in messages {
        match &message["content"] {
            Value::String(text) => said.push(text.clone()),
            Value::Array(blocks) => {
                said.extend(blocks.iter().filter_map(|block| block["text"].as_str()).map(str::to_owned));
            }
            _ => return None,
        }
    }
    Some(said.join(" "))
}

fn tokens(text: &str) -> u64 {
    text.len() as u64 / 4 + 1
}

fn whole(body: &Value, usage: Usage, call: &Call) -> Answered {
    let mut response = Response::new(server::full(body.to_string()));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(tier) = call.headers.get("x-amzn-bedrock-service-tier") {
        response.headers_mut().insert("x-amzn-bedrock-service-tier", tier.clone());
    }
    Answered::Whole { response, usage }
}

fn stream(frames: Vec<Bytes>, usage: Usage, invoke: bool) -> Answered {
    let mut head = Response::new(());
    let headers = head.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/vnd.amazon.eventstream"));
    if invoke {
        headers.insert("x-amzn-bedrock-content-type", HeaderValue::from_static("application/json"));
    }
    Answered::Stream { head, frames, usage }
}

fn usage_of_converse(usage: Usage) -> Value {
    json!({
        "inputTokens": usage.input, "outputTokens": usage.output, "totalTokens": usage.input + usage.output,
        "cacheReadInputTokens": usage.cache_read, "cacheWriteInputTokens": usage.cache_write,
    })
}

fn usage_of_claude(usage: Usage) -> Value {
    json!({
        "input_tokens": usage.input, "output_tokens": usage.output,
        "cache_read_input_tokens": usage.cache_read, "cache_creation_input_tokens": usage.cache_write,
    })
}

fn converse(text: &str, usage: Usage) -> Value {
    json!({
        "output": { "message": { "role": "assistant", "content": [{ "text": text }] } },
        "stopReason": "end_turn",
        "usage": usage_of_converse(usage),
        "metrics": { "latencyMs": 12 },
    })
}

fn message(text: &str, usage: Usage) -> Value {
    json!({
        "id": "msg_bdrk_01", "type": "message", "role": "assistant", "model": "claude",
        "content": [{ "type": "text", "text": text }],
        "stop_reason": "end_turn", "stop_sequence": null,
        "usage": usage_of_claude(usage),
    })
}

/// The text a word at a time.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split_inclusive(' ')
}

fn converse_stream(text: &str, usage: Usage) -> Vec<Bytes> {
    let mut frames = vec![frames::event("messageStart", &json!({ "p": "abc", "role": "assistant" }))];
    frames.extend(words(text).map(|word| {
        frames::event(
            "contentBlockDelta",
            &json!({ "contentBlockIndex": 0, "delta": { "text": word }, "p": "abcdef" }),
        )
    }));
    frames.push(frames::event("contentBlockStop", &json!({ "contentBlockIndex": 0, "p": "ab" })));
    frames.push(frames::event("messageStop", &json!({ "stopReason": "end_turn", "p": "a" })));
    let metadata = json!({ "usage": usage_of_converse(usage), "metrics": { "latencyMs": 12 }, "p": "abcd" });
    frames.push(frames::event("metadata", &metadata));
    frames
}

fn invoke_stream(text: &str, usage: Usage) -> Vec<Bytes> {
    let mut events = vec![
        json!({ "type": "message_start", "message": message("", usage) }),
        json!({ "type": "content_block_start", "index": 0, "content_block": { "type": "text", "text": "" } }),
    ];
    events.extend(words(text).map(|word| {
        json!({ "type": "content_block_delta", "index": 0, "delta": { "type": "text_delta", "text": word } })
    }));
    events.push(json!({ "type": "content_block_stop", "index": 0 }));
    events.push(json!({
        "type": "message_delta", "delta": { "stop_reason": "end_turn", "stop_sequence": null },
        "usage": { "output_tokens": usage.output },
    }));
    events.push(json!({
        "type": "message_stop",
        "amazon-bedrock-invocationMetrics": {
            "inputTokenCount": usage.input, "outputTokenCount": usage.output,
            "invocationLatency": 12, "firstByteLatency": 3,
            "cacheReadInputTokenCount": usage.cache_read, "cacheWriteInputTokenCount": usage.cache_write,
        },
    }));
    events
        .iter()
        .map(|event| {
            frames::event("chunk", &json!({ "bytes": STANDARD.encode(event.to_string()), "p": "abcdefghij" }))
        })
        .collect()
}
