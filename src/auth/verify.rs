//! A token against its issuer's policy. Nothing is believed before the signature is checked, but for
//! the claim that says whose signature to check.
//!
//! `jsonwebtoken` verifies the signature. The claims are checked here, because that library accepts a claim that stands
//! twice, and knows neither `typ` lists nor an audience in another claim.

use std::time::SystemTime;

use jsonwebtoken::Algorithm;

use crate::auth::issuer::IssuerSettings;
use crate::auth::keys::{Fingerprint, KeySet};
use crate::auth::unverified::UnverifiedToken;
use crate::auth::{AuthError, InvalidReason};

/// What a good token is good for.
pub(super) struct Good {
    pub(super) key: Fingerprint,
    /// `exp`.
    pub(super) expires: SystemTime,
    /// When the token will be refused: leeway after `exp`, or after it has grown too old.
    pub(super) until: SystemTime,
}

impl UnverifiedToken<'_> {
    /// The algorithm, if the issuer's tokens may have it, and nothing in the header forbids the token.
    pub(super) fn check_header(&self, settings: &IssuerSettings) -> Result<Algorithm, AuthError> {
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
        settings: &IssuerSettings,
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
        settings: &IssuerSettings,
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
}
