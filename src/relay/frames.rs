//! Following an event stream's frames in the bytes that pass, without copying or holding them back.
//!
//! All that is needed is whether the stream stands between two frames: only there can a frame of our
//! own be put, to tell a client's SDK that the stream broke off.

use aws_smithy_eventstream::frame::write_message_to;
use aws_smithy_types::event_stream::{Header, HeaderValue, Message};
use bytes::Bytes;

/// The position within an event stream.
#[derive(Debug, Default)]
pub struct Frames {
    /// Bytes of the current frame that are still to come, once its length is known.
    left: u32,
    /// The first bytes of a frame, until its four length bytes are together.
    head: [u8; 4],
    have: usize,
    lost: bool,
}

/// Smallest legal frame: prelude, two checksums, nothing else.
const SMALLEST: u32 = 16;

impl Frames {
    /// Takes note of `data`, which is passed on regardless.
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

/// The frame with which Bedrock itself says that a stream failed: every SDK raises it as an exception
/// of the stream. `None` cannot occur for this constant message but for a fault of the encoder.
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
    fn the_exception_frame_is_one_that_sdks_read() {
        let frame = exception_frame("the stream broke off").unwrap();
        let message = read_message_from(&mut frame.clone()).unwrap();
        let kind =
            message.headers().iter().find(|header| header.name().as_str() == ":exception-type").unwrap();
        assert_eq!(kind.value().as_string().unwrap().as_str(), "modelStreamErrorException");
        assert!(message.payload().starts_with(b"{"));
    }

    #[test]
    fn bytes_that_are_no_frames_are_never_followed_by_one() {
        let mut frames = Frames::default();
        frames.follow(&[0, 0, 0, 3, 1, 2, 3]);
        assert!(!frames.between_frames());
    }

    proptest! {
        #[test]
        fn the_position_does_not_depend_on_the_chunks(cuts in prop::collection::vec(1usize..40, 0..30), stop in 0usize..400) {
            let frame = exception_frame("x").unwrap();
            let stream: Vec<u8> = frame.iter().chain(frame.iter()).copied().collect();
            let stop = stop.min(stream.len());
            let mut frames = Frames::default();
            let mut rest = &stream[..stop];
            for cut in cuts {
                let (now, later) = rest.split_at(cut.min(rest.len()));
                frames.follow(now);
                rest = later;
            }
            frames.follow(rest);
            prop_assert_eq!(frames.between_frames(), stop % frame.len() == 0);
        }
    }
}
