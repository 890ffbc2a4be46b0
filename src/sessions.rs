//! Sessions: the credentials that STS granted for each [`SessionIdentity`], the parameters of one `AssumeRole` call.
//!
//! The gateway calls STS once for each session and lifetime, however many requests need the session. It renews the
//! session before it expires; requests use the present one meanwhile. Requests share every call (`shared_calls`).

mod cache;
mod cached_session;
pub mod caller_identity;
mod callers;
mod canary;
mod denial_log;
pub mod diagnosis;
pub mod failure_text;
pub mod health;
mod name_limits;
pub mod own_credentials;
mod rate;
mod refusals;
mod replacements;
mod session;
mod shared_calls;
mod sigv4_keys;
pub mod sts;
mod transport;
pub mod trial;

use std::cmp::Reverse;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::time::timeout;

use self::cache::Cache;
use self::cached_session::CachedSession;
pub use self::callers::SessionCaller;
use self::denial_log::DenialLog;
use self::health::StsHealth;
use self::name_limits::NameLimits;
pub use self::rate::Rate;
use self::refusals::Refusals;
use self::replacements::Replacements;
pub use self::session::{Lookup, Ready, Session, SessionPage, SessionRecord};
use self::shared_calls::{NoOutcome, SharedCalls};
pub use self::sigv4_keys::{Scope, SigningKey};
pub use self::sts::{AssumeRole, Issued, STS_DEADLINE, StsError, StsFailure};
pub(crate) use self::transport::http_client;
pub use self::transport::{StsSettings, StsSetupError};
use crate::authorize::Authorized;
use crate::clock;
use crate::identity::SessionIdentity;
use crate::reason::Reason;
use crate::revoke::Clearance;
use crate::telemetry::metrics::{Count, Metrics};

/// A session with less time left than this is renewed through the queue, like a missing session.
const URGENT: Duration = Duration::from_mins(1);
/// The table `[sessions]`, except the lifetime, which is part of each identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionSettings {
    /// How long before it expires the gateway renews a session; at most a fifth of its lifetime.
    pub refresh_before: Duration,
    /// The most cached sessions. The least recently used one goes first.
    pub capacity: u64,
    /// The most `AssumeRole` calls per second of this process.
    pub max_sts_rate: u32,
    /// For one role and session name: at most this many live sessions, and this many new ones a minute.
    pub per_name: usize,
}

/// Every session of this process.
pub struct Sessions {
    cache: Cache,
    refusals: Refusals,
    calls: SharedCalls<Arc<SessionIdentity>, Result<Arc<CachedSession>, SessionError>>,
    names: NameLimits,
    rate: Rate,
    replacements: Replacements,
    refresh_before: Duration,
    sts: Box<dyn AssumeRole>,
    health: StsHealth,
    denials: DenialLog,
    hits: Count,
    metrics: Arc<Metrics>,
    now: fn() -> SystemTime,
}

impl Sessions {
    pub fn new(settings: &SessionSettings, sts: impl AssumeRole, metrics: Arc<Metrics>) -> Arc<Self> {
        Self::with_clock(settings, sts, metrics, clock::now)
    }

    fn with_clock(
        settings: &SessionSettings,
        sts: impl AssumeRole,
        metrics: Arc<Metrics>,
        now: fn() -> SystemTime,
    ) -> Arc<Self> {
        Arc::new(Self {
            cache: Cache::new(settings.capacity, Arc::clone(&metrics)),
            refusals: Refusals::new(),
            calls: SharedCalls::new(),
            names: NameLimits::new(settings.per_name),
            rate: Rate::new(settings.max_sts_rate),
            replacements: Replacements::new(settings.capacity),
            refresh_before: settings.refresh_before,
            sts: Box::new(sts),
            health: StsHealth::default(),
            denials: DenialLog::default(),
            hits: metrics.session_hits(),
            metrics,
            now,
        })
    }

    /// Returns the call with its session: from the cache, otherwise from STS. The caller must be authorized and not
    /// revoked ([`Clearance`]), so that no refused call costs an `AssumeRole`.
    ///
    /// # Errors
    /// When no session is cached and STS cannot be called or grants none; see [`SessionError`].
    pub async fn get(self: &Arc<Self>, cleared: Clearance, call: Authorized) -> Result<Ready, SessionError> {
        if !cleared.is_of(call.identity()) {
            return Err(SessionError::WrongClearance);
        }
        drop(cleared);
        let session = self.of(call.identity().session()).await?;
        Ok(Ready::new(call, session))
    }

    /// Replaces the session of a call whose credentials Bedrock refused. `false`: no other session is available now,
    /// and Bedrock's refusal is the answer.
    pub async fn replace(self: &Arc<Self>, ready: &mut Ready) -> bool {
        let other = self.other_than(ready.session()).await;
        other.map(|session| ready.use_instead(session)).is_some()
    }

