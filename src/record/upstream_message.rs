//! The message of an error that Bedrock answers, read from the bytes that pass to the caller.
//!
//! The relay passes each piece on at once and unchanged. This keeps a copy of the first 16 KiB, so a message that
//! arrives in several pieces is read as well.

use serde_json::Value;

/// The most bytes of a body that are copied. A longer body has no message in the log.
const BODY_BYTES: usize = 16 << 10;
/// The most bytes of the message in the log.
const MESSAGE_BYTES: usize = 256;

/// The copy of an error's body.
#[derive(Debug, Default)]
pub(super) struct ErrorBody(Vec<u8>);

impl ErrorBody {
    /// Copies the next piece of the body.
    pub(super) fn follow(&mut self, data: &[u8]) {
        let room = (BODY_BYTES + 1).saturating_sub(self.0.len());
        self.0.extend_from_slice(&data[..data.len().min(room)]);
    }

    /// The message, if the body was an error in JSON of AWS's, OpenAI's or Anthropic's form.
    pub(super) fn message(&self) -> Option<String> {
        if self.0.len() > BODY_BYTES {
            return None;
        }
        let body: Value = serde_json::from_slice(&self.0).ok()?;
        let own = ["message", "Message"].iter().find_map(|name| body.get(name)?.as_str());
        let mut message = own.or_else(|| body.get("error")?.get("message")?.as_str())?.to_owned();
        if message.len() > MESSAGE_BYTES {
            message.truncate(message.floor_char_boundary(MESSAGE_BYTES - '…'.len_utf8()));
            message.push('…');
        }
        Some(message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(pieces: &[&[u8]]) -> Option<String> {
        let mut body = ErrorBody::default();
        for piece in pieces {
            body.follow(piece);
        }
        body.message()
    }

    #[test]
    fn the_message_is_found_in_every_form_and_in_pieces() {
        for body in [
            r#"{"message":"no \"access\""}"#,
            r#"{"Message":"no \"access\"","__type":"x"}"#,
            r#"{"error":{"message":"no \"access\"","type":"permission_error","param":null,"code":null}}"#,
            r#"{"type":"error","error":{"type":"permission_error","message":"no \"access\""}}"#,
        ] {
            assert_eq!(message(&[body.as_bytes()]).as_deref(), Some("no \"access\""), "{body}");
            let pieces: Vec<_> = body.as_bytes().chunks(1).collect();
            assert_eq!(message(&pieces).as_deref(), Some("no \"access\""), "{body}");
        }
    }

    #[test]
    fn other_bodies_have_no_message() {
        let long = format!(r#"{{"message":"{}"}}"#, "x".repeat(BODY_BYTES));
        for body in ["", "<html>", r#"{"message":7}"#, r#"["message"]"#, r#"{"message":"ends"#, &long] {
            assert_eq!(message(&[body.as_bytes()]), None, "{body}");
        }
    }

    #[test]
    fn a_long_message_is_clipped_at_a_character() {
        let body = format!(r#"{{"message":"x{}"}}"#, "é".repeat(200));
        let message = message(&[body.as_bytes()]).unwrap();
        assert!(message.ends_with("é…") && message.len() <= MESSAGE_BYTES, "{message}");
    }
}
