//! Who asks: a token from the request's headers, verified against its issuer. Knows nothing of AWS.
//!
//! One cache remembers verified callers under their token's SHA-256, so that a repeated token costs
//! one hash and one look-up; an entry dies with the token, with the key that signed it, and with the
//! settings that its issuer had.

use std::sync::Arc;
use std::time::SystemTime;

use http::HeaderMap;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::auth::key_refresh::Issuer;
use crate::auth::token_cache::TokenCache;
use crate::clock;
use crate::reason::Reason;
use crate::telemetry::metrics::Metrics;

pub use crate::auth::fetch::IssuerSetupError;
pub use crate::auth::key_refresh::IssuerStatus;
pub use crate::auth::token_cache::CacheLimits;
pub use crate::auth::unverified::UnverifiedToken;

mod bearer;
mod fetch;
pub mod issuer;
mod key_refresh;
mod keys;
mod token_cache;
mod unverified;
mod verify;

/// A caller whose token was verified. Made only by this module.
pub struct Verified {
    issuer: Arc<str>,
    claims: Map<String, Value>,
    expires: SystemTime,
}

impl std::fmt::Debug for Verified {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Verified").field("issuer", &self.issuer).finish_non_exhaustive()
    }
}

impl Verified {
    /// The configured name of the issuer that signed the token.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Every claim of the token, as the issuer wrote them.
    pub fn claims(&self) -> &Map<String, Value> {
        &self.claims
    }

    pub fn subject(&self) -> Option<&str> {
        self.claims.get("sub")?.as_str()
    }

    pub fn jti(&self) -> Option<&str> {
        self.claims.get("jti")?.as_str()
    }

    /// The end of the token's life (`exp`).
    pub fn expires(&self) -> SystemTime {
        self.expires
    }
}

/// Requests that may wait at once for a refresh of keys: anybody can cause such a wait, so that it must
/// not take the places of those who need none.
const WAITING: usize = 256;

/// What the next stage remembers beside a caller.
pub trait Memo: Default + Send + Sync + 'static {
    /// About how much memory it takes, bytes; grows as more is remembered.
    fn bytes(&self) -> usize;
}

/// A verified caller, and what the next stage remembers beside them.
#[derive(Debug)]
pub struct Caller<M> {
    verified: Verified,
    memo: M,
}

impl<M> Caller<M> {
    pub fn verified(&self) -> &Verified {
        &self.verified
    }

    pub fn memo(&self) -> &M {
        &self.memo
    }
}

/// What a refused token said of itself; for the log only.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UnverifiedClaims {
    pub issuer: Option<String>,
    pub subject: Option<String>,
}

/// Why a caller is not known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    #[error("the request carries no token")]
    Missing,
    #[error("the token has expired")]
    Expired { unverified: UnverifiedClaims },
    #[error("the request carries two tokens that differ")]
    TokensDiffer,
    #[error("a header that carries tokens is sent twice")]
    HeaderRepeated,
    #[error("the token is longer than 32 KiB")]
    Oversized,
    #[error("the token is not good: {reason:?}")]
    Invalid { reason: InvalidReason, unverified: Option<UnverifiedClaims> },
    /// Not the caller's fault: the issuer's keys were never had.
    #[error("the keys of issuer {issuer} have not been had yet")]
    KeysUnavailable { issuer: Arc<str> },
}

/// What is wrong with a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InvalidReason {
    Malformed,
    Algorithm,
    CriticalHeader,
    Type,
    Issuer,
    Audience,
    NotYetValid,
    TooOld,
    KeyUnknown,
    Signature,
    /// A time that the token must have is missing or no time.
    Claims,
}

impl AuthError {
    fn invalid(reason: InvalidReason, unverified: Option<UnverifiedClaims>) -> Self {
        Self::Invalid { reason, unverified }
    }

    /// Whether other keys of the issuer might have another answer.
    fn is_about_keys(&self) -> bool {
        matches!(
            self,
            Self::KeysUnavailable { .. }
                | Self::Invalid { reason: InvalidReason::KeyUnknown | InvalidReason::Signature, .. }
        )
    }

