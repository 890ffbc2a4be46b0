//! A token against its issuer's policy. Nothing is believed before the signature is checked, but for
//! the claim that says whose signature to check.

use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;
use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use crate::auth::issuer::Settings;
use crate::auth::keys::{Fingerprint, KeySet};
use crate::auth::{AuthError, InvalidReason, Unverified};

/// A token taken apart; nothing of it is verified.
pub(super) struct Parsed<'a> {
    pub(super) header: Header,
    pub(super) claims: Map<String, Value>,
    signed: &'a str,
    signature: &'a str,
}

/// The members of a JOSE header that are looked at. `jku`, `x5u` and `jwk` are not: keys come from
/// the configured issuer and nowhere else.
#[derive(Deserialize)]
pub(super) struct Header {
    pub(super) alg: String,
    pub(super) typ: Option<String>,
    pub(super) kid: Option<String>,
    crit: Option<Value>,
}

/// Claims, none of them twice: whoever else reads the token might take the other one (RFC 7519,
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

/// What a good token is good for.
pub(super) struct Good {
    pub(super) key: Fingerprint,
    /// `exp`.
    pub(super) expires: SystemTime,
    /// When the token will be refused: leeway after `exp`, or after it has grown too old.
    pub(super) until: SystemTime,
}

impl<'a> Parsed<'a> {
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
    pub(super) fn unverified(&self) -> Unverified {
        let text = |name: &str| {
            self.claims.get(name).and_then(Value::as_str).map(|text| text.chars().take(256).collect())
        };
        Unverified { issuer: text("iss"), subject: text("sub") }
    }

    pub(super) fn invalid(&self, reason: InvalidReason) -> AuthError {
        AuthError::invalid(reason, Some(self.unverified()))
    }

    /// The algorithm, if the issuer's tokens may have it, and nothing in the header forbids the token.
    pub(super) fn check_header(&self, settings: &Settings) -> Result<Algorithm, AuthError> {
        // Extensions that must be understood, of which there are none here (RFC 7515, 4.1.11).
        if self.header.crit.is_some() {
            return Err(self.invalid(InvalidReason::CriticalHeader));
        }
        let algorithm: Option<Algorithm> = self.header.alg.parse().ok();
        let algorithm = algorithm.filter(|algorithm| settings.algorithms.contains(algorithm));
        let algorithm = algorithm.ok_or_else(|| self.invalid(InvalidReason::Algorithm))?;
        if let Some(typ) = &self.header.typ {
            let typ = typ.to_ascii_lowercase();
            // RFC 7515, 4.1.9: `application/` may be left out.
            let typ = typ.strip_prefix("application/").unwrap_or(&typ);
            if !settings.types.iter().any(|taken| taken == typ) {
                return Err(self.invalid(InvalidReason::Type));
            }
        }
        Ok(algorithm)
    }

    /// Checks signature and claims as of `now`.
    pub(super) fn verify(
        &self,
        settings: &Settings,
        keys: &KeySet,
        algorithm: Algorithm,
        now: SystemTime,
    ) -> Result<Good, AuthError> {
        let kid = self.header.kid.as_deref();
        let mut candidates = keys.candidates(kid, algorithm).peekable();
        if candidates.peek().is_none() {
            let reason = if keys.knows(kid) { InvalidReason::Algorithm } else { InvalidReason::KeyUnknown };
            return Err(self.invalid(reason));
        }
        let verifies = |key: &&crate::auth::keys::Key| {
            jsonwebtoken::crypto::verify(self.signature, self.signed.as_bytes(), &key.decoding, algorithm)
                .is_ok_and(|good| good)
        };
        let key =
            candidates.find(verifies).ok_or_else(|| self.invalid(InvalidReason::Signature))?.fingerprint;
        let (expires, until) = self.check_claims(settings, now)?;
        Ok(Good { key, expires, until })
    }

    /// `exp`, and when the token will be refused.
    fn check_claims(
        &self,
        settings: &Settings,
        now: SystemTime,
    ) -> Result<(SystemTime, SystemTime), AuthError> {
        if self.issuer() != Some(&settings.url) {
            return Err(self.invalid(InvalidReason::Issuer));
        }
        if !settings.is_for(&self.claims) {
            return Err(self.invalid(InvalidReason::Audience));
        }
        let expires = self.time("exp")?.ok_or_else(|| self.invalid(InvalidReason::Claims))?;
        let mut until = expires + settings.leeway;
        if now >= until {
            return Err(AuthError::Expired { unverified: self.unverified() });
        }
        if self.time("nbf")?.is_some_and(|from| now + settings.leeway < from) {
            return Err(self.invalid(InvalidReason::NotYetValid));
        }
        if let Some(most) = settings.max_token_age {
            let issued = self.time("iat")?.ok_or_else(|| self.invalid(InvalidReason::Claims))?;
            if now + settings.leeway < issued {
                return Err(self.invalid(InvalidReason::NotYetValid));
            }
            let old = issued + most + settings.leeway;
            if now >= old {
                return Err(self.invalid(InvalidReason::TooOld));
            }
            until = until.min(old);
        }
        Ok((expires, until))
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