    /// The session of an identity, and the count of the look-up. If the client leaves, the call to STS goes on; its
    /// session serves the next request.
    async fn of(self: &Arc<Self>, id: &Arc<SessionIdentity>) -> Result<Session, SessionError> {
        let answer = match self.cached(id) {
            Some(session) => Ok(session),
            None => Box::pin(self.fetch(id)).await,
        };
        match &answer {
            Ok(session) if session.lookup() == Lookup::Hit => self.hits.one_more(),
            Ok(session) => self.metrics.session_looked_up(session.lookup().as_str()),
            Err(SessionError::Denied { .. }) => self.metrics.session_looked_up("denied"),
            Err(_) => self.metrics.session_looked_up("failed"),
        }
        answer
    }

    /// Another session in place of one whose credentials Bedrock refused: a newer one of the cache, otherwise one from
    /// STS, at most once a minute. `None`: the session was replaced less than a minute ago, or STS grants no other;
    /// Bedrock's refusal is then the answer. The refused session stays in the cache until there is another: if one
    /// region refuses it for a moment, others may accept it.
    async fn other_than(self: &Arc<Self>, refused: &Session) -> Option<Session> {
        let id = refused.identity();
        let begun = self.calls.join_or_start(id, || {
            match self.cache.get(id, (self.now)()) {
                Some(other) if other.credentials().access_key_id() != refused.access_key_id() => {
                    return Err(Some(other));
                }
                Some(_) => {}
                None => self.names.admit(id).map_err(|_| None)?,
            }
            if self.may_replace(id) { Ok(Arc::clone(self).replacement(Arc::clone(id))) } else { Err(None) }
        });
        match begun {
            Ok(call) => Some(Session::new(call.outcome().await.ok()?.ok()?, Lookup::Miss)),
            Err(other) => other.map(|live| {
                live.mark_used((self.now)());
                Session::new(live, Lookup::Hit)
            }),
        }
    }

    /// Drops the cached sessions of all principals that are `revoked`, and returns the number of sessions. STS cannot
    /// withdraw their credentials: these stay valid until they expire, but they never leave this process. It looks at all
    /// sessions, which takes too long for a thread that serves requests.
    pub fn forget(&self, revoked: impl Fn(&str) -> bool) -> usize {
        let dropped: Vec<_> =
            self.cache.iter((self.now)()).filter(|live| revoked(live.principal())).collect();
        for live in &dropped {
            self.cache.remove(live.id(), live.credentials().access_key_id());
        }
        self.metrics.sessions_cached(self.cache.len());
        dropped.len()
    }

    /// Drops a session from the cache, unless another has taken its place.
    pub fn forget_one(&self, session: &Session) {
        self.cache.remove(session.identity(), session.access_key_id());
    }

    /// The cached sessions of all principals that match, without their secrets: at most `most` of them.
    pub fn page(&self, most: usize, matches: impl Fn(&str) -> bool) -> SessionPage {
        let sessions = self.cache.iter((self.now)()).filter(|live| matches(live.principal()));
        // Read once: the order must not change while the list is sorted.
        let mut sessions: Vec<_> = sessions.map(|live| (Reverse(live.last_used()), live)).collect();
        let matching = sessions.len();
        sessions.sort_unstable_by_key(|(used, _)| *used);
        sessions.truncate(most);
        SessionPage { sessions: sessions.iter().map(|(_, live)| SessionRecord::of(live)).collect(), matching }
    }

    /// Whether STS serves this gateway.
    pub fn sts_health(&self) -> &StsHealth {
        &self.health
    }

    /// Frees the memory of what has expired, and updates the metric. Not for a thread that serves requests.
    pub fn sweep(&self) {
        self.cache.sweep((self.now)());
        self.names.sweep();
        self.metrics.sessions_cached(self.cache.len());
    }

