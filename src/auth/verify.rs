//! Checks a token against the policy of its issuer. Before the signature is verified, the gateway uses only the claim
//! that names the issuer, to find the keys.
//!
//! `jsonwebtoken` verifies the signature. The claims are checked here, for two reasons: that library accepts a
//! duplicate claim, and it supports neither lists of `typ` nor an audience in another claim.

use std::time::SystemTime;

use jsonwebtoken::Algorithm;

use crate::auth::issuer::{IssuerSettings, algorithm_names};
use crate::auth::keys::{Fingerprint, KeySet};
use crate::auth::unverified::{UnverifiedToken, quoted, truncated};
use crate::auth::{AuthError, InvalidReason};
use crate::clock::{in_words, rfc3339};

/// The result of a successful check.
pub(super) struct Accepted {
    /// The key that verified the signature.
    pub(super) key: Fingerprint,
    /// `exp`.
    pub(super) expires: SystemTime,
    /// When the gateway will reject the token: leeway after `exp`, or leeway after it has reached its greatest age.
    pub(super) until: SystemTime,
}

impl UnverifiedToken<'_> {
    /// Checks the header and returns the algorithm, which is one that the issuer's table allows.
    pub(super) fn check_header(&self, settings: &IssuerSettings) -> Result<Algorithm, AuthError> {
        // `crit` lists extensions that a reader must support (RFC 7515, section 4.1.11). The gateway supports none.
        if self.header.crit.is_some() {
            let detail = "its header has crit, and the gateway supports no extension that crit may list";
            return Err(self.invalid(InvalidReason::CriticalHeader, detail.to_owned()));
        }
        let algorithm: Option<Algorithm> = self.header.alg.parse().ok();
        let algorithm = algorithm.filter(|algorithm| settings.algorithms.contains(algorithm));
        let algorithm = algorithm.ok_or_else(|| {
            let (alg, allowed) = (quoted(&self.header.alg), algorithm_names(&settings.algorithms));
            self.invalid(InvalidReason::Algorithm, format!("alg {alg} is not in algorithms ({allowed})"))
        })?;
        if let Some(typ) = &self.header.typ {
            let typ = typ.to_ascii_lowercase();
            // `application/` may be left out (RFC 7515, section 4.1.9).
            let typ = typ.strip_prefix("application/").unwrap_or(&typ);
            if !settings.types.iter().any(|allowed| allowed == typ) {
                let detail = format!("typ {} is not in types {:?}", quoted(typ), settings.types);
                return Err(self.invalid(InvalidReason::Type, detail));
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
    ) -> Result<Accepted, AuthError> {
        let kid = self.header.kid.as_deref();
        let mut candidates = keys.candidates(kid, algorithm).peekable();
        if candidates.peek().is_none() {
            return Err(self.no_key(keys, algorithm));
        }
        let verifies = |key: &&crate::auth::keys::Key| {
            jsonwebtoken::crypto::verify(self.signature, self.signed.as_bytes(), &key.decoding, algorithm)
                .is_ok_and(|valid| valid)
        };
        let key = candidates.find(verifies).ok_or_else(|| {
            let any = || format!("any key for {}", algorithm_names(&[algorithm]));
            let key = kid.map_or_else(any, |kid| format!("key {}", quoted(kid)));
            let detail = format!("its signature does not match {key} of the issuer");
            self.invalid(InvalidReason::Signature, detail)
        })?;
        let (expires, until) = self.check_claims(settings, now)?;
        Ok(Accepted { key: key.fingerprint, expires, until })
    }

    /// The error for a token that no key of the set is for.
    fn no_key(&self, keys: &KeySet, algorithm: Algorithm) -> AuthError {
        let kid = self.header.kid.as_deref();
        let reason = if keys.knows(kid) { InvalidReason::Algorithm } else { InvalidReason::KeyUnknown };
        let alg = algorithm_names(&[algorithm]);
        let detail = match kid.map(quoted) {
            Some(kid) if keys.knows(self.header.kid.as_deref()) => {
                format!("key {kid} of the issuer is not for alg {alg}")
            }
            Some(kid) => format!("no key of the issuer has kid {kid}"),
            None => format!("it has no kid, and no key of the issuer is for alg {alg}"),
        };
        self.invalid(reason, detail)
    }

    /// `exp`, and the time from which the gateway rejects the token.
    fn check_claims(
        &self,
        settings: &IssuerSettings,
        now: SystemTime,
    ) -> Result<(SystemTime, SystemTime), AuthError> {
        if self.issuer() != Some(&settings.url) {
            let iss = self.issuer().map_or_else(|| "missing".to_owned(), quoted);
            let detail = format!("iss is {iss}, not {:?}", settings.url);
            return Err(self.invalid(InvalidReason::Issuer, detail));
        }
        if !settings.is_for(&self.claims) {
            return Err(self.wrong_audience(settings));
        }
        let leeway = settings.leeway;
        let expires = self.required_time("exp")?;
        let mut until = expires + leeway;
        if now >= until {
            return Err(AuthError::Expired { unverified: self.unverified() });
        }
        let not_yet = |claim: &str, from: SystemTime| {
            let (from, now, leeway) = (rfc3339(from), rfc3339(now), in_words(leeway));
            let detail = format!("{claim} {from} is in the future: it is {now}, and leeway is {leeway}");
            self.invalid(InvalidReason::NotYetValid, detail)
        };
        if let Some(from) = self.time("nbf")?.filter(|from| now + leeway < *from) {
            return Err(not_yet("nbf", from));
        }
        if let Some(most) = settings.max_token_age {
            let issued = self.required_time("iat")?;
            if now + leeway < issued {
                return Err(not_yet("iat", issued));
            }
            let old = issued + most + leeway;
            if now >= old {
                let (issued, most) = (rfc3339(issued), in_words(most));
                let detail = format!("iat {issued} is longer ago than max_token_age {most}");
                return Err(self.invalid(InvalidReason::TooOld, detail));
            }
            until = until.min(old);
        }
        Ok((expires, until))
    }

    fn wrong_audience(&self, settings: &IssuerSettings) -> AuthError {
        let (name, audiences) = (settings.audience_claim(), &settings.audiences);
        let detail = match self.claims.get(name) {
            Some(value) => {
                format!("{name} {} is not in audiences {audiences:?}", truncated(&value.to_string()))
            }
            None => format!("{name} is missing; it must be in audiences {audiences:?}"),
        };
        self.invalid(InvalidReason::Audience, detail)
    }

    fn required_time(&self, claim: &str) -> Result<SystemTime, AuthError> {
        self.time(claim)?.ok_or_else(|| self.invalid(InvalidReason::Claims, format!("{claim} is missing")))
    }
}
