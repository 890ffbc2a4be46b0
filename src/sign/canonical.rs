//! The canonical request and its signature (IAM user guide, "Create a signed AWS API request").

use std::time::SystemTime;

use hmac::Mac as _;
use http::Method;
use http::uri::PathAndQuery;
use sha2::{Digest as _, Sha256};
use time::OffsetDateTime;

use crate::body::digest::BodyDigest;
use crate::sessions::{Scope, SigningKey};

/// The time in a signature, in the format of `x-amz-date`: `20261123T093000Z`.
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

/// The parts of a request that are signed.
pub(super) struct Canonical<'a> {
    pub(super) method: &'a Method,
    /// The target. Its path has no segments that normalisation would change, and its query is percent-encoded. The
    /// router ensures both.
    pub(super) target: &'a PathAndQuery,
    /// Lower-case names with their values, including `host` and `x-amz-date`, in any order. Several values of one name
    /// keep their order.
    pub(super) headers: Vec<(&'a str, &'a [u8])>,
    pub(super) body: &'a BodyDigest,
}

impl Canonical<'_> {
    /// The value of `Authorization`.
    pub(super) fn authorization(
        mut self,
        access_key_id: &str,
        key: SigningKey,
        stamp: &Stamp,
        scope: &Scope,
    ) -> Vec<u8> {
        self.headers.sort_by_key(|(name, _)| *name);
        let mut signed_headers = String::with_capacity(128);
        let mut last = "";
        for (name, _) in &self.headers {
            if *name != last {
                if !last.is_empty() {
                    signed_headers.push(';');
                }
                signed_headers.push_str(name);
                last = name;
            }
        }
        let request = hex(&Sha256::digest(self.request(signed_headers.as_bytes())));
        let scope = [stamp.date(), "/", &scope.region, "/", scope.service, "/aws4_request"];
        let mut signature = key.into_hmac();
        for part in ["AWS4-HMAC-SHA256\n", stamp.as_str(), "\n"].iter().chain(&scope).chain(&["\n"]) {
            signature.update(part.as_bytes());
        }
        signature.update(&request);
        let mut value = Vec::with_capacity(256 + signed_headers.len());
        for part in ["AWS4-HMAC-SHA256 Credential=", access_key_id, "/"].iter().chain(&scope) {
            value.extend_from_slice(part.as_bytes());
        }
        value.extend_from_slice(b", SignedHeaders=");
        value.extend_from_slice(signed_headers.as_bytes());
        value.extend_from_slice(b", Signature=");
        value.extend_from_slice(&hex(&signature.finalize().into_bytes()));
        value
    }

    /// The canonical request, which is hashed.
    fn request(&self, signed_headers: &[u8]) -> Vec<u8> {
        let lengths = self.headers.iter().map(|(name, value)| name.len() + value.len() + 2);
        let mut text = Vec::with_capacity(256 + 3 * self.target.as_str().len() + lengths.sum::<usize>());
        text.extend_from_slice(self.method.as_str().as_bytes());
        text.push(b'\n');
        encode_again(self.target.path(), &mut text);
        text.push(b'\n');
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
                text.push(b'&');
            }
            text.extend_from_slice(name.as_bytes());
            text.push(b'=');
            text.extend_from_slice(value.as_bytes());
        }
        text.push(b'\n');
        let mut last = "";
        for (name, value) in &self.headers {
            if *name == last {
                // Several values of one name share a line.
                text.pop();
                text.push(b',');
            } else {
                text.extend_from_slice(name.as_bytes());
                text.push(b':');
                last = name;
            }
            trimmed(value, &mut text);
            text.push(b'\n');
        }
        text.push(b'\n');
        text.extend_from_slice(signed_headers);
        text.push(b'\n');
        text.extend_from_slice(&hex(self.body.as_bytes()));
        text
    }
}

/// Percent-encodes a path that is percent-encoded already, as every service except S3 requires.
// Assumption A16.
fn encode_again(path: &str, text: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'/') {
            text.push(byte);
        } else {
            text.extend_from_slice(&[b'%', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
        }
    }
}

/// A header's value without spaces around it, with one space in place of several. No value has tabs: the gateway trims
/// or rejects them when it copies the caller's headers.
fn trimmed(value: &[u8], text: &mut Vec<u8>) {
    // Long values, for example session tokens, have no space at all.
    if !value.contains(&b' ') {
        text.extend_from_slice(value);
        return;
    }
    for (index, word) in value.split(|byte| *byte == b' ').filter(|word| !word.is_empty()).enumerate() {
        if index > 0 {
            text.push(b' ');
        }
        text.extend_from_slice(word);
    }
}

/// A digest in lower-case hexadecimal.
fn hex(digest: &[u8]) -> [u8; 64] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut hex = [b'0'; 64];
    for (pair, byte) in hex.chunks_exact_mut(2).zip(digest) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
    hex
}
