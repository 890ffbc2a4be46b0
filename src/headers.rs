//! Which headers pass, both ways. Both lists name what passes: a header nobody thought of stays behind.

use http::header::{self, HeaderMap, HeaderName, HeaderValue};

/// Caller's headers that Bedrock or its models read, or that AWS support asks for.
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

/// Every header with this prefix steers a model call (guardrail, trace, service tier, …); new ones
/// appear without notice, so unknown ones pass.
const BEDROCK_PREFIX: &str = "x-amzn-bedrock-";

/// How many of them most requests have.
const USUAL: usize = 6;

/// Bedrock's headers that a caller may see, beside those that begin with `x-amzn-`.
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

/// A header whose value has a tab within or a byte outside ASCII: AWS does not document how it reads such a value
/// in a signature.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the header {0} has a value that is not plain ASCII text")]
pub struct NotAscii(HeaderName);

/// The headers of a caller's request that are sent to Bedrock. The caller's token, signature, cookies, forwarding
/// and hop-by-hop headers and `Host` are not among them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forwarded(HeaderMap);

impl Forwarded {
    /// Those of `received` that pass. White space around a value is no part of it (RFC 9110, section 5.5), and
    /// HTTP/2 clients may send it.
    ///
    /// # Errors
    /// When one that passes has a value that is not plain ASCII text.
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

    /// Any headers, for the tests of the stages behind.
    #[cfg(test)]
    pub(crate) fn for_tests(headers: &HeaderMap) -> Self {
        Self(headers.clone())
    }
}

/// The value if it is plain text, without the white space around it if that has tabs. Spaces alone may stay: a
/// signature is made without them.
fn plain(value: &HeaderValue) -> Option<HeaderValue> {
    if is_plain(value.as_bytes()) { Some(value.clone()) } else { trimmed(value) }
}

/// The same of a value that is not plain text as a whole.
#[cold]
fn trimmed(value: &HeaderValue) -> Option<HeaderValue> {
    // Of ASCII's white space a `HeaderValue` has only spaces and tabs.
    let text = value.as_bytes().trim_ascii();
    let mut trimmed = is_plain(text).then(|| HeaderValue::from_bytes(text).ok())??;
    trimmed.set_sensitive(value.is_sensitive());
    Some(trimmed)
}

fn is_plain(text: &[u8]) -> bool {
    // Without an early exit, so that the compiler checks many bytes at once.
    text.iter().fold(true, |plain, byte| plain & matches!(byte, b' '..=b'~'))
}

/// The headers of Bedrock's answer that its caller sees. A length that is no single number is said anew by
/// whoever writes the answer.
pub fn to_caller(received: HeaderMap) -> HeaderMap {
    let hop_by_hop: Vec<String> =
        connection_names(&received).into_iter().map(str::to_ascii_lowercase).collect();
    let mut sent = HeaderMap::with_capacity(received.len() + 2);
    let mut last = None;
    for (name, value) in received {
        // A repeated header's name comes once.
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

/// Names that `Connection` declares to be for this hop only (RFC 9110, section 7.6.1).
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
    fn what_carries_identity_or_route_stays_behind() {
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
    fn what_steers_the_call_passes_known_or_not() {
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
    fn tabs_around_a_value_stay_behind() {
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
    fn a_value_that_is_not_plain_text_is_refused_if_it_would_pass() {
        for value in [b"a\tb".as_slice(), b"\ta\tb", b"\xe4", b"a\x80", b"\xff\t"] {
            let value = HeaderValue::from_bytes(value).unwrap();
            let received = HeaderMap::from_iter([(header::USER_AGENT, value.clone())]);
            assert_eq!(Forwarded::of(&received), Err(NotAscii(header::USER_AGENT)), "{value:?}");
            let received = HeaderMap::from_iter([(header::COOKIE, value)]);
            assert_eq!(Forwarded::of(&received), Ok(Forwarded(HeaderMap::new())));
        }
    }

    #[test]
    fn a_header_that_connection_names_stays_behind() {
        let received =
            map(&[("connection", "keep-alive, X-Amzn-Bedrock-Trace"), ("x-amzn-bedrock-trace", "x")]);
        assert_eq!(Forwarded::of(&received), Ok(Forwarded(HeaderMap::new())));
        let answer = map(&[("connection", "x-amzn-secret"), ("x-amzn-secret", "1"), ("set-cookie", "a=b")]);
        assert_eq!(to_caller(answer), HeaderMap::new());
    }
}
