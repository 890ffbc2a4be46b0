//! What is remembered and for how long: live sessions until shortly before they end, refusals for
//! seconds.
//!
//! moka's own expiry only clears away: it goes by a clock of its own. Whether an entry still counts
//! is decided here, by the clock that everything else goes by.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_credential_types::Credentials;
use foldhash::quality::RandomState;
use http::HeaderValue;
use moka::notification::RemovalCause;
use moka::ops::compute::Op;
use moka::policy::EvictionPolicy;
use moka::{Expiry, sync};
use tokio::time::Instant;

use super::signing_keys::SigningKeys;
use super::{Issued, SessionError, jitter};
use crate::identity::SessionIdentity;
use crate::telemetry::metrics::Metrics;

/// How long before its end a session is no longer used: this, or this part of its lifetime,
/// whichever is less. A request signed with it must still reach Bedrock.
const MARGIN: Duration = Duration::from_secs(5);
const MARGIN_PART: u32 = 20;
/// The largest part of a lifetime that renewal may come ahead: a fifth.
const WINDOW_PART: u32 = 5;
/// The first pause after a failed renewal is this part of the window, then twice, then four times.
const PAUSE_PART: u32 = 32;

/// How long a denial is remembered.
const DENIAL: Duration = Duration::from_secs(5);
/// The first and the longest pause after STS failed a caller who had no session.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// How many callers without a session are remembered, and how long the count of their failures.
const REFUSALS: u64 = 10_000;
const REFUSALS_KEPT: Duration = Duration::from_mins(1);

/// A session that STS granted, with what is known of it.
pub(super) struct Live {
    id: Arc<SessionIdentity>,
    principal: Box<str>,
    credentials: Credentials,
    token: HeaderValue,
    signing_keys: SigningKeys,
    expires: SystemTime,
    /// From here on it counts as gone.
    usable_until: SystemTime,
    /// From here on it is to be renewed.
    renew_from: SystemTime,
    /// Between that and its end.
    window: Duration,
    /// Nanoseconds since 1970.
    used: AtomicU64,
    retry: Mutex<Retry>,
}

/// When renewal may be tried again.
struct Retry {
    failures: u32,
    not_before: Instant,
}

impl Live {
    /// `refresh_before` is how long before its end a session is renewed.
    pub(super) fn new(
        id: Arc<SessionIdentity>,
        issued: Issued,
        refresh_before: Duration,
        now: SystemTime,
    ) -> Self {
        let lifetime = issued.expires.duration_since(now).unwrap_or_default();
        let window = jitter::up_to(refresh_before.min(lifetime / WINDOW_PART));
        Self {
            principal: id.principal().into(),
            id,
            credentials: issued.credentials,
            token: issued.token,
            signing_keys: SigningKeys::default(),
            expires: issued.expires,
            usable_until: issued.expires - MARGIN.min(lifetime / MARGIN_PART),
            renew_from: issued.expires - window,
            window,
            used: AtomicU64::new(nanoseconds(now)),
            retry: Mutex::new(Retry { failures: 0, not_before: Instant::now() }),
        }
    }

    pub(super) fn id(&self) -> &Arc<SessionIdentity> {
        &self.id
    }

    pub(super) fn principal(&self) -> &str {
        &self.principal
    }

    pub(super) fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    pub(super) fn token(&self) -> &HeaderValue {
        &self.token
    }

    pub(super) fn signing_keys(&self) -> &SigningKeys {
        &self.signing_keys
    }

    pub(super) fn expires(&self) -> SystemTime {
        self.expires
    }

    /// How much longer it can be used.
    pub(super) fn left(&self, now: SystemTime) -> Duration {
        self.usable_until.duration_since(now).unwrap_or_default()
    }

    pub(super) fn renewal_due(&self, now: SystemTime) -> bool {
        now >= self.renew_from
    }

    pub(super) fn may_retry(&self) -> bool {
        Instant::now() >= self.retry().not_before
    }

    /// Whether STS has failed to renew it.
    pub(super) fn has_failed(&self) -> bool {
        self.retry().failures > 0
    }

    /// Renewal failed, or is about to be tried and may fail unnoticed.
    pub(super) fn pause(&self, failed: bool) {
        let mut retry = self.retry();
        let doublings = retry.failures.min(2);
        retry.failures += u32::from(failed);
        retry.not_before = Instant::now() + jitter::up_to(self.window / PAUSE_PART * (1 << doublings));
    }

    pub(super) fn used(&self, now: SystemTime) {
        self.used.store(nanoseconds(now), Ordering::Relaxed);
    }

