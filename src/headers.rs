//! The headers that pass between caller and Bedrock, in both directions. Both lists name what passes, so an unknown
//! header is dropped.

use http::header::{self, HeaderMap, HeaderName, HeaderValue};

/// The caller's headers that Bedrock or its models read, or that AWS Support asks for.
const TO_BEDROCK: &[&str] = &[
    "accept",
    "accept-encoding",
    "amz-sdk-invocation-id",
    "amz-sdk-request",
    "anthropic-beta",
    "anthropic-version",
    "anthropic-workspace-id",
    "content-encoding",
    "content-type",
    "openai-project",
    "user-agent",
];

/// The prefix of headers that control a model call (guardrail, trace, service tier, …). All of them pass, because AWS
/// adds such headers without notice.
// Assumption A29.
const BEDROCK_PREFIX: &str = "x-amzn-bedrock-";

/// The number of passing headers that most requests have.
const USUAL: usize = 6;

/// Bedrock's headers that the caller receives, in addition to those that begin with `x-amzn-`.
const TO_CALLER: &[&str] = &[
    "cache-control",
    "content-encoding",
    "content-length",
    "content-type",
    "date",
    "request-id",
    "retry-after",
    "vary",
    "x-request-id",
];

/// Bedrock's id of a request.
pub static REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");

/// The error for a header whose value contains a tab or a byte outside ASCII. AWS does not document how it reads such a
/// value in a signature.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the value of the header {0} has characters other than printable ASCII")]
pub struct NotAscii(HeaderName);

/// The headers of a caller's request that are sent to Bedrock. They never include the caller's token, signature,
/// cookies, `Host`, forwarding headers or hop-by-hop headers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forwarded(HeaderMap);

impl Forwarded {
    /// The headers of `received` that pass. White space around a value is not part of it (RFC 9110, section 5.5), and
    /// HTTP/2 clients may send such white space.
    ///
    /// # Errors
    /// When a header that passes has a value that is not plain ASCII text.
    pub fn of(received: &HeaderMap) -> Result<Self, NotAscii> {
        let hop_by_hop = connection_names(received);
        let passes = |name: &HeaderName| {
            (TO_BEDROCK.contains(&name.as_str()) || name.as_str().starts_with(BEDROCK_PREFIX))
                && !hop_by_hop.iter().any(|named| named.eq_ignore_ascii_case(name.as_str()))
        };
        let mut sent = HeaderMap::with_capacity(USUAL);
        for (name, value) in received.iter().filter(|(name, _)| passes(name)) {
            sent.append(name, plain(value).ok_or_else(|| NotAscii(name.clone()))?);
        }
        Ok(Self(sent))
    }

    pub fn as_map(&self) -> &HeaderMap {
        &self.0
    }

    /// Any headers, for the tests of later stages.
    #[cfg(test)]
    pub(crate) fn for_tests(headers: &HeaderMap) -> Self {
        Self(headers.clone())
    }
}

/// The value if it is plain text. White space around it is removed if it contains tabs. Spaces alone may stay, because
/// the signature ignores them.
fn plain(value: &HeaderValue) -> Option<HeaderValue> {
    if is_plain(value.as_bytes()) { Some(value.clone()) } else { trimmed(value) }
}

/// [`plain`] for a value that is not plain text as a whole.
#[cold]
fn trimmed(value: &HeaderValue) -> Option<HeaderValue> {
    // The only ASCII white space that a `HeaderValue` can contain is spaces and tabs.
    let text = value.as_bytes().trim_ascii();
    let mut trimmed = is_plain(text).then(|| HeaderValue::from_bytes(text).ok())??;
    trimmed.set_sensitive(value.is_sensitive());
    Some(trimmed)
}

// Assumption A18.
fn is_plain(text: &[u8]) -> bool {
    // There is no early exit, so the compiler checks many bytes at once.
    text.iter().fold(true, |plain, byte| plain & matches!(byte, b' '..=b'~'))
}

