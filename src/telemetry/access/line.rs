//! A line of the access log, written field by field. The fields are listed once, for all formats.

use std::borrow::Cow;
use std::net::IpAddr;

/// A format of a line.
pub(super) trait Line {
    /// Writes a text. `name` is one of the gateway's own.
    fn text(&mut self, name: &str, text: &str);
    fn number(&mut self, name: &str, number: u64);
    fn address(&mut self, name: &str, address: IpAddr);
    /// Writes several texts that have names of their own.
    fn texts<'a>(&mut self, name: &str, members: impl Iterator<Item = (&'a str, &'a str)>);

    fn some_text(&mut self, name: &str, text: Option<&str>) {
        if let Some(text) = text {
            self.text(name, text);
        }
    }

    fn some_number(&mut self, name: &str, number: Option<u64>) {
        if let Some(number) = number {
            self.number(name, number);
        }
    }
}

/// The format for people: `name=value name=value`.
pub(super) struct Words(String);

impl Words {
    pub(super) fn after(beginning: String) -> Self {
        Self(beginning)
    }

    pub(super) fn into_string(self) -> String {
        self.0
    }

    fn word(&mut self, name: &str, value: &str) {
        for part in [" ", name, "=", value] {
            self.0.push_str(part);
        }
    }
}

impl Line for Words {
    fn text(&mut self, name: &str, text: &str) {
        self.word(name, &legible(text));
    }

    fn number(&mut self, name: &str, number: u64) {
        self.word(name, itoa::Buffer::new().format(number));
    }

    fn address(&mut self, name: &str, address: IpAddr) {
        self.text(name, &address.to_string());
    }

    /// Writes `key=value,key=value`.
    fn texts<'a>(&mut self, name: &str, members: impl Iterator<Item = (&'a str, &'a str)>) {
        let pairs: Vec<_> = members.map(|(key, text)| format!("{key}={text}")).collect();
        self.text(name, &pairs.join(","));
    }
}

/// The text unchanged if it is unambiguous. Otherwise it is quoted, and every character is escaped that a terminal
/// might act on: callers choose some of these values.
fn legible(text: &str) -> Cow<'_, str> {
    let plain = |c: char| c.is_ascii_graphic() && c != '"' && c != '\\';
    if !text.is_empty() && text.chars().all(plain) {
        Cow::Borrowed(text)
    } else {
        Cow::Owned(format!("{text:?}"))
    }
}