    /// The number of cached sessions. Expired ones count until the next [`Sessions::sweep`].
    pub fn len(&self) -> u64 {
        self.cache.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The cached session, if there is one. Starts its renewal when it is due.
    fn cached(self: &Arc<Self>, id: &Arc<SessionIdentity>) -> Option<Session> {
        let now = (self.now)();
        let live = self.cache.get(id, now)?;
        live.mark_used(now);
        let lookup = if live.renewal_due(now) {
            self.renew(&live, now);
            Lookup::Stale
        } else {
            Lookup::Hit
        };
        Some(Session::new(live, lookup))
    }

    /// The session from the shared call in progress, or from a new one.
    async fn fetch(self: &Arc<Self>, id: &Arc<SessionIdentity>) -> Result<Session, SessionError> {
        let begun = self.calls.join_or_start(id, || {
            // A call may have finished since the look-up in the cache.
            if let Some(live) = self.cache.get(id, (self.now)()) {
                return Err(Ok(live));
            }
            if let Some(refusal) = self.refusals.get(id) {
                return Err(Err(refusal));
            }
            self.names.admit(id).map_err(|_| Err(SessionError::TooManySessions))?;
            Ok(Arc::clone(self).request_session(Arc::clone(id), Turn::Queue))
        });
        let outcome = match begun {
            Ok(call) => call.outcome().await.unwrap_or_else(|NoOutcome| Err(SessionError::task_ended())),
            Err(settled) => settled,
        };
        outcome.map(|live| Session::new(live, Lookup::Miss))
    }

    /// Starts a renewal, except in three cases: one is in progress; the last one failed a moment ago; or it is not yet
    /// urgent, and the rate of calls has no spare turn.
    fn renew(self: &Arc<Self>, live: &Arc<CachedSession>, now: SystemTime) {
        if !live.may_retry() {
            return;
        }
        let call = self.calls.join_or_start(live.id(), || {
            // Another renewal may have replaced the session, or failed, since the look-up in the cache.
            let current = self.cache.get(live.id(), now);
            if !current.is_some_and(|current| Arc::ptr_eq(&current, live)) || !live.may_retry() {
                return Err(());
            }
            live.delay_next_renewal();
            let turn = if live.time_left(now) < URGENT { Turn::Queue } else { Turn::Spare };
            if turn == Turn::Spare && !self.rate.take_spare() {
                return Err(());
            }
            Ok(Arc::clone(self).renewal(Arc::clone(live.id()), turn))
        });
        // This request does not wait for the renewal. A request that finds no session joins it and waits.
        drop(call);
    }

    async fn renewal(
        self: Arc<Self>,
        id: Arc<SessionIdentity>,
        turn: Turn,
    ) -> Result<Arc<CachedSession>, SessionError> {
        let metrics = Arc::clone(&self.metrics);
        let outcome = self.request_session(id, turn).await;
        metrics.session_renewed(match &outcome {
            Ok(_) => "ok",
            Err(SessionError::Denied { .. }) => "denied",
            Err(_) => "failed",
        });
        outcome
    }

    /// Calls STS, then keeps the session or remembers the failure. Only a shared call runs this.
    async fn request_session(
        self: Arc<Self>,
        id: Arc<SessionIdentity>,
        turn: Turn,
    ) -> Result<Arc<CachedSession>, SessionError> {
        match self.call_sts(&id, turn).await {
            Ok(issued) => Ok(self.keep(id, issued)),
            Err(error) => {
                if let SessionError::Denied { code, message } = &error {
                    self.denials.note(code, message, &id);
                }
                if let Some(live) = self.cache.get(&id, (self.now)()) {
                    live.note_failed_renewal();
                    let usable_seconds = live.time_left((self.now)()).as_secs();
                    let (principal, why) = (
                        live.principal(),
                        "session not renewed; the gateway uses the old one until it expires",
                    );
                    // A failure of STS concerns every session; the problem `sts` warns once.
                    if matches!(error, SessionError::Denied { .. }) {
                        tracing::warn!(principal, usable_seconds, %error, "{why}");
                    } else {
                        tracing::debug!(principal, usable_seconds, %error, "{why}");
                    }
                } else {
                    self.refusals.insert(&id, &error);
                }
                Err(error)
            }
        }
    }

    async fn call_sts(&self, id: &Arc<SessionIdentity>, turn: Turn) -> Result<Issued, SessionError> {
        if turn == Turn::Queue {
            self.rate.turn().await.map_err(|_| {
                self.names.withdraw(id);
                SessionError::Overloaded
            })?;
        }
        self.request(id).await
    }

    /// Calls STS. The calling code has taken the turn of the first attempt.
    async fn request(&self, id: &Arc<SessionIdentity>) -> Result<Issued, SessionError> {
        let limit = self.sts.deadline();
        let call = timeout(limit, self.sts.assume_role(Arc::clone(id), &self.rate));
        tracing::debug!(
            role_arn = id.role_arn().as_str(),
            session_name = id.name().as_str(),
            "calling AssumeRole"
        );
        let outcome = call.await.unwrap_or_else(|_| Err(StsError::deadline(limit)));
        let outcome = outcome.map_err(SessionError::from).and_then(|issued| {
            // Bedrock would refuse an expired session, and a cached one would make every request call STS.
            if issued.expires > (self.now)() { Ok(issued) } else { Err(SessionError::expired_on_arrival()) }
        });
        self.health.session(&outcome);
        let word = outcome.as_ref().err().map_or("ok", |error| error.reason().as_str());
        self.metrics.sts_called(word);
        tracing::debug!(
            role_arn = id.role_arn().as_str(),
            session_name = id.name().as_str(),
            outcome = word,
            "AssumeRole answered"
        );
        outcome
    }

    fn keep(&self, id: Arc<SessionIdentity>, issued: Issued) -> Arc<CachedSession> {
        let now = (self.now)();
        let old = self.cache.get(&id, now);
        let live = CachedSession::new(id, issued, self.refresh_before, now);
        let live = Arc::new(match old {
            Some(old) => live.in_place_of(&old),
            None => live,
        });
        self.cache.insert(&live);
        self.refusals.remove(live.id());
        if let Some(surplus) = self.names.granted(&live) {
            self.cache.remove(surplus.id(), surplus.credentials().access_key_id());
            self.metrics.session_evicted();
        }
        self.metrics.sessions_cached(self.cache.len());
        live
    }

    /// Renews a session whose credentials Bedrock refused.
    async fn replacement(
        self: Arc<Self>,
        id: Arc<SessionIdentity>,
    ) -> Result<Arc<CachedSession>, SessionError> {
        let sessions = Arc::clone(&self);
        let outcome = self.renewal(Arc::clone(&id), Turn::Queue).await;
        if outcome.is_ok() {
            sessions.replacements.note(id);
        }
        outcome
    }

    /// Whether a session may be replaced: not within a minute of its last replacement, and not at once after a failed
    /// attempt.
    fn may_replace(&self, id: &Arc<SessionIdentity>) -> bool {
        let replaced = self.replacements.was_recent(id);
        let refused = self.refusals.get(id).is_some();
        let live = self.cache.get(id, (self.now)());
        let paused = live.is_some_and(|live| live.has_failed() && !live.may_retry());
        !replaced && !refused && !paused
    }
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions").field("refresh_before", &self.refresh_before).finish_non_exhaustive()
    }
}

