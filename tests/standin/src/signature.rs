//! The check of Signature Version 4. It is stricter than AWS's where AWS does not document its behaviour.
//!
//! It was written only from AWS's description of the algorithm. So an error in a signing library cannot cancel out an
//! equal error here.

mod canonical;
mod fault;

use std::time::{Duration, SystemTime};

use aws_lc_rs::{digest, hmac};
use http::HeaderMap;
use http::request::Parts;

use crate::clock;
use crate::credentials::Credential;
pub use fault::SignatureFault;

const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// AWS's documented tolerance in both directions.
const MAX_SKEW: Duration = Duration::from_mins(5);

/// Headers that a gateway must not forward: headers that a caller's request may have, and headers that belong to one
/// connection only.
const STRAYS: &[&str] = &[
    "cookie",
    "expect",
    "forwarded",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
    "x-api-key",
    "x-real-ip",
];

/// The signature that a service expects.
#[derive(Debug, Clone, Copy)]
pub struct Expect<'a> {
    /// The signing name: `sts`, `bedrock`.
    pub service: &'a str,
    pub region: &'a str,
    pub now: SystemTime,
}

/// The signer of a request, and other findings in its head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signer {
    pub access_key_id: String,
    pub region: String,
    pub signed_at: SystemTime,
    /// In the order of the `SignedHeaders` list, which is sorted.
    pub signed_headers: Vec<String>,
    /// The names of headers that must not arrive: cookies, forwarding and hop-by-hop headers, other credentials, and
    /// headers that `Connection` names.
    pub strays: Vec<String>,
}

/// Checks a received head with [`verify`]. Path, query and host come from the head.
pub fn verify_request(
    head: &Parts,
    body: &[u8],
    expect: &Expect<'_>,
    secret_for: impl Fn(&str) -> Option<Credential>,
) -> Result<Signer, SignatureFault> {
    let host = match head.uri.authority() {
        Some(authority) => authority.as_str(),
        None => canonical::single(&head.headers, "host")?,
    };
    verify(
        head.method.as_str(),
        head.uri.path(),
        head.uri.query(),
        &head.headers,
        host,
        body,
        expect,
        secret_for,
    )
}

/// Checks a request's signature.
///
/// `raw_path` and `raw_query` must be the bytes of the request line, `host` the `Host` header or
/// `:authority`. This does not check whether the credentials have expired or been revoked.
#[expect(clippy::too_many_arguments, reason = "a signature covers all of these")]
pub fn verify(
    method: &str,
    raw_path: &str,
    raw_query: Option<&str>,
    headers: &HeaderMap,
    host: &str,
    body: &[u8],
    expect: &Expect<'_>,
    secret_for: impl Fn(&str) -> Option<Credential>,
) -> Result<Signer, SignatureFault> {
    let query = raw_query.unwrap_or_default();
    canonical::refuse_query_authentication(query)?;
    let authorization = Authorization::read(headers)?;

    let date = canonical::single(headers, "x-amz-date")?;
    let signed_at = check_date(date, expect.now)?;
    let scope = check_scope(&authorization, date, expect)?;

    let credential = secret_for(authorization.access_key_id)
        .ok_or_else(|| SignatureFault::UnknownKey(authorization.access_key_id.to_owned()))?;
    check_session_token(headers, &credential)?;

    let payload_hash = hex(digest::digest(&digest::SHA256, body).as_ref());
    if headers.contains_key("x-amz-content-sha256")
        && canonical::single(headers, "x-amz-content-sha256")? != payload_hash
    {
        return Err(SignatureFault::PayloadHash);
    }

    check_signed_headers(&authorization.signed_headers, headers)?;
    let canonical_request = format!(
        "{method}\n{}\n{}\n{}\n{}\n{payload_hash}",
        canonical::path(raw_path)?,
        canonical::query(query)?,
        canonical::headers(&authorization.signed_headers, headers, host)?,
        authorization.signed_headers.join(";"),
    );
    let hashed = digest::digest(&digest::SHA256, canonical_request.as_bytes());
    let string_to_sign = format!("{ALGORITHM}\n{date}\n{scope}\n{}", hex(hashed.as_ref()));
    let key = signing_key(&credential.secret, &scope);
    let signature = hex(hmac::sign(&key, string_to_sign.as_bytes()).as_ref());
    if signature != authorization.signature {
        return Err(SignatureFault::Mismatch {
            canonical_request: redact(canonical_request, &credential),
            string_to_sign,
        });
    }

    Ok(Signer {
        access_key_id: authorization.access_key_id.to_owned(),
        region: authorization.region.to_owned(),
        signed_at,
        strays: strays(headers),
        signed_headers: authorization.signed_headers.into_iter().map(str::to_owned).collect(),
    })
}

/// The parts of an `Authorization` header of this algorithm.
struct Authorization<'a> {
    access_key_id: &'a str,
    date: &'a str,
    region: &'a str,
    service: &'a str,
    signed_headers: Vec<&'a str>,
    signature: &'a str,
}