    pub(super) fn last_used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    fn retry(&self) -> std::sync::MutexGuard<'_, Retry> {
        self.retry.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn nanoseconds(at: SystemTime) -> u64 {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// Live sessions, the least recently used given up first when there are too many.
pub(super) struct Cache(sync::Cache<Arc<SessionIdentity>, Arc<Live>, RandomState>);

impl Cache {
    pub(super) fn new(capacity: u64, now: fn() -> SystemTime, metrics: Arc<Metrics>) -> Self {
        let sessions = sync::Cache::builder()
            .max_capacity(capacity)
            // moka's default refuses newcomers for as long as the others are busier.
            .eviction_policy(EvictionPolicy::lru())
            .expire_after(UntilUnusable { now })
            .eviction_listener(move |_, _, cause| {
                if cause == RemovalCause::Size {
                    metrics.session_evicted();
                }
            })
            .build_with_hasher(RandomState::default());
        Self(sessions)
    }

    /// The session of this identity, if it can still be used.
    pub(super) fn get(&self, id: &Arc<SessionIdentity>, now: SystemTime) -> Option<Arc<Live>> {
        self.0.get(id).filter(|live| !live.left(now).is_zero())
    }

    pub(super) fn insert(&self, live: &Arc<Live>) {
        self.0.insert(Arc::clone(live.id()), Arc::clone(live));
    }

    /// Removes the session of this identity if it is the one with this access key.
    pub(super) fn remove(&self, id: &Arc<SessionIdentity>, access_key_id: &str) {
        self.0.entry_by_ref(id).and_compute_with(|entry| match entry {
            Some(live) if live.value().credentials().access_key_id() == access_key_id => Op::Remove,
            _ => Op::Nop,
        });
    }

    /// How many there are, once what has ended is cleared away.
    pub(super) fn len(&self) -> u64 {
        self.0.run_pending_tasks();
        self.0.entry_count()
    }

    pub(super) fn iter(&self, now: SystemTime) -> impl Iterator<Item = Arc<Live>> {
        self.0.iter().map(|(_, live)| live).filter(move |live| !live.left(now).is_zero())
    }
}

/// Both a new entry and a replaced one live until their own session ends; moka would keep the old
/// deadline on replacing.
struct UntilUnusable {
    now: fn() -> SystemTime,
}

impl Expiry<Arc<SessionIdentity>, Arc<Live>> for UntilUnusable {
    fn expire_after_create(
        &self,
        _: &Arc<SessionIdentity>,
        live: &Arc<Live>,
        _: std::time::Instant,
    ) -> Option<Duration> {
        Some(live.left((self.now)()))
    }

    fn expire_after_update(
        &self,
        _: &Arc<SessionIdentity>,
        live: &Arc<Live>,
        _: std::time::Instant,
        _: Option<Duration>,
    ) -> Option<Duration> {
        Some(live.left((self.now)()))
    }
}

/// Why callers without a session have none, for as long as it is not asked again.
pub(super) struct Refusals(sync::Cache<Arc<SessionIdentity>, Refusal>);

#[derive(Clone)]
struct Refusal {
    error: SessionError,
    until: Instant,
    failures: u32,
}

impl Refusals {
    pub(super) fn new() -> Self {
        let refusals = sync::Cache::builder()
            .max_capacity(REFUSALS)
            .eviction_policy(EvictionPolicy::lru())
            .time_to_live(REFUSALS_KEPT)
            .build();
        Self(refusals)
    }

    /// The refusal that still holds for this identity.
    pub(super) fn get(&self, id: &Arc<SessionIdentity>) -> Option<SessionError> {
        self.0.get(id).filter(|refusal| Instant::now() < refusal.until).map(|refusal| refusal.error)
    }

    /// Remembers why there is no session, unless that has nothing to do with the one who asked.
    pub(super) fn insert(&self, id: &Arc<SessionIdentity>, error: &SessionError) {
        let (pause, failures) = match error {
            SessionError::Denied { .. } => (DENIAL, 0),
            SessionError::Unavailable { .. } => {
                let failures = self.0.get(id).map_or(0, |refusal| refusal.failures);
                let pause = LONGEST_PAUSE.min(FIRST_PAUSE * (1 << failures.min(8)));
                (jitter::up_to(pause), failures + 1)
            }
            SessionError::GatewayRefused { .. }
            | SessionError::TooManySessions
            | SessionError::Overloaded => return,
        };
        let refusal = Refusal { error: error.clone(), until: Instant::now() + pause, failures };
        self.0.insert(Arc::clone(id), refusal);
    }

    pub(super) fn remove(&self, id: &Arc<SessionIdentity>) {
        self.0.invalidate(id);
    }
}