    /// The reason in log and metrics.
    pub fn reason(&self) -> Reason {
        match self {
            Self::Missing => Reason::TokenMissing,
            Self::Expired { .. } => Reason::TokenExpired,
            Self::TokensDiffer => Reason::TokensDiffer,
            Self::HeaderRepeated => Reason::TokenHeaderRepeated,
            Self::Oversized => Reason::TokenOversized,
            Self::KeysUnavailable { .. } => Reason::KeysUnavailable,
            Self::Invalid { reason, .. } => match reason {
                InvalidReason::Malformed => Reason::TokenMalformed,
                InvalidReason::Algorithm => Reason::TokenAlgorithm,
                InvalidReason::CriticalHeader => Reason::TokenCriticalHeader,
                InvalidReason::Type => Reason::TokenType,
                InvalidReason::Issuer => Reason::TokenIssuer,
                InvalidReason::Audience => Reason::TokenAudience,
                InvalidReason::NotYetValid => Reason::TokenNotYetValid,
                InvalidReason::TooOld => Reason::TokenTooOld,
                InvalidReason::KeyUnknown => Reason::TokenKeyUnknown,
                InvalidReason::Signature => Reason::TokenSignature,
                InvalidReason::Claims => Reason::TokenClaims,
            },
        }
    }

    /// What the refused token said of itself.
    pub fn unverified(&self) -> Option<&UnverifiedClaims> {
        match self {
            Self::Expired { unverified } => Some(unverified),
            Self::Invalid { unverified, .. } => unverified.as_ref(),
            Self::Missing
            | Self::TokensDiffer
            | Self::HeaderRepeated
            | Self::Oversized
            | Self::KeysUnavailable { .. } => None,
        }
    }
}

/// Verifies callers. `M` is what the next stage remembers beside each.
pub struct Authenticator<M> {
    issuers: Vec<Arc<Issuer>>,
    /// Shared with those before and after this one: an entry names its issuer.
    remembered: Arc<TokenCache<M>>,
    metrics: Arc<Metrics>,
    waiting: Semaphore,
}

impl<M> std::fmt::Debug for Authenticator<M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authenticator").field("issuers", &self.issuers.len()).finish_non_exhaustive()
    }
}

