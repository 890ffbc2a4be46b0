//! The parts of the canonical request.

use http::HeaderMap;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, percent_encode};

use super::SignatureFault;

/// All characters except the unreserved ones of RFC 3986.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The value of a header that must appear exactly once.
pub(super) fn single<'a>(headers: &'a HeaderMap, name: &'static str) -> Result<&'a str, SignatureFault> {
    let mut values = headers.get_all(name).iter();
    let value = values.next().ok_or_else(|| SignatureFault::HeaderMissing(name.to_owned()))?;
    if values.next().is_some() {
        return Err(SignatureFault::HeaderRepeated(name.to_owned()));
    }
    value.to_str().map_err(|_| SignatureFault::Malformed("a header value that is not visible ASCII"))
}

/// The canonical path. Every byte of every segment is encoded, also the bytes of percent-encodings. So a character that
/// was encoded in the request is encoded twice here.
pub(super) fn path(raw: &str) -> Result<String, SignatureFault> {
    let segments = raw.strip_prefix('/').ok_or(SignatureFault::PathNotNormal)?.split('/');
    let last = segments.clone().count() - 1;
    let mut canonical = String::with_capacity(raw.len() + raw.len() / 2);
    for (index, segment) in segments.enumerate() {
        let decoded: Vec<u8> = percent_decode_str(segment).collect();
        if decoded == b"." || decoded == b".." || (segment.is_empty() && index != last) {
            return Err(SignatureFault::PathNotNormal);
        }
        canonical.push('/');
        canonical.extend(percent_encode(segment.as_bytes(), RESERVED));
    }
    Ok(canonical)
}

/// The canonical query: sorted by encoded name, then by encoded value.
pub(super) fn query(raw: &str) -> Result<String, SignatureFault> {
    // Some servers read it as a space, others as a plus sign.
    if raw.contains('+') {
        return Err(SignatureFault::Malformed("a bare + in the query"));
    }
    let mut pairs: Vec<_> = raw
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (encode_once(name), encode_once(value))
        })
        .collect();
    pairs.sort();
    let pairs: Vec<_> = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect();
    Ok(pairs.join("&"))
}

pub(super) fn refuse_query_authentication(raw: &str) -> Result<(), SignatureFault> {
    let present = raw.split('&').any(|pair| {
        let name = pair.split('=').next().unwrap_or_default();
        encode_once(name).to_ascii_lowercase().starts_with("x-amz-")
    });
    if present {
        return Err(SignatureFault::QueryAuthentication);
    }
    Ok(())
}

/// The canonical headers, one line each. In HTTP/2 `host` is not a header, so it is an argument.
pub(super) fn headers(signed: &[&str], headers: &HeaderMap, host: &str) -> Result<String, SignatureFault> {
    let mut lines = String::new();
    for &name in signed {
        let value = if name == "host" { host.to_owned() } else { joined_values(headers, name)? };
        lines.push_str(name);
        lines.push(':');
        lines.push_str(&value);
        lines.push('\n');
    }
    Ok(lines)
}

/// All values of a header in order of arrival, trimmed, with single spaces.
fn joined_values(headers: &HeaderMap, name: &str) -> Result<String, SignatureFault> {
    let mut values = Vec::new();
    for value in headers.get_all(name) {
        let text = std::str::from_utf8(value.as_bytes())
            .map_err(|_| SignatureFault::Malformed("a signed header that is not UTF-8"))?;
        let words: Vec<_> = text.split_ascii_whitespace().collect();
        values.push(words.join(" "));
    }
    if values.is_empty() {
        return Err(SignatureFault::HeaderMissing(name.to_owned()));
    }
    Ok(values.join(","))
}

fn encode_once(raw: &str) -> String {
    let decoded: Vec<u8> = percent_decode_str(raw).collect();
    percent_encode(&decoded, RESERVED).to_string()
}
