//! Authentication: finds the token in a request's headers and verifies it against its issuer. This stage knows
//! nothing of AWS.
//!
//! One cache keeps verified callers under the SHA-256 of their token, so a repeated token costs one hash and one
//! look-up. An entry is valid until its token expires, its signing key is withdrawn, or the settings of its issuer
//! change.

use std::sync::Arc;
use std::time::SystemTime;

use http::HeaderMap;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::auth::issuer::IssuerSettings;
use crate::auth::key_refresh::Issuer;
use crate::auth::token_cache::TokenCache;
use crate::clock;
use crate::proxy::Proxy;
use crate::reason::Reason;
use crate::telemetry::metrics::Metrics;

pub use crate::auth::fetch::IssuerSetupError;
pub use crate::auth::key_refresh::{IssuerStatus, usable_keys};
pub use crate::auth::keys::{KeySetFault, check_key_set};
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

/// A caller whose token was verified. Only this module creates one.
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

    /// All claims of the token, as the issuer wrote them.
    pub fn claims(&self) -> &Map<String, Value> {
        &self.claims
    }

    pub fn subject(&self) -> Option<&str> {
        self.claims.get("sub")?.as_str()
    }

    pub fn jti(&self) -> Option<&str> {
        self.claims.get("jti")?.as_str()
    }

    /// The time at which the token expires (`exp`).
    pub fn expires(&self) -> SystemTime {
        self.expires
    }
}

/// Most requests that may wait for a refresh of keys at the same time. A client without a valid token can cause such
/// a wait, so these requests must not use up the slots of requests that need no refresh.
const WAITING: usize = 256;

/// Data that the next stage keeps with a caller.
pub trait Memo: Default + Send + Sync + 'static {
    /// Approximate memory of the data, bytes. It grows as the stage keeps more.
    fn bytes(&self) -> usize;
}

/// A verified caller, with the data that the next stage keeps for them.
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

/// Claims of a rejected token, not verified; for the log only.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UnverifiedClaims {
    pub issuer: Option<String>,
    pub subject: Option<String>,
}

/// Why a request has no verified caller. The texts are for the operator, not for the caller.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    #[error("the request carries no token")]
    Missing,
    #[error("the token has expired")]
    Expired { unverified: UnverifiedClaims },
    #[error("the request carries two different tokens")]
    TokensDiffer,
    #[error("a header that carries a token appears more than once")]
    HeaderRepeated,
    #[error("the token is longer than 32 KiB")]
    Oversized,
    /// `detail` names the values that do not match. Those of the token are truncated.
    #[error("token rejected: {detail}")]
    Invalid { reason: InvalidReason, detail: String, unverified: Option<UnverifiedClaims> },
    /// Not the caller's fault: the signing keys that could verify the token are not there.
    #[error("the signing keys of issuer {issuer} are not available yet")]
    KeysUnavailable { issuer: Arc<str> },
}

/// The kind of fault that a rejected token has.
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
    /// A required time is missing, or a time is not a number.
    Claims,
}

impl AuthError {
    fn malformed(fault: &str) -> Self {
        let detail = format!("it is not a JWT: {fault}");
        Self::Invalid { reason: InvalidReason::Malformed, detail, unverified: None }
    }

    /// Whether the token might be accepted with newer keys of its issuer.
    fn is_about_keys(&self) -> bool {
        matches!(
            self,
            Self::KeysUnavailable { .. }
                | Self::Invalid { reason: InvalidReason::KeyUnknown | InvalidReason::Signature, .. }
        )
    }

    /// The reason that the access log and the metrics show.
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

    /// Claims of the rejected token, not verified.
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

/// Verifies callers. `M` is the data that the next stage keeps for each.
pub struct Authenticator<M> {
    issuers: Vec<Arc<Issuer>>,
    /// Shared with the authenticators of earlier and later configurations. Each entry names its issuer, so no entry
    /// is valid under settings that it was not verified with.
    remembered: Arc<TokenCache<M>>,
    metrics: Arc<Metrics>,
    waiting: Semaphore,
    /// The proxy of the connections to issuers.
    proxy: Proxy,
}

impl<M> std::fmt::Debug for Authenticator<M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authenticator").field("issuers", &self.issuers.len()).finish_non_exhaustive()
    }
}

