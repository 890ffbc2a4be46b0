//! The frames of Bedrock's event streams (`application/vnd.amazon.eventstream`).

use aws_smithy_eventstream::frame::write_message_to;
use aws_smithy_types::event_stream::{Header, HeaderValue, Message};
use bytes::Bytes;

/// The frame of an event.
pub fn event(event_type: &str, content_type: &str, payload: impl Into<Bytes>) -> Bytes {
    frame([(":event-type", event_type), (":content-type", content_type), (":message-type", "event")], payload)
}

/// The frame with which Bedrock reports a failure within a stream and ends it. The types are the members of the
/// streams' unions in the service model, in lower camel case: `throttlingException`.
pub fn exception(exception_type: &str, message: &str) -> Bytes {
    frame(
        [
            (":exception-type", exception_type),
            (":content-type", "application/json"),
            (":message-type", "exception"),
        ],
        serde_json::json!({ "message": message }).to_string(),
    )
}

fn frame(headers: [(&'static str, &str); 3], payload: impl Into<Bytes>) -> Bytes {
    let headers =
        headers.map(|(name, value)| Header::new(name, HeaderValue::String(value.to_owned().into())));
    let message = Message::new_from_parts(headers.to_vec(), payload);
    let mut bytes = Vec::new();
    write_message_to(&message, &mut bytes).expect("header values are shorter than 32 KiB");
    bytes.into()
}

#[cfg(test)]
pub(crate) mod tests {
    use aws_smithy_eventstream::frame::{DecodedFrame, MessageFrameDecoder};

    use super::*;

    /// The decoded frames: `:event-type` or `:exception-type`, and payload.
    pub(crate) fn decode(mut stream: &[u8]) -> Vec<(String, Bytes)> {
        let mut decoder = MessageFrameDecoder::new();
        let mut frames = Vec::new();
        while !stream.is_empty() {
            let DecodedFrame::Complete(message) = decoder.decode_frame(&mut stream).unwrap() else {
                panic!("half a frame");
            };
            let header = |name| {
                let found = message.headers().iter().find(|header| header.name().as_str() == name)?;
                Some(found.value().as_string().unwrap().as_str().to_owned())
            };
            let kind = match header(":message-type").as_deref() {
                Some("event") => header(":event-type"),
                Some("exception") => header(":exception-type"),
                other => panic!("no such message type: {other:?}"),
            };
            assert_eq!(header(":content-type").as_deref(), Some("application/json"));
            frames.push((kind.unwrap(), message.payload().clone()));
        }
        frames
    }

    #[test]
    fn an_independent_decoder_reads_the_frames() {
        let stream = [
            event("messageStart", "application/json", r#"{"role":"assistant"}"#),
            event("empty", "application/json", ""),
            exception("throttlingException", "\"slow\" down"),
        ]
        .concat();
        let frames = decode(&stream);
        assert_eq!(frames[0], ("messageStart".to_owned(), Bytes::from(r#"{"role":"assistant"}"#)));
        assert_eq!(frames[1], ("empty".to_owned(), Bytes::new()));
        assert_eq!(frames[2].0, "throttlingException");
        assert_eq!(frames[2].1, r#"{"message":"\"slow\" down"}"#);
    }

    #[test]
    fn the_checksums_cover_every_byte() {
        let valid = event("messageStart", "application/json", "{}");
        for position in 0..valid.len() {
            let mut bad = valid.to_vec();
            bad[position] ^= 1;
            let read = MessageFrameDecoder::new().decode_frame(&mut bad.as_slice());
            assert!(
                !matches!(read, Ok(DecodedFrame::Complete(_))),
                "the checksum does not cover byte {position}"
            );
        }
    }
}