/// The headers of Bedrock's answer that the caller receives. A `Content-Length` that is not a single number is dropped;
/// the server writes the length itself.
pub fn to_caller(received: HeaderMap) -> HeaderMap {
    let hop_by_hop: Vec<String> =
        connection_names(&received).into_iter().map(str::to_ascii_lowercase).collect();
    let mut sent = HeaderMap::with_capacity(received.len() + 2);
    let mut last = None;
    for (name, value) in received {
        // The iterator gives the name of a repeated header only once.
        if name.is_some() {
            last = name;
        }
        if let Some(name) = &last
            && (TO_CALLER.contains(&name.as_str()) || name.as_str().starts_with("x-amzn-"))
            && !hop_by_hop.iter().any(|named| named == name.as_str())
            && (*name != header::CONTENT_LENGTH || value.as_bytes().iter().all(u8::is_ascii_digit))
        {
            sent.append(name, value);
        }
    }
    sent
}

/// The names that `Connection` lists as for this hop only (RFC 9110, section 7.6.1).
fn connection_names(headers: &HeaderMap) -> Vec<&str> {
    headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(headers: &[(&'static str, &'static str)]) -> HeaderMap {
        headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect()
    }

    #[test]
    fn headers_of_identity_and_routing_are_dropped() {
        let received = map(&[
            ("authorization", "Bearer t"),
            ("x-api-key", "t"),
            ("x-amz-security-token", "t"),
            ("x-amz-date", "d"),
            ("x-amz-content-sha256", "h"),
            ("x-amz-user-agent", "u"),
            ("cookie", "c"),
            ("host", "gateway"),
            ("x-forwarded-for", "1.2.3.4"),
            ("forwarded", "for=1.2.3.4"),
            ("te", "trailers"),
            ("expect", "100-continue"),
            ("transfer-encoding", "chunked"),
            ("content-length", "3"),
            ("proxy-authorization", "p"),
            ("traceparent", "00"),
            ("x-gateway-request-id", "r"),
        ]);
        assert_eq!(Forwarded::of(&received), Ok(Forwarded(HeaderMap::new())));
    }

    #[test]
    fn headers_that_control_the_call_pass_even_if_unknown() {
        let received = map(&[
            ("content-type", "application/json"),
            ("x-amzn-bedrock-trace", "ENABLED"),
            ("x-amzn-bedrock-from-next-year", "1"),
            ("anthropic-beta", "b"),
            ("user-agent", "Boto3"),
        ]);
        assert_eq!(Forwarded::of(&received), Ok(Forwarded(received)));
    }

    #[test]
    fn tabs_around_a_value_are_removed() {
        for value in ["a  b", "\ta  b", "a  b\t", " \t a  b\t \t"] {
            assert_eq!(
                Forwarded::of(&map(&[("accept", value)])),
                Ok(Forwarded(map(&[("accept", "a  b")]))),
                "{value:?}"
            );
        }
        for value in ["", "\t", " \t "] {
            assert_eq!(
                Forwarded::of(&map(&[("accept", value)])),
                Ok(Forwarded(map(&[("accept", "")]))),
                "{value:?}"
            );
        }
        let mut secret = HeaderValue::from_static("\ts");
        secret.set_sensitive(true);
        let received = HeaderMap::from_iter([(header::ACCEPT, secret)]);
        assert!(Forwarded::of(&received).unwrap().as_map()[header::ACCEPT].is_sensitive());
    }

    #[test]
    fn a_value_that_is_not_plain_text_is_refused_if_its_header_passes() {
        for value in [b"a\tb".as_slice(), b"\ta\tb", b"\xe4", b"a\x80", b"\xff\t"] {
            let value = HeaderValue::from_bytes(value).unwrap();
            let received = HeaderMap::from_iter([(header::USER_AGENT, value.clone())]);
            assert_eq!(Forwarded::of(&received), Err(NotAscii(header::USER_AGENT)), "{value:?}");
            let received = HeaderMap::from_iter([(header::COOKIE, value)]);
            assert_eq!(Forwarded::of(&received), Ok(Forwarded(HeaderMap::new())));
        }
    }

    #[test]
    fn a_header_that_connection_names_is_dropped() {
        let received =
            map(&[("connection", "keep-alive, X-Amzn-Bedrock-Trace"), ("x-amzn-bedrock-trace", "x")]);
        assert_eq!(Forwarded::of(&received), Ok(Forwarded(HeaderMap::new())));
        let answer = map(&[("connection", "x-amzn-secret"), ("x-amzn-secret", "1"), ("set-cookie", "a=b")]);
        assert_eq!(to_caller(answer), HeaderMap::new());
    }
}
