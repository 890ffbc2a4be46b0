//! The position within an event stream. The bytes that pass are neither copied nor delayed.
//!
//! The relay only needs to know whether the position is between two frames. Only there can it insert a frame of its
//! own, which tells the client's SDK that the stream ended early.

use aws_smithy_eventstream::frame::write_message_to;
use aws_smithy_types::event_stream::{Header, HeaderValue, Message};
use bytes::Bytes;

/// The position within an event stream.
#[derive(Debug, Default)]
pub struct Frames {
    /// The bytes of the current frame that have not arrived yet, once its length is known.
    left: u32,
    /// The first bytes of a frame, until all four bytes of its length have arrived.
    head: [u8; 4],
    have: usize,
    lost: bool,
}

/// The length of the smallest valid frame, bytes: a prelude and two checksums.
const SMALLEST: u32 = 16;

impl Frames {
    /// Follows `data`, which the relay passes on in any case.
    pub fn follow(&mut self, mut data: &[u8]) {
        while !data.is_empty() && !self.lost {
            if self.left > 0 {
                let step = data.len().min(self.left as usize);
                self.left -= u32::try_from(step).unwrap_or(self.left);
                data = data.get(step..).unwrap_or_default();
                continue;
            }
            let step = data.len().min(4 - self.have);
            let (length, rest) = data.split_at(step);
            self.head[self.have..self.have + step].copy_from_slice(length);
            self.have += step;
            data = rest;
            if self.have == 4 {
                let total = u32::from_be_bytes(self.head);
                self.lost = total < SMALLEST;
                self.left = total.saturating_sub(4);
                self.have = 0;
            }
        }
    }

    /// Whether every byte so far belongs to a complete frame.
    pub fn between_frames(&self) -> bool {
        !self.lost && self.left == 0 && self.have == 0
    }
}

/// The frame by which Bedrock itself reports that a stream failed. Every SDK raises it as an exception of the stream.
/// `None`: the encoder rejected the message, which would be a bug of the encoder.
// Assumption A31.
pub fn exception_frame(message: &str) -> Option<Bytes> {
    let text = |name: &'static str, value: &'static str| Header::new(name, HeaderValue::String(value.into()));
    let payload = serde_json::json!({ "message": message, "originalMessage": message }).to_string();
    let frame = Message::new(payload)
        .add_header(text(":message-type", "exception"))
        .add_header(text(":exception-type", "modelStreamErrorException"))
        .add_header(text(":content-type", "application/json"));
    let mut bytes = Vec::new();
    write_message_to(&frame, &mut bytes).ok()?;
    Some(bytes.into())
}

#[cfg(test)]
mod tests {
    use aws_smithy_eventstream::frame::read_message_from;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sdks_can_read_the_exception_frame() {
        let frame = exception_frame("the stream broke off").unwrap();
        let message = read_message_from(&mut frame.clone()).unwrap();
        let kind =
            message.headers().iter().find(|header| header.name().as_str() == ":exception-type").unwrap();
        assert_eq!(kind.value().as_string().unwrap().as_str(), "modelStreamErrorException");
        assert!(message.payload().starts_with(b"{"));
    }

    #[test]
    fn bytes_that_are_not_frames_are_never_followed_by_a_frame() {
        let mut frames = Frames::default();
        frames.follow(&[0, 0, 0, 3, 1, 2, 3]);
        assert!(!frames.between_frames());
    }

    proptest! {
        #[test]
        fn the_position_does_not_depend_on_the_chunks(lengths in prop::collection::vec(1usize..40, 0..30), stop in 0usize..400) {
            let frame = exception_frame("x").unwrap();
            let stream: Vec<u8> = frame.iter().chain(frame.iter()).copied().collect();
            let stop = stop.min(stream.len());
            let mut frames = Frames::default();
            let mut rest = &stream[..stop];
            for length in lengths {
                let (now, later) = rest.split_at(length.min(rest.len()));
                frames.follow(now);
                rest = later;
            }
            frames.follow(rest);
            prop_assert_eq!(frames.between_frames(), stop % frame.len() == 0);
        }
    }
}
