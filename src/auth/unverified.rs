//! A parsed token that is not verified: its holder may read it, and [`verify`](super::verify) checks it.

use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use crate::auth::{AuthError, InvalidReason, UnverifiedClaims, bearer};

/// Most characters of a token's value in the access log.
const LONGEST_IN_LOG: usize = 256;

/// A parsed token. Nothing of it is verified.
pub struct UnverifiedToken<'a> {
    pub(super) header: Header,
    pub(super) claims: Map<String, Value>,
    pub(super) signed: &'a str,
    pub(super) signature: &'a str,
}

impl std::fmt::Debug for UnverifiedToken<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UnverifiedToken").finish_non_exhaustive()
    }
}

/// The members of a JOSE header that the gateway reads. It ignores `jku`, `x5u` and `jwk`: keys come only from the
/// configured issuer.
#[derive(Deserialize)]
pub(super) struct Header {
    pub(super) alg: String,
    pub(super) typ: Option<String>,
    pub(super) kid: Option<String>,
    pub(super) crit: Option<Value>,
}

/// Claims without duplicate members. Another reader of the token might use the other value (RFC 7519, section 4). A
/// duplicate in [`Header`] is an error as well, because serde reads that one field by field.
struct Claims(Map<String, Value>);

impl<'de> Deserialize<'de> for Claims {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Once;
        impl<'de> Visitor<'de> for Once {
            type Value = Claims;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Claims, A::Error> {
                let mut claims = Map::new();
                while let Some((name, value)) = members.next_entry::<String, Value>()? {
                    if claims.insert(name, value).is_some() {
                        return Err(A::Error::custom("duplicate claim"));
                    }
                }
                Ok(Claims(claims))
            }
        }
        deserializer.deserialize_map(Once)
    }
}

impl<'a> UnverifiedToken<'a> {
    /// Parses a token.
    ///
    /// # Errors
    /// When `token` is not a JWT, or is longer than the gateway accepts.
    pub fn read(token: &'a str) -> Result<Self, AuthError> {
        if !bearer::is_shaped_like_a_jwt(token) {
            return Err(not_three_parts());
        }
        bearer::check_length(token)?;
        Self::of(token)
    }

    pub(super) fn of(token: &'a str) -> Result<Self, AuthError> {
        let (signed, signature) = token.rsplit_once('.').ok_or_else(not_three_parts)?;
        let (header, claims) = signed.split_once('.').ok_or_else(not_three_parts)?;
        let decoded = |part: &str| URL_SAFE_NO_PAD.decode(part).ok();
        let header = decoded(header).and_then(|json| serde_json::from_slice(&json).ok());
        let header = header.ok_or_else(|| {
            AuthError::malformed("the first part is not the base64url of a JSON object in which alg, kid and typ are texts, each at most once")
        })?;
        let claims = decoded(claims).and_then(|json| serde_json::from_slice(&json).ok());
        let Claims(claims) = claims.ok_or_else(|| {
            AuthError::malformed("the second part is not the base64url of a JSON object without duplicates")
        })?;
        Ok(Self { header, claims, signed, signature })
    }

    /// The issuer that the token names.
    pub(super) fn issuer(&self) -> Option<&str> {
        self.claims.get("iss")?.as_str()
    }

    /// Issuer and subject that the token names, for the log.
    pub(super) fn unverified(&self) -> UnverifiedClaims {
        let text = |name: &str| self.claims.get(name).and_then(Value::as_str).map(truncated);
        UnverifiedClaims { issuer: text("iss"), subject: text("sub") }
    }

    pub(super) fn invalid(&self, reason: InvalidReason, detail: String) -> AuthError {
        AuthError::Invalid { reason, detail, unverified: Some(self.unverified()) }
    }

    pub fn algorithm(&self) -> &str {
        &self.header.alg
    }

    pub fn key_id(&self) -> Option<&str> {
        self.header.kid.as_deref()
    }

    /// The header's `typ`.
    pub fn kind(&self) -> Option<&str> {
        self.header.typ.as_deref()
    }

    /// All claims.
    pub fn claims(&self) -> &Map<String, Value> {
        &self.claims
    }

    pub fn claim(&self, name: &str) -> Option<&Value> {
        self.claims.get(name)
    }

    /// The time at which the token expires.
    ///
    /// # Errors
    /// When `exp` is not a time.
    pub fn expires(&self) -> Result<Option<SystemTime>, AuthError> {
        self.time("exp")
    }

    /// A claim that is a `NumericDate` (RFC 7519, section 2): seconds since 1970, perhaps with a fraction.
    pub(super) fn time(&self, claim: &str) -> Result<Option<SystemTime>, AuthError> {
        /// In the year 5138. No token is valid for so long, and the arithmetic cannot overflow.
        const LATEST: f64 = 1e11;
        match self.claims.get(claim) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => match value.as_f64() {
                Some(seconds) if (0.0..LATEST).contains(&seconds) => {
                    Ok(Some(SystemTime::UNIX_EPOCH + Duration::from_secs_f64(seconds)))
                }
                _ => {
                    let value = truncated(&value.to_string());
                    let detail = format!("{claim} {value} is not a number of seconds since 1970");
                    Err(self.invalid(InvalidReason::Claims, detail))
                }
            },
        }
    }
}

fn not_three_parts() -> AuthError {
    AuthError::malformed("it does not have three base64url parts with dots between them")
}

/// A text of a token for the log: escaped, truncated and in quotes. Escapes count towards the limit, because a client
/// without a valid token chooses the text.
pub(super) fn quoted(text: &str) -> String {
    let escaped = format!("{:?}", text.chars().take(LONGEST_IN_LOG + 1).collect::<String>());
    if escaped.chars().count() > LONGEST_IN_LOG { format!("{}…\"", truncated(&escaped)) } else { escaped }
}

pub(super) fn truncated(text: &str) -> String {
    text.chars().take(LONGEST_IN_LOG).collect()
}
