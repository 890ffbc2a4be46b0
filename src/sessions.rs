//! Sessions: for an identity, the credentials that STS granted it.
//!
//! A session is asked of STS once and lifetime, however many requests want it, and renewed ahead of
//! its end while requests go on with what there is. Every call goes through one map of flights.

mod cache;
mod cached_session;
mod flights;
mod name_limits;
pub mod own_credentials;
mod rate;
mod refusals;
mod session;
mod signing_keys;
pub mod sts;
mod transport;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use parking_lot::{Mutex, MutexGuard};
use tokio::time::{Instant, timeout};

use self::cache::Cache;
use self::cached_session::CachedSession;
use self::flights::{Flights, Lost};
use self::name_limits::NameLimits;
pub use self::rate::Rate;
use self::refusals::Refusals;
pub use self::session::{Lookup, Ready, Session, SessionRecord};
pub use self::signing_keys::{Scope, SigningKey};
use self::sts::STS_DEADLINE;
pub use self::sts::{AssumeRole, Issued, StsError, StsFailure};
pub use self::transport::{StsSettings, StsSetupError};
use crate::authorize::Authorized;
use crate::clock;
use crate::identity::SessionIdentity;
use crate::reason::Reason;
use crate::revoke::Clearance;
use crate::telemetry::metrics::{Count, Metrics};

/// A session with less than this to run is renewed as urgently as one that is missing.
const URGENT: Duration = Duration::from_mins(1);
/// A session that Bedrock refused is not replaced again for this long.
const REPLACED_ONCE_IN: Duration = Duration::from_mins(1);

/// The table `[sessions]`, but for the lifetime, which is part of each identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionSettings {
    /// How long before its end a session is renewed; never more than a fifth of its lifetime.
    pub refresh_before: Duration,
    /// Sessions kept at most; the least recently used go first.
    pub capacity: u64,
    /// `AssumeRole` calls per second of this process.
    pub max_sts_rate: u32,
    /// Live sessions of one (role, session name), and new ones of it per minute.
    pub per_name: usize,
}

