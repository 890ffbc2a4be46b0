//! The canonical request and what is made of it (IAM user guide, "Create a signed AWS API request").

use std::time::SystemTime;

use aws_sigv4::sign::v4::calculate_signature;
use http::Method;
use http::uri::PathAndQuery;
use sha2::{Digest as _, Sha256};
use time::OffsetDateTime;

use crate::sessions::{Scope, SigningKey};

/// The moment that a signature bears, as `x-amz-date` has it: `20261123T093000Z`.
pub(super) struct Stamp([u8; 16]);

impl Stamp {
    pub(super) fn of(at: SystemTime) -> Self {
        let at = OffsetDateTime::from(at);
        let mut stamp = *b"00000000T000000Z";
        let mut put = |place: std::ops::Range<usize>, mut number: u32| {
            for digit in stamp[place].iter_mut().rev() {
                *digit = b'0' + u8::try_from(number % 10).unwrap_or_default();
                number /= 10;
            }
        };
        put(0..4, at.year().unsigned_abs());
        put(4..6, u8::from(at.month()).into());
        put(6..8, at.day().into());
        put(9..11, at.hour().into());
        put(11..13, at.minute().into());
        put(13..15, at.second().into());
        Self(stamp)
    }

    pub(super) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    fn date(&self) -> &str {
        self.as_str().split('T').next().unwrap_or_default()
    }
}

/// What is signed.
pub(super) struct Canonical<'a> {
    pub(super) method: &'a Method,
    /// Without segments that a normaliser would touch, its query percent-encoded throughout: the router
    /// sees to both.
    pub(super) target: &'a PathAndQuery,
    /// Lower-case names with their values, `host` and `x-amz-date` among them, in any order; those of one
    /// name in theirs.
    pub(super) headers: Vec<(&'a str, &'a str)>,
    pub(super) body: &'a [u8],
}

impl Canonical<'_> {
    /// The value of `Authorization`.
    pub(super) fn authorization(
        mut self,
        access_key_id: &str,
        key: &SigningKey,
        stamp: &Stamp,
        scope: &Scope,
    ) -> String {
        self.headers.sort_by_key(|(name, _)| *name);
        let mut signed_headers = String::with_capacity(128);
        for (name, _) in &self.headers {
            if signed_headers.rsplit(';').next() != Some(name) {
                if !signed_headers.is_empty() {
                    signed_headers.push(';');
                }
                signed_headers.push_str(name);
            }
        }
        let request = hex(&Sha256::digest(self.request(&signed_headers)));
        let scope = [stamp.date(), "/", &scope.region, "/", scope.service, "/aws4_request"].concat();
        let to_sign = ["AWS4-HMAC-SHA256\n", stamp.as_str(), "\n", &scope, "\n", &request].concat();
        let signature = calculate_signature(key.0, to_sign.as_bytes());
        [
            "AWS4-HMAC-SHA256 Credential=",
            access_key_id,
            "/",
            &scope,
            ", SignedHeaders=",
            &signed_headers,
            ", Signature=",
            &signature,
        ]
        .concat()
    }

    /// The text that is hashed.
    fn request(&self, signed_headers: &str) -> String {
        let lengths = self.headers.iter().map(|(name, value)| name.len() + value.len() + 2);
        let mut text = String::with_capacity(256 + 3 * self.target.as_str().len() + lengths.sum::<usize>());
        text.push_str(self.method.as_str());
        text.push('\n');
        encode_again(self.target.path(), &mut text);
        text.push('\n');
        let mut pairs: Vec<(&str, &str)> = self
            .target
            .query()
            .iter()
            .flat_map(|query| query.split('&'))
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
            .collect();
        pairs.sort_unstable();
        for (index, (name, value)) in pairs.into_iter().enumerate() {
            if index > 0 {
                text.push('&');
            }
            text.push_str(name);
            text.push('=');
            text.push_str(value);
        }
        text.push('\n');
        let mut last = "";
        for (name, value) in &self.headers {
            if *name == last {
                // One name, one line.
                text.pop();
                text.push(',');
            } else {
                text.push_str(name);
                text.push(':');
                last = name;
            }
            trimmed(value, &mut text);
            text.push('\n');
        }
        text.push('\n');
        text.push_str(signed_headers);
        text.push('\n');
        text.push_str(&hex(&Sha256::digest(self.body)));
        text
    }
}

/// Percent-encodes what is percent-encoded already, as every service but S3 wants it.
fn encode_again(path: &str, text: &mut String) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            text.push(byte.into());
        } else {
            text.push('%');
            text.push(HEX[usize::from(byte >> 4)].into());
            text.push(HEX[usize::from(byte & 15)].into());
        }
    }
}

/// A header's value without spaces around it, and with one where it has several.
fn trimmed(value: &str, text: &mut String) {
    let value = value.trim_matches(' ');
    if !value.contains("  ") {
        text.push_str(value);
        return;
    }
    for (index, word) in value.split(' ').filter(|word| !word.is_empty()).enumerate() {
        if index > 0 {
            text.push(' ');
        }
        text.push_str(word);
    }
}

fn hex(digest: &[u8]) -> String {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let digits = digest.iter().flat_map(|byte| [HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
    digits.map(char::from).collect()
}