impl<M: Memo> Authenticator<M> {
    /// Sets up `issuers` without any network traffic.
    ///
    /// # Errors
    /// When a CA file of an issuer is unreadable.
    pub fn new(
        issuers: Vec<issuer::IssuerSettings>,
        limits: CacheLimits,
        metrics: Arc<Metrics>,
    ) -> Result<Self, IssuerSetupError> {
        // An error says that a provider is there already; two would be a fault of the build.
        let _already = jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER.install_default().is_err();
        let issuers = issuers
            .into_iter()
            .map(|settings| Issuer::new(settings, Arc::clone(&metrics)).map(Arc::new))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            issuers,
            remembered: Arc::new(TokenCache::new(limits)),
            metrics,
            waiting: Semaphore::new(WAITING),
        })
    }

    /// The one after this, by new settings. Issuers whose settings are the same keep their keys and their
    /// remembered callers; those that are fetched from the same place, their keys.
    ///
    /// # Errors
    /// As [`Authenticator::new`].
    pub fn successor(&self, issuers: Vec<issuer::IssuerSettings>) -> Result<Self, IssuerSetupError> {
        let one = |settings: issuer::IssuerSettings| {
            let of = |like: &dyn Fn(&Issuer) -> bool| self.issuers.iter().find(|issuer| like(issuer));
            if let Some(same) = of(&|issuer| issuer.settings == settings) {
                return Ok(Arc::clone(same));
            }
            match of(&|issuer| settings.has_keys_of(&issuer.settings)) {
                Some(other) => Issuer::with_keys_of(other, settings),
                None => Issuer::new(settings, Arc::clone(&self.metrics)),
            }
            .map(Arc::new)
        };
        Ok(Self {
            issuers: issuers.into_iter().map(one).collect::<Result<_, _>>()?,
            remembered: Arc::clone(&self.remembered),
            metrics: Arc::clone(&self.metrics),
            waiting: Semaphore::new(WAITING),
        })
    }

    /// Begins to fetch every issuer's keys and to keep them fresh, in the background. Once is enough.
    pub fn start(&self) {
        for issuer in &self.issuers {
            issuer.start();
        }
    }

    /// Waits until the keys of each issuer were had, or could not be: 5 s at most.
    pub async fn first_keys(&self) {
        let mut waiting: JoinSet<()> = JoinSet::new();
        for issuer in &self.issuers {
            let issuer = Arc::clone(issuer);
            waiting.spawn(async move { issuer.first_keys().await });
        }
        while waiting.join_next().await.is_some() {}
    }

    /// The issuers, by name and URL.
    pub fn names(&self) -> impl Iterator<Item = (&str, &str)> {
        self.issuers.iter().map(|issuer| (&*issuer.settings.name, issuer.settings.url.as_str()))
    }

    /// Looks at every caller whom the token cache remembers.
    pub fn for_each_remembered(&self, mut look: impl FnMut(&Verified, &M)) {
        for caller in self.remembered.callers() {
            look(caller.verified(), caller.memo());
        }
    }

    /// How each issuer's keys are.
    pub fn status(&self) -> Vec<IssuerStatus> {
        self.issuers.iter().map(|issuer| issuer.status()).collect()
    }

    /// Verifies the caller of a request by its headers.
    ///
    /// # Errors
    /// [`AuthError`] tells whether the token is absent, expired, or bad in another way.
    pub async fn verify(&self, headers: &HeaderMap) -> Result<Arc<Caller<M>>, AuthError> {
        let mut issuer = None;
        let verified = self.verify_at(clock::now(), headers, &mut issuer).await;
        let name = issuer.map_or("unknown", |issuer: &Arc<Issuer>| &*issuer.settings.name);
        match (&verified, issuer) {
            (Ok((_, true)), Some(issuer)) => issuer.remembered.one_more(),
            (Ok(_), _) => self.metrics.token_checked(name, "verified"),
            (Err(error), _) => self.metrics.token_checked(name, error.reason().as_str()),
        }
        verified.map(|(caller, _)| caller)
    }

    /// The caller, and whether they were remembered; `issuer` becomes the one that was asked.
    async fn verify_at<'a>(
        &'a self,
        now: SystemTime,
        headers: &HeaderMap,
        issuer: &mut Option<&'a Arc<Issuer>>,
    ) -> Result<(Arc<Caller<M>>, bool), AuthError> {
        let token = bearer::find(headers)?;
        let digest: [u8; 32] = Sha256::digest(token).into();
        if let Some(entry) = self.remembered.get(&digest) {
            let known = self.issuers.iter().find(|issuer| issuer.id == entry.issuer);
            let signed = known.and_then(|issuer| issuer.keys()).is_some_and(|keys| keys.contains(&entry.key));
            if signed && now < entry.until {
                *issuer = known;
                return Ok((entry.caller, true));
            }
            self.remembered.forget(&digest);
        }
        let parsed = UnverifiedToken::of(token)?;
        let named = self.issuers.iter().find(|issuer| parsed.issuer() == Some(&issuer.settings.url));
        let asked = named.ok_or_else(|| parsed.invalid(InvalidReason::Issuer))?;
        *issuer = Some(asked);
        let settings = &asked.settings;
        let algorithm = parsed.check_header(settings)?;
        let good = match check(asked, &parsed, algorithm, now) {
            // Perhaps the issuer has a new key, be it under a new id, an old one or none.
            Err(error) if error.is_about_keys() => {
                let Some(refreshed) = asked.refresh_for_unknown_key() else { return Err(error) };
                // Only now: strangers who take every place must not keep the keys from being fetched.
                let _waiting = self.waiting.try_acquire().map_err(|_| asked.unavailable())?;
                refreshed.await;
                check(asked, &parsed, algorithm, now)?
            }
            checked => checked?,
        };
        let verified =
            Verified { issuer: Arc::clone(&settings.name), claims: parsed.claims, expires: good.expires };
        let caller = Arc::new(Caller { verified, memo: M::default() });
        let entry = token_cache::Entry::new(Arc::clone(&caller), asked.id, good.key, good.until);
        self.remembered.put(digest, entry);
        Ok((caller, false))
    }
}

/// Checks a token with the keys that its issuer has now.
fn check(
    issuer: &Issuer,
    parsed: &UnverifiedToken<'_>,
    algorithm: jsonwebtoken::Algorithm,
    now: SystemTime,
) -> Result<verify::Good, AuthError> {
    let keys = issuer.keys().ok_or_else(|| issuer.unavailable())?;
    parsed.verify(&issuer.settings, &keys, algorithm, now)
}

#[cfg(test)]
impl Verified {
    /// Somebody out of thin air, for the tests of the stages behind.
    pub(crate) fn for_tests(issuer: &str, claims: Map<String, Value>) -> Self {
        Self { issuer: issuer.into(), claims, expires: SystemTime::UNIX_EPOCH }
    }
}

#[cfg(test)]
impl<M: Memo> Caller<M> {
    /// As [`Verified::for_tests`], with nothing remembered.
    pub(crate) fn for_tests(issuer: &str, claims: Map<String, Value>) -> Self {
        Self { verified: Verified::for_tests(issuer, claims), memo: M::default() }
    }
}