/// Every session of this process.
pub struct Sessions {
    cache: Cache,
    refusals: Refusals,
    flights: Flights<Arc<SessionIdentity>, Result<Arc<CachedSession>, SessionError>>,
    names: NameLimits,
    rate: Rate,
    /// When the session of each identity was last replaced because Bedrock refused it.
    replaced: Mutex<HashMap<Arc<SessionIdentity>, Instant>>,
    refresh_before: Duration,
    sts: Box<dyn AssumeRole>,
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
            cache: Cache::new(settings.capacity, now, Arc::clone(&metrics)),
            refusals: Refusals::new(),
            flights: Flights::new(),
            names: NameLimits::new(settings.per_name),
            rate: Rate::new(settings.max_sts_rate),
            replaced: Mutex::new(HashMap::new()),
            refresh_before: settings.refresh_before,
            sts: Box::new(sts),
            hits: metrics.session_hits(),
            metrics,
            now,
        })
    }

    /// The call with the session of its identity: from the cache, otherwise from STS. Only what is authorized and
    /// cleared may ask, so that no refused call costs an `AssumeRole`.
    ///
    /// # Errors
    /// When there is no session and STS cannot be asked for one or gave none; see [`SessionError`].
    pub async fn get(self: &Arc<Self>, cleared: Clearance, call: Authorized) -> Result<Ready, SessionError> {
        if !cleared.is_of(call.identity()) {
            return Err(SessionError::WrongClearance);
        }
        drop(cleared);
        let session = self.of(call.identity().session()).await?;
        Ok(Ready::new(call, session))
    }

    /// Gives the call another session in place of one whose credentials Bedrock refused. `false`: there is no
    /// other now, and Bedrock's refusal stands.
    pub async fn replace(self: &Arc<Self>, ready: &mut Ready) -> bool {
        let other = self.other_than(ready.session()).await;
        other.map(|session| ready.use_instead(session)).is_some()
    }

    /// Whoever stops waiting leaves the call to STS running; its session is there for the next.
    async fn of(self: &Arc<Self>, id: &Arc<SessionIdentity>) -> Result<Session, SessionError> {
        let answer = match self.cached(id) {
            Some(session) => Ok(session),
            None => Box::pin(self.obtain(id)).await,
        };
        match &answer {
            Ok(session) if session.lookup() == Lookup::Hit => self.hits.one_more(),
            Ok(session) => self.metrics.session_looked_up(session.lookup().as_str()),
            Err(SessionError::Denied { .. }) => self.metrics.session_looked_up("denied"),
            Err(_) => self.metrics.session_looked_up("failed"),
        }
        answer
    }

    /// A session in place of one whose credentials Bedrock refused: another that is there already, or
    /// else one that STS is asked for, once a minute at most. `None`: it was replaced a moment ago, or
    /// STS gives no other, and Bedrock's refusal stands. The refused one stays until there is another,
    /// since what one region refuses for a moment others may take.
    async fn other_than(self: &Arc<Self>, refused: &Session) -> Option<Session> {
        let id = refused.identity();
        let begun = self.flights.join_or_start(id, || {
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
            Ok(flight) => Some(Session::new(flight.landed().await.ok()?.ok()?, Lookup::Miss)),
            Err(other) => other.map(|live| {
                live.used((self.now)());
                Session::new(live, Lookup::Hit)
            }),
        }
    }

    /// Drops the sessions of principals that are `revoked`, and returns how many. STS takes nothing back: whoever
    /// knew their credentials could go on, but they never leave this process.
    pub fn forget(&self, revoked: impl Fn(&str) -> bool) -> usize {
        let dropped: Vec<_> =
            self.cache.iter((self.now)()).filter(|live| revoked(live.principal())).collect();
        for live in &dropped {
            self.cache.remove(live.id(), live.credentials().access_key_id());
        }
        self.metrics.sessions_cached(self.cache.len());
        dropped.len()
    }

    /// Whoever is cached now, without their secrets, in no order.
    pub fn list(&self) -> Vec<SessionRecord> {
        self.cache.iter((self.now)()).map(|live| SessionRecord::of(&live)).collect()
    }

    /// How many sessions are cached now; the metric of it is brought up to date.
    pub fn len(&self) -> u64 {
        let count = self.cache.len();
        self.metrics.sessions_cached(count);
        count
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What the cache has; if that is to be renewed, renewal is set going.
    fn cached(self: &Arc<Self>, id: &Arc<SessionIdentity>) -> Option<Session> {
        let now = (self.now)();
        let live = self.cache.get(id, now)?;
        live.used(now);
        let lookup = if live.renewal_due(now) {
            self.renew(&live, now);
            Lookup::Stale
        } else {
            Lookup::Hit
        };
        Some(Session::new(live, lookup))
    }

    /// The outcome of the flight that is under way, or of a new one.
    async fn obtain(self: &Arc<Self>, id: &Arc<SessionIdentity>) -> Result<Session, SessionError> {
        let begun = self.flights.join_or_start(id, || {
            // A flight may have landed since the cache was asked.
            if let Some(live) = self.cache.get(id, (self.now)()) {
                return Err(Ok(live));
            }
            if let Some(refusal) = self.refusals.get(id) {
                return Err(Err(refusal));
            }
            self.names.admit(id).map_err(|_| Err(SessionError::TooManySessions))?;
            Ok(Arc::clone(self).fly(Arc::clone(id), Turn::Queue))
        });
        let outcome = match begun {
            Ok(flight) => flight.landed().await.unwrap_or_else(|Lost| Err(SessionError::lost())),
            Err(settled) => settled,
        };
        outcome.map(|live| Session::new(live, Lookup::Miss))
    }

    /// Starts a renewal, unless one is under way, it is too soon after the last failure, or STS is
    /// wanted by others and there is time.
    fn renew(self: &Arc<Self>, live: &Arc<CachedSession>, now: SystemTime) {
        if !live.may_retry() {
            return;
        }
        let flight = self.flights.join_or_start(live.id(), || {
            // This renewal may have landed, or failed, since the cache was asked.
            let current = self.cache.get(live.id(), now);
            if !current.is_some_and(|current| Arc::ptr_eq(&current, live)) || !live.may_retry() {
                return Err(());
            }
            live.pause(false);
            let turn = if live.left(now) < URGENT { Turn::Queue } else { Turn::Spare };
            if turn == Turn::Spare && !self.rate.take_spare() {
                return Err(());
            }
            Ok(Arc::clone(self).renewal(Arc::clone(live.id()), turn))
        });
        // Nobody waits for it here; a miss that meets it does.
        drop(flight);
    }

    async fn renewal(
        self: Arc<Self>,
        id: Arc<SessionIdentity>,
        turn: Turn,
    ) -> Result<Arc<CachedSession>, SessionError> {
        let metrics = Arc::clone(&self.metrics);
        let outcome = self.fly(id, turn).await;
        metrics.session_renewed(match &outcome {
            Ok(_) => "ok",
            Err(SessionError::Denied { .. }) => "denied",
            Err(_) => "failed",
        });
        outcome
    }

    /// One flight: a call to STS, and what is remembered of its outcome.
    async fn fly(
        self: Arc<Self>,
        id: Arc<SessionIdentity>,
        turn: Turn,
    ) -> Result<Arc<CachedSession>, SessionError> {
        match self.ask(&id, turn).await {
            Ok(issued) => Ok(self.keep(id, issued)),
            Err(error) => {
                if let Some(live) = self.cache.get(&id, (self.now)()) {
                    live.pause(true);
                    tracing::warn!(
                        principal = live.principal(),
                        usable_seconds = live.left((self.now)()).as_secs(),
                        %error,
                        "a session could not be renewed yet"
                    );
                } else {
                    self.refusals.insert(&id, &error);
                }
                Err(error)
            }
        }
    }

    async fn ask(&self, id: &Arc<SessionIdentity>, turn: Turn) -> Result<Issued, SessionError> {
        if turn == Turn::Queue {
            self.rate.turn().await.map_err(|_| {
                self.names.withdraw(id);
                SessionError::Overloaded
            })?;
        }
        let call = timeout(STS_DEADLINE, self.sts.assume_role(Arc::clone(id), &self.rate));
        let outcome = call.await.unwrap_or_else(|_| Err(StsError::deadline()));
        let outcome = outcome.map_err(SessionError::from).and_then(|issued| {
            // Used, it would be refused; kept, it would be asked for again by every request.
            if issued.expires > (self.now)() { Ok(issued) } else { Err(SessionError::ended()) }
        });
        self.metrics.sts_called(outcome.as_ref().err().map_or("ok", |error| error.reason().as_str()));
        outcome
    }

    fn keep(&self, id: Arc<SessionIdentity>, issued: Issued) -> Arc<CachedSession> {
        let live = Arc::new(CachedSession::new(id, issued, self.refresh_before, (self.now)()));
        self.cache.insert(&live);
        self.refusals.remove(live.id());
        if let Some(surplus) = self.names.granted(&live) {
            self.cache.remove(surplus.id(), surplus.credentials().access_key_id());
            self.metrics.session_evicted();
        }
        self.metrics.sessions_cached(self.cache.len());
        live
    }

    /// A renewal for a session that Bedrock refused.
    async fn replacement(
        self: Arc<Self>,
        id: Arc<SessionIdentity>,
    ) -> Result<Arc<CachedSession>, SessionError> {
        let sessions = Arc::clone(&self);
        let outcome = self.renewal(Arc::clone(&id), Turn::Queue).await;
        if outcome.is_ok() {
            sessions.replaced().insert(id, Instant::now());
        }
        outcome
    }

    /// Not within a minute of the last replacement, nor at once after a failed attempt.
    fn may_replace(&self, id: &Arc<SessionIdentity>) -> bool {
        let mut replaced = self.replaced();
        replaced.retain(|_, at| at.elapsed() < REPLACED_ONCE_IN);
        let refused = self.refusals.get(id).is_some();
        let paused =
            self.cache.get(id, (self.now)()).is_some_and(|live| live.has_failed() && !live.may_retry());
        !replaced.contains_key(id) && !refused && !paused
    }

    fn replaced(&self) -> MutexGuard<'_, HashMap<Arc<SessionIdentity>, Instant>> {
        self.replaced.lock()
    }
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions").field("refresh_before", &self.refresh_before).finish_non_exhaustive()
    }
}