impl<'a> Authorization<'a> {
    fn read(headers: &'a HeaderMap) -> Result<Self, SignatureFault> {
        use SignatureFault::{Malformed, MissingAuthorization, OtherScheme};

        if !headers.contains_key("authorization") {
            return Err(MissingAuthorization);
        }
        let value = canonical::single(headers, "authorization")?;
        let (scheme, fields) = value.split_once(' ').ok_or(OtherScheme)?;
        if scheme != ALGORITHM {
            return Err(OtherScheme);
        }
        let (mut credential, mut signed_headers, mut signature) = (None, None, None);
        for field in fields.split(',') {
            let (name, value) =
                field.trim().split_once('=').ok_or(Malformed("a field of Authorization without ="))?;
            let slot = match name {
                "Credential" => &mut credential,
                "SignedHeaders" => &mut signed_headers,
                "Signature" => &mut signature,
                _ => return Err(Malformed("an unknown field in Authorization")),
            };
            if slot.replace(value).is_some() {
                return Err(Malformed("a duplicate field in Authorization"));
            }
        }
        let credential = credential.ok_or(Malformed("no Credential"))?;
        let parts: Vec<_> = credential.split('/').collect();
        let &[access_key_id, date, region, service, "aws4_request"] = parts.as_slice() else {
            return Err(Malformed("Credential is not KEY/DATE/REGION/SERVICE/aws4_request"));
        };
        Ok(Self {
            access_key_id,
            date,
            region,
            service,
            signed_headers: signed_headers.ok_or(Malformed("no SignedHeaders"))?.split(';').collect(),
            signature: signature.ok_or(Malformed("no Signature"))?,
        })
    }
}

fn check_date(date: &str, now: SystemTime) -> Result<SystemTime, SignatureFault> {
    let signed_at =
        clock::parse_amz_date(date).ok_or(SignatureFault::Malformed("X-Amz-Date is not YYYYMMDDTHHMMSSZ"))?;
    let skew = now.duration_since(signed_at).unwrap_or_else(|ahead| ahead.duration());
    if skew > MAX_SKEW {
        return Err(SignatureFault::Skewed { signed_at, now });
    }
    Ok(signed_at)
}

fn check_scope(
    authorization: &Authorization<'_>,
    date: &str,
    expect: &Expect<'_>,
) -> Result<String, SignatureFault> {
    let day = date.split('T').next().unwrap_or_default();
    let expected = format!("{day}/{}/{}/aws4_request", expect.region, expect.service);
    let found =
        format!("{}/{}/{}/aws4_request", authorization.date, authorization.region, authorization.service);
    if found == expected { Ok(found) } else { Err(SignatureFault::Scope { expected, found }) }
}

fn check_session_token(headers: &HeaderMap, credential: &Credential) -> Result<(), SignatureFault> {
    let sent = headers
        .contains_key("x-amz-security-token")
        .then(|| canonical::single(headers, "x-amz-security-token"))
        .transpose()?;
    match (&credential.session_token, sent) {
        (None, None) => Ok(()),
        (None, Some(_)) => Err(SignatureFault::TokenUnexpected),
        (Some(_), None) => Err(SignatureFault::TokenMissing),
        (Some(token), Some(sent)) if token == sent => Ok(()),
        (Some(_), Some(_)) => Err(SignatureFault::TokenMismatch),
    }
}

/// AWS requires `host`, `content-type` if present, and every `x-amz-*` header to be signed.
fn check_signed_headers(signed: &[&str], headers: &HeaderMap) -> Result<(), SignatureFault> {
    if !signed.is_sorted_by(|a, b| a < b) {
        return Err(SignatureFault::Malformed("SignedHeaders are not sorted, or repeat one"));
    }
    let demanded = headers
        .keys()
        .map(http::HeaderName::as_str)
        .filter(|name| name.starts_with("x-amz-") || *name == "content-type")
        .chain(["host"]);
    for name in demanded {
        if !signed.contains(&name) {
            return Err(SignatureFault::HeaderNotSigned(name.to_owned()));
        }
    }
    Ok(())
}

fn signing_key(secret: &str, scope: &str) -> hmac::Key {
    let first = hmac::Key::new(hmac::HMAC_SHA256, format!("AWS4{secret}").as_bytes());
    scope.split('/').fold(first, |key, part| {
        hmac::Key::new(hmac::HMAC_SHA256, hmac::sign(&key, part.as_bytes()).as_ref())
    })
}

fn strays(headers: &HeaderMap) -> Vec<String> {
    let named_by_connection: Vec<_> = headers
        .get_all("connection")
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|name| name.trim().to_ascii_lowercase())
        .collect();
    headers
        .keys()
        .map(http::HeaderName::as_str)
        .filter(|name| {
            STRAYS.contains(name)
                || name.starts_with("x-forwarded-")
                || name.starts_with("proxy-")
                || named_by_connection.iter().any(|named| named == name)
        })
        .map(str::to_owned)
        .collect()
}

fn redact(canonical_request: String, credential: &Credential) -> String {
    match &credential.session_token {
        Some(token) => canonical_request.replace(token, "(session token)"),
        None => canonical_request,
    }
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .map(|digit| char::from(DIGITS[usize::from(digit)]))
        .collect()
}

#[cfg(test)]
pub(crate) mod tests;
