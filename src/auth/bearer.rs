//! Finds the token in a request's headers.

use http::header::{self, HeaderMap, HeaderName};

use crate::auth::AuthError;

/// Longest token that the gateway accepts, bytes. Tokens of Entra with many groups are about 10 KiB.
pub(super) const LONGEST: usize = 32 * 1024;

/// Headers that carry a bare token. The second one is for SDKs that can only sign: their session token is the JWT, and
/// the gateway discards their signature.
static BARE: [HeaderName; 2] =
    [HeaderName::from_static("x-api-key"), HeaderName::from_static("x-amz-security-token")];

/// Finds the one token of a request. All headers that can carry a token are read before any token is used.
///
/// # Errors
/// When there is no token, when two tokens differ, when such a header appears twice, or when the token is too long.
pub(super) fn find(headers: &HeaderMap) -> Result<&str, AuthError> {
    let authorization = once(headers, &header::AUTHORIZATION)?.and_then(of_bearer_scheme);
    let [api_key, session_token] = [once(headers, &BARE[0])?, once(headers, &BARE[1])?];
    let mut found: Option<&str> = None;
    for token in [authorization, api_key, session_token].into_iter().flatten() {
        match found {
            _ if !is_shaped_like_a_jwt(token) => {}
            Some(other) if other != token => return Err(AuthError::TokensDiffer),
            _ => found = Some(token),
        }
    }
    let token = found.ok_or(AuthError::Missing)?;
    check_length(token)?;
    Ok(token)
}

/// # Errors
/// When the token is longer than [`LONGEST`].
pub(super) fn check_length(token: &str) -> Result<(), AuthError> {
    if token.len() > LONGEST { Err(AuthError::Oversized) } else { Ok(()) }
}

/// The value of a header that may appear once; `None` if it is absent or not UTF-8.
fn once<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, AuthError> {
    let mut values = headers.get_all(name).iter();
    let first = values.next();
    if values.next().is_some() {
        return Err(AuthError::HeaderRepeated);
    }
    // A value outside visible ASCII may get through here. It never has the shape of a token.
    Ok(first.and_then(|value| std::str::from_utf8(value.as_bytes()).ok()).map(str::trim))
}

fn of_bearer_scheme(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Whether a text is three base64url parts. The last part is empty if the token is not signed (RFC 7515, section 7.1).
pub(super) fn is_shaped_like_a_jwt(text: &str) -> bool {
    let Some((header, rest)) = text.split_once('.') else { return false };
    let Some((claims, signature)) = rest.split_once('.') else { return false };
    !header.is_empty() && !claims.is_empty() && [header, claims, signature].into_iter().all(is_base64url)
}

#[expect(clippy::needless_bitwise_bool, reason = "without branches the compiler checks many bytes at once")]
fn is_base64url(text: &str) -> bool {
    let mut legal = true;
    for byte in text.bytes() {
        let letter = (byte | 0x20).wrapping_sub(b'a') < 26;
        legal &= letter | (byte.wrapping_sub(b'0') < 10) | (byte == b'-') | (byte == b'_');
    }
    legal
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in pairs {
            map.append(*name, value.parse().unwrap());
        }
        map
    }

    #[test]
    fn each_header_that_carries_a_token_and_values_that_are_none() {
        assert_eq!(find(&headers(&[("authorization", "Bearer a.b.c")])).unwrap(), "a.b.c");
        assert_eq!(find(&headers(&[("authorization", "bearer  a.b.c ")])).unwrap(), "a.b.c");
        assert_eq!(find(&headers(&[("x-api-key", "a.b.c")])).unwrap(), "a.b.c");
        let signed =
            headers(&[("authorization", "AWS4-HMAC-SHA256 Credential=x"), ("x-amz-security-token", "a.b.c")]);
        assert_eq!(find(&signed).unwrap(), "a.b.c");
        assert_eq!(
            find(&headers(&[("authorization", "Bearer a.b.c"), ("x-api-key", "a.b.c")])).unwrap(),
            "a.b.c"
        );
        assert_eq!(
            find(&headers(&[("authorization", "Bearer a.b.c"), ("x-api-key", "sk-123")])).unwrap(),
            "a.b.c"
        );
        for none in ["Basic a.b.c", "Bearer", "Bearer a.b", "Bearer a.b.c.d", "Bearer .b.c", "Bearer a!.b.c"]
        {
            assert!(matches!(find(&headers(&[("authorization", none)])), Err(AuthError::Missing)), "{none}");
        }
    }

    #[test]
    fn base64url_is_exactly_its_alphabet() {
        for c in '\0'..='\u{ff}' {
            let expected = c.is_ascii_alphanumeric() || c == '-' || c == '_';
            assert_eq!(is_base64url(&format!("abcdefghijklmnopqrstuvwxyz{c}0123456789")), expected, "{c:?}");
        }
    }

    #[test]
    fn ambiguous_and_oversized_tokens_are_refused() {
        let two = headers(&[("authorization", "Bearer a.b.c"), ("x-api-key", "a.b.d")]);
        assert!(matches!(find(&two), Err(AuthError::TokensDiffer)));
        let twice = headers(&[("x-api-key", "a.b.c"), ("x-api-key", "a.b.c")]);
        assert!(matches!(find(&twice), Err(AuthError::HeaderRepeated)));
        let long = format!("a.{}.c", "b".repeat(LONGEST));
        assert!(matches!(find(&headers(&[("x-api-key", &long)])), Err(AuthError::Oversized)));
    }
}
