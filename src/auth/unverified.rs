//! A token taken apart and not verified: for its holder to read, and for [`verify`](super::verify) to check.

use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use crate::auth::{AuthError, InvalidReason, UnverifiedClaims, bearer};

/// A token taken apart; nothing of it is verified.
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

/// The members of a JOSE header that are looked at. `jku`, `x5u` and `jwk` are not: keys come from
/// the configured issuer and nowhere else.
#[derive(Deserialize)]
pub(super) struct Header {
    pub(super) alg: String,
    pub(super) typ: Option<String>,
    pub(super) kid: Option<String>,
    pub(super) crit: Option<Value>,
}

/// Claims, none of them twice: another reader of the token might take the other one (RFC 7519,
/// section 4). The header's members are looked at by name, which refuses them twice as well.
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
                        return Err(A::Error::custom("a claim stands twice"));
                    }
                }
                Ok(Claims(claims))
            }
        }
        deserializer.deserialize_map(Once)
    }
}

impl<'a> UnverifiedToken<'a> {
    /// Takes a token apart.
    ///
    /// # Errors
    /// When `token` is no JWT, or is longer than any that the gateway accepts.
    pub fn read(token: &'a str) -> Result<Self, AuthError> {
        if !bearer::is_shaped_like_a_jwt(token) {
            return Err(AuthError::invalid(InvalidReason::Malformed, None));
        }
        bearer::check_length(token)?;
        Self::of(token)
    }

    pub(super) fn of(token: &'a str) -> Result<Self, AuthError> {
        let malformed = || AuthError::invalid(InvalidReason::Malformed, None);
        let (signed, signature) = token.rsplit_once('.').ok_or_else(malformed)?;
        let (header, claims) = signed.split_once('.').ok_or_else(malformed)?;
        let json = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| malformed());
        let header = serde_json::from_slice(&json(header)?).map_err(|_| malformed())?;
        let Claims(claims) = serde_json::from_slice(&json(claims)?).map_err(|_| malformed())?;
        Ok(Self { header, claims, signed, signature })
    }

    /// The issuer that the token says it is of.
    pub(super) fn issuer(&self) -> Option<&str> {
        self.claims.get("iss")?.as_str()
    }

    /// What the token says of itself, for the log.
    pub(super) fn unverified(&self) -> UnverifiedClaims {
        let text = |name: &str| {
            self.claims.get(name).and_then(Value::as_str).map(|text| text.chars().take(256).collect())
        };
        UnverifiedClaims { issuer: text("iss"), subject: text("sub") }
    }

    pub(super) fn invalid(&self, reason: InvalidReason) -> AuthError {
        AuthError::invalid(reason, Some(self.unverified()))
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

    pub fn claim(&self, name: &str) -> Option<&Value> {
        self.claims.get(name)
    }

    /// The end of the token's life.
    ///
    /// # Errors
    /// When `exp` is no time.
    pub fn expires(&self) -> Result<Option<SystemTime>, AuthError> {
        self.time("exp")
    }

    /// A `NumericDate` (RFC 7519, section 2): seconds since 1970, perhaps with a fraction.
    pub(super) fn time(&self, claim: &str) -> Result<Option<SystemTime>, AuthError> {
        /// Beyond any date that a token means; keeps the arithmetic from overflowing.
        const LATEST: f64 = 1e11;
        match self.claims.get(claim) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => match value.as_f64() {
                Some(seconds) if (0.0..LATEST).contains(&seconds) => {
                    Ok(Some(SystemTime::UNIX_EPOCH + Duration::from_secs_f64(seconds)))
                }
                _ => Err(self.invalid(InvalidReason::Claims)),
            },
        }
    }
}