/// How a flight comes to call STS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// In its turn, behind whoever waits already.
    Queue,
    /// At once, with a turn that was free and is taken.
    Spare,
}

/// Why there is no session. The texts are STS's and for the operator's log only.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SessionError {
    /// STS refuses this session for good: the role's policies or the operator's mapping are at fault.
    #[error("STS refuses this session: {code}: {message}")]
    Denied { code: String, message: String },
    /// STS gave no usable answer; it may later.
    #[error("STS gave no session ({failure}): {message}")]
    Unavailable { failure: StsFailure, message: String },
    /// STS refuses the gateway itself, or the gateway has no credentials: no caller's fault.
    #[error("STS refuses the gateway: {code}: {message}")]
    GatewayRefused { code: String, message: String },
    /// This session name had too many sessions, by differing tags, within a minute.
    #[error("too many sessions of one name within a minute")]
    TooManySessions,
    /// The clearance is another caller's.
    #[error("the clearance is not one of the call's identity")]
    WrongClearance,
    /// More sessions are wanted than STS may be asked for.
    #[error("the wait for STS would be too long")]
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

    fn lost() -> Self {
        let message = "the task that called STS broke off".to_owned();
        Self::Unavailable { failure: StsFailure::Failed, message }
    }

    fn ended() -> Self {
        let message = "the session has ended already by this machine's clock".to_owned();
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
