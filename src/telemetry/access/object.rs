//! A JSON object, written member by member. Each request writes one. A general serializer spends most of its time on
//! single bytes, to find those that need escaping; this one checks many bytes at a time.

use std::net::IpAddr;

/// The initial capacity of a line, bytes. Most lines fit.
const LINE: usize = 1024;

/// An object under construction.
pub(super) struct Object(String);

impl Object {
    pub(super) fn new() -> Self {
        let mut line = String::with_capacity(LINE);
        line.push('{');
        Self(line)
    }

    pub(super) fn into_string(mut self) -> String {
        self.0.push('}');
        self.0
    }

    /// Writes the name of a member. `name` is one of the gateway's own, so it needs no escaping.
    fn name(&mut self, name: &str) {
        self.comma();
        self.0.push('"');
        self.0.push_str(name);
        self.0.push_str("\":");
    }

    fn comma(&mut self) {
        if !self.0.ends_with('{') {
            self.0.push(',');
        }
    }

    fn quote(&mut self, text: &str) {
        if is_plain(text) {
            self.0.push('"');
            self.0.push_str(text);
            self.0.push('"');
        } else {
            // Every text has a JSON form, so this never fails.
            self.0.push_str(&serde_json::to_string(text).unwrap_or_default());
        }
    }

    /// Writes a text. `name` is one of the gateway's own.
    pub(super) fn text(&mut self, name: &str, text: &str) {
        self.name(name);
        self.quote(text);
    }

    pub(super) fn some_text(&mut self, name: &str, text: Option<&str>) {
        if let Some(text) = text {
            self.text(name, text);
        }
    }

    pub(super) fn some_number(&mut self, name: &str, number: Option<u64>) {
        if let Some(number) = number {
            self.number(name, number);
        }
    }

    pub(super) fn number(&mut self, name: &str, number: u64) {
        self.name(name);
        self.0.push_str(itoa::Buffer::new().format(number));
    }

    pub(super) fn address(&mut self, name: &str, address: IpAddr) {
        self.name(name);
        self.0.push('"');
        match address {
            IpAddr::V4(address) => {
                for (index, octet) in address.octets().into_iter().enumerate() {
                    self.0.push_str(if index > 0 { "." } else { "" });
                    self.0.push_str(itoa::Buffer::new().format(octet));
                }
            }
            IpAddr::V6(address) => self.0.push_str(&address.to_string()),
        }
        self.0.push('"');
    }

    /// Writes several texts that have names of their own.
    pub(super) fn texts<'a>(&mut self, name: &str, members: impl Iterator<Item = (&'a str, &'a str)>) {
        self.name(name);
        self.0.push('{');
        for (name, text) in members {
            self.comma();
            self.quote(name);
            self.0.push(':');
            self.quote(text);
        }
        self.0.push('}');
    }
}

/// Whether `text` is valid within a JSON string without escaping (RFC 8259, section 7).
fn is_plain(text: &str) -> bool {
    // No branch for each byte, so that the compiler can check many bytes at once.
    let odd = |byte: &u8| u8::from(*byte < 0x20) | u8::from(*byte == b'"') | u8::from(*byte == b'\\');
    text.as_bytes().iter().fold(0, |found, byte| found | odd(byte)) == 0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    proptest! {
        #[test]
        fn a_written_object_reads_back(text in "\\PC{0,40}", odd in prop::collection::vec(any::<char>(), 0..40), number: u64, address: IpAddr) {
            let odd: String = odd.into_iter().collect();
            let mut object = Object::new();
            object.text("a", &text);
            object.number("b", number);
            object.texts("c", [(text.as_str(), odd.as_str())].into_iter());
            object.some_text("d", None);
            object.texts("e", std::iter::empty());
            object.some_text("f", Some(&odd));
            object.address("g", address);
            let line = object.into_string();
            prop_assert!(!line.contains('\n'));
            let read: Value = serde_json::from_str(&line).unwrap();
            prop_assert_eq!(read, serde_json::json!({ "a": text, "b": number, "c": { &text: odd }, "e": {}, "f": odd, "g": address }));
        }
    }
}
