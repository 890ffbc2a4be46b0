//! Frames of an event stream, as Bedrock writes them.

use aws_smithy_eventstream::frame::write_message_to;
use aws_smithy_types::event_stream::{Header, HeaderValue, Message};
use bytes::Bytes;
use serde_json::Value;

/// An event with a JSON payload.
pub fn event(kind: &str, payload: &Value) -> Bytes {
    frame(":event-type", kind, "event", payload)
}

/// The frame with which Bedrock tells a failure within a stream.
pub fn exception(kind: &str, message: &str) -> Bytes {
    frame(":exception-type", kind, "exception", &serde_json::json!({ "message": message }))
}

fn frame(kind_header: &'static str, kind: &str, message_type: &'static str, payload: &Value) -> Bytes {
    let text =
        |name: &'static str, value: &str| Header::new(name, HeaderValue::String(value.to_owned().into()));
    let message = Message::new(payload.to_string())
        .add_header(text(kind_header, kind))
        .add_header(text(":content-type", "application/json"))
        .add_header(text(":message-type", message_type));
    let mut bytes = Vec::new();
    write_message_to(&message, &mut bytes).expect("short headers and payload");
    bytes.into()
}

#[cfg(test)]
mod tests {
    use aws_smithy_eventstream::frame::read_message_from;

    use super::*;

    #[test]
    fn frames_are_read_as_they_were_written() {
        let mut stream = [
            event("messageStart", &serde_json::json!({ "role": "assistant" })),
            exception("throttlingException", "x"),
        ]
        .concat()
        .into_iter()
        .collect::<Bytes>();
        let first = read_message_from(&mut stream).unwrap();
        assert_eq!(&first.payload()[..], br#"{"role":"assistant"}"#);
        let second = read_message_from(&mut stream).unwrap();
        let kind =
            second.headers().iter().find(|header| header.name().as_str() == ":exception-type").unwrap();
        assert_eq!(kind.value().as_string().unwrap().as_str(), "throttlingException");
        assert!(stream.is_empty());
    }
}