impl<M: Memo> Authenticator<M> {
    /// Sets up `issuers`, without any network traffic.
    ///
    /// # Errors
    /// When an issuer's CA file cannot be read.
    pub fn new(
        issuers: Vec<IssuerSettings>,
        limits: CacheLimits,
        metrics: Arc<Metrics>,
    ) -> Result<Self, IssuerSetupError> {
        Self::through(Proxy::default(), issuers, limits, metrics)
    }

    /// An authenticator that fetches the keys through `proxy`.
    ///
    /// # Errors
    /// The errors of [`Authenticator::new`].
    pub fn through(
        proxy: Proxy,
        issuers: Vec<IssuerSettings>,
        limits: CacheLimits,
        metrics: Arc<Metrics>,
    ) -> Result<Self, IssuerSetupError> {
        // An error means that a provider is installed already. The build contains only this one.
        let _already = jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER.install_default().is_err();
        let issuers = issuers
            .into_iter()
            .map(|settings| Issuer::new(settings, &proxy, Arc::clone(&metrics)).map(Arc::new))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            issuers,
            proxy,
            remembered: Arc::new(TokenCache::new(limits)),
            metrics,
            waiting: Semaphore::new(WAITING),
        })
    }

    /// The authenticator of the next configuration. An issuer with unchanged settings keeps its signing keys and its
    /// cached callers. An issuer whose keys come from the same place keeps its keys only.
    ///
    /// # Errors
    /// The errors of [`Authenticator::new`].
    pub fn successor(&self, issuers: Vec<IssuerSettings>) -> Result<Self, IssuerSetupError> {
        let one = |settings: IssuerSettings| {
            let of = |like: &dyn Fn(&Issuer) -> bool| self.issuers.iter().find(|issuer| like(issuer));
            if let Some(same) = of(&|issuer| issuer.settings == settings) {
                return Ok(Arc::clone(same));
            }
            match of(&|issuer| settings.has_keys_of(&issuer.settings)) {
                Some(other) => Issuer::with_keys_of(other, settings),
                None => Issuer::new(settings, &self.proxy, Arc::clone(&self.metrics)),
            }
            .map(Arc::new)
        };
        Ok(Self {
            issuers: issuers.into_iter().map(one).collect::<Result<_, _>>()?,
            proxy: self.proxy.clone(),
            remembered: Arc::clone(&self.remembered),
            metrics: Arc::clone(&self.metrics),
            waiting: Semaphore::new(WAITING),
        })
    }

    /// Starts the background tasks that fetch the signing keys of every issuer and keep them fresh. Further calls do
    /// nothing.
    pub fn start(&self) {
        for issuer in &self.issuers {
            issuer.start();
        }
    }

    /// Waits until the first fetch of each issuer's keys has succeeded or failed: 5 s at most.
    pub async fn first_keys(&self) {
        let mut waiting: JoinSet<()> = JoinSet::new();
        for issuer in &self.issuers {
            let issuer = Arc::clone(issuer);
            waiting.spawn(async move { issuer.first_keys().await });
        }
        while waiting.join_next().await.is_some() {}
    }

    /// Name and URL of each issuer.
    pub fn names(&self) -> impl Iterator<Item = (&str, &str)> {
        self.issuers.iter().map(|issuer| (&*issuer.settings.name, issuer.settings.url.as_str()))
    }

    /// Frees the memory of expired tokens. It looks at all callers in the token cache, which takes too long for a thread
    /// that serves requests.
    pub fn sweep(&self) {
        self.remembered.sweep(clock::now());
    }

    /// Calls `look` with every caller in the token cache, which takes too long for a thread that serves requests.
    pub fn for_each_remembered(&self, mut look: impl FnMut(&Verified, &M)) {
        for caller in self.remembered.callers() {
            look(caller.verified(), caller.memo());
        }
    }

    /// The state of each issuer's signing keys.
    pub fn status(&self) -> Vec<IssuerStatus> {
        self.issuers.iter().map(|issuer| issuer.status()).collect()
    }

    /// Verifies the token in a request's headers and returns its caller.
    ///
    /// # Errors
    /// [`AuthError`] says whether the token is absent, expired or invalid in another way.
    pub async fn verify(&self, headers: &HeaderMap) -> Result<Arc<Caller<M>>, AuthError> {
        let mut issuer = None;
        let verified = self.verify_at(clock::now(), headers, &mut issuer).await;
        let name = issuer.map_or("unknown", |issuer: &Arc<Issuer>| &*issuer.settings.name);
        if let Ok((_, cached)) = &verified {
            tracing::debug!(issuer = name, cached, "token verified");
        }
        match (&verified, issuer) {
            (Ok((_, true)), Some(issuer)) => issuer.remembered.one_more(),
            (Ok(_), _) => self.metrics.token_checked(name, "verified"),
            (Err(error), _) => self.metrics.token_checked(name, error.reason().as_str()),
        }
        verified.map(|(caller, _)| caller)
    }

    /// The caller, and whether they were in the cache. `issuer` is set to the issuer that the token names.
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
        let named = named.ok_or_else(|| self.unknown_issuer(&parsed))?;
        *issuer = Some(named);
        let settings = &named.settings;
        let algorithm = parsed.check_header(settings)?;
        let accepted = match check(named, &parsed, algorithm, now) {
            // The issuer may have a new signing key: with a new id, with the id of an old key, or without any id.
            Err(error) if error.is_about_keys() => {
                let Some(refreshed) = named.refresh_for_unknown_key() else { return Err(error) };
                // Only after the refresh has started: tokens with made-up keys that use every slot must not
                // prevent it.
                let _waiting = self.waiting.try_acquire().map_err(|_| named.unavailable())?;
                refreshed.await;
                check(named, &parsed, algorithm, now)?
            }
            checked => checked?,
        };
        let verified =
            Verified { issuer: Arc::clone(&settings.name), claims: parsed.claims, expires: accepted.expires };
        let caller = Arc::new(Caller { verified, memo: M::default() });
        let entry = token_cache::Entry::new(Arc::clone(&caller), named.id, accepted.key, accepted.until);
        self.remembered.put(digest, entry);
        Ok((caller, false))
    }

    /// The error for a token whose `iss` is not the URL of any issuer. It names an issuer whose URL differs only in
    /// letter case or a final slash, because the operator probably intended that one.
    fn unknown_issuer(&self, parsed: &UnverifiedToken<'_>) -> AuthError {
        let Some(iss) = parsed.issuer() else {
            return parsed.invalid(InvalidReason::Issuer, "iss is missing or not a text".to_owned());
        };
        let roughly = |url: &str| url.trim_end_matches('/').to_ascii_lowercase();
        let rough = roughly(iss);
        let similar = self.issuers.iter().find(|issuer| roughly(&issuer.settings.url) == rough);
        let iss = unverified::quoted(iss);
        let detail = match similar {
            Some(similar) => {
                let IssuerSettings { name, url, .. } = &similar.settings;
                format!(
                    "iss {iss} is not the url of issuer {name}, {url:?}; both must be equal to the character"
                )
            }
            None => format!("iss {iss} is not the url of any issuer"),
        };
        parsed.invalid(InvalidReason::Issuer, detail)
    }
}

/// Checks a token with the signing keys that the gateway has now.
fn check(
    issuer: &Issuer,
    parsed: &UnverifiedToken<'_>,
    algorithm: jsonwebtoken::Algorithm,
    now: SystemTime,
) -> Result<verify::Accepted, AuthError> {
    let keys = issuer.keys().ok_or_else(|| issuer.unavailable())?;
    parsed.verify(&issuer.settings, &keys, algorithm, now)
}

#[cfg(test)]
impl Verified {
    /// A caller without any token, for the tests of later stages.
    pub(crate) fn for_tests(issuer: &str, claims: Map<String, Value>) -> Self {
        Self { issuer: issuer.into(), claims, expires: SystemTime::UNIX_EPOCH }
    }
}

#[cfg(test)]
impl<M: Memo> Caller<M> {
    /// The caller of [`Verified::for_tests`], with empty data of the next stage.
    pub(crate) fn for_tests(issuer: &str, claims: Map<String, Value>) -> Self {
        Self { verified: Verified::for_tests(issuer, claims), memo: M::default() }
    }
}