/// How a shared call gets its turn to call STS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// In the queue, behind the calls that already wait.
    Queue,
    /// At once, with a spare turn that `renew` has already taken.
    Spare,
}

/// Why there is no session. All texts are for the operator's log only. Those of `Denied` come from STS, those of
/// `Unavailable` and `GatewayRefused` from STS or from the gateway.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SessionError {
    /// STS refused this session, and will refuse it again: the role's policies or the operator's mapping are wrong.
    #[error("STS refused the session; check the role's trust policy and the mapping: {code}: {message}")]
    Denied { code: String, message: String },
    /// STS gave no usable answer, or a second call got no turn. A later call may succeed.
    #[error("{failure}: {message}")]
    Unavailable { failure: StsFailure, message: String },
    /// STS refused the gateway itself, or the gateway has no credentials. The caller did nothing wrong.
    #[error(
        "the gateway cannot call STS; check its own credentials, its clock and its region: {code}: {message}"
    )]
    GatewayRefused { code: String, message: String },
    /// Requests needed too many new sessions of one role and session name, with different tags, within a minute.
    #[error(
        "one role and session name needed more new sessions within a minute than [sessions] per_name allows; \
         do not map to tags what changes with each request"
    )]
    TooManySessions,
    /// The [`Clearance`], which proves that a caller is not revoked, belongs to another caller.
    #[error("the clearance belongs to another identity than the call's")]
    WrongClearance,
    /// Requests need more new sessions than the configured rate of `AssumeRole` calls allows.
    #[error(
        "this AssumeRole call would wait longer than 10 s for its turn; raise [sessions] max_sts_rate, within \
         STS's quota"
    )]
    Overloaded,
}

impl SessionError {
    /// The reason in the access log and in metrics.
    pub fn reason(&self) -> Reason {
        match self {
            Self::Denied { .. } => Reason::StsDenied,
            Self::Unavailable { failure, .. } => failure.reason(),
            Self::GatewayRefused { .. } => Reason::StsRefusesGateway,
            Self::TooManySessions => Reason::TooManySessions,
            Self::WrongClearance => Reason::SessionMismatch,
            Self::Overloaded => Reason::StsRateExhausted,
        }
    }

    fn task_ended() -> Self {
        let message = "the gateway's task that called STS ended early".to_owned();
        Self::Unavailable { failure: StsFailure::Failed, message }
    }

    fn expired_on_arrival() -> Self {
        let message = "the session had already expired by this machine's clock; check the clock".to_owned();
        Self::Unavailable { failure: StsFailure::Failed, message }
    }
}

impl From<StsError> for SessionError {
    fn from(error: StsError) -> Self {
        match error {
            StsError::Denied { code, message } => Self::Denied { code, message },
            StsError::Unavailable { failure, message } => Self::Unavailable { failure, message },
            StsError::GatewayRefused { code, message } => Self::GatewayRefused { code, message },
        }
    }
}

#[cfg(test)]
mod tests;
