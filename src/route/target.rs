//! Checks the bytes of the request target. A target that two servers could read differently is refused; the path of any
//! other is sent unchanged.

use std::borrow::Cow;
use std::fmt::Write as _;

use http::Uri;
use http::uri::PathAndQuery;
use percent_encoding::percent_decode_str;

use super::RouteError;

/// Refuses a path segment that URI normalisation would change, because the canonical request is normalised and the sent
/// one is not. Also refuses characters that some servers truncate the path at, or fail on.
pub(super) fn check_segment(raw: &str) -> Result<(), RouteError> {
    if raw.is_empty() {
        return Err(RouteError::Malformed("the path has an empty segment"));
    }
    let decoded = decode(raw)?;
    if decoded == "." || decoded == ".." {
        return Err(RouteError::Malformed("the path has a dot segment"));
    }
    if decoded.contains(';') {
        return Err(RouteError::Malformed("the path contains `;`"));
    }
    if decoded.chars().any(char::is_control) {
        return Err(RouteError::Malformed("the target contains a control character"));
    }
    // An id has slashes only as the separators of an ARN. Its parts follow the same rules, because the other side may
    // decode before it splits.
    if decoded.contains('/') && decoded.split('/').any(|part| part.is_empty() || part == "." || part == "..")
    {
        return Err(RouteError::Malformed("the path has an escaped dot segment or an escaped `//`"));
    }
    Ok(())
}

/// Percent-decodes a text once. Refuses incomplete escapes and bytes that are not UTF-8.
pub(super) fn decode(raw: &str) -> Result<Cow<'_, str>, RouteError> {
    if !raw.contains('%') {
        return Ok(Cow::Borrowed(raw));
    }
    let mut bytes = raw.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let hex = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_hexdigit());
            if !hex(bytes.next()) || !hex(bytes.next()) {
                return Err(RouteError::Malformed("the target has an invalid percent-escape"));
            }
        }
    }
    percent_decode_str(raw).decode_utf8().map_err(|_| RouteError::Malformed("the target is not UTF-8"))
}

/// The target to sign and send: the raw path, and the query encoded again.
pub(super) fn assemble(segments: &[&str], received: &Uri) -> Result<PathAndQuery, RouteError> {
    let mut target = String::with_capacity(received.path().len() + 64);
    for segment in segments {
        target.push('/');
        target.push_str(segment);
    }
    let query = received.query().unwrap_or_default();
    for (index, (name, value)) in url::form_urlencoded::parse(query.as_bytes()).enumerate() {
        if name.to_ascii_lowercase().starts_with("x-amz-") {
            return Err(RouteError::Malformed("callers may not send X-Amz-* query parameters"));
        }
        target.push(if index == 0 { '?' } else { '&' });
        // Writing to a `String` cannot fail.
        let _ok = write!(target, "{}={}", encode(&name), encode(&value));
    }
    match received.path_and_query() {
        Some(same) if same.as_str() == target => Ok(same.clone()),
        _ => {
            PathAndQuery::try_from(target).map_err(|_| RouteError::Malformed("the target is not a valid URI"))
        }
    }
}

/// Percent-encodes all characters except the unreserved ones of RFC 3986, like the canonical query of `SigV4`.
// Assumption A16.
fn encode(text: &str) -> impl std::fmt::Display + '_ {
    const RESERVED: &percent_encoding::AsciiSet =
        &percent_encoding::NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
    percent_encoding::utf8_percent_encode(text, RESERVED)
}
