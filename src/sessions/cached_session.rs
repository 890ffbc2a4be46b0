//! A cached session: when the gateway renews it, and until when it uses it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_credential_types::Credentials;
use http::HeaderValue;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::callers::SessionCallers;
use super::sigv4_keys::SigV4Keys;
use super::sts::Issued;
use crate::identity::SessionIdentity;
use crate::jitter;

/// The gateway stops using a session five seconds before it expires, or a twentieth of its lifetime before if that is
/// less. A request that is signed with it must still reach Bedrock.
// Assumption A11.
const MARGIN: Duration = Duration::from_secs(5);
const MARGIN_PART: u32 = 20;
/// The gateway renews a session in the last fifth of its lifetime, never earlier.
const WINDOW_PART: u32 = 5;
/// The first pause after a failed renewal is at most 1/32 of the window, the next 1/16, each later one 1/8.
const PAUSE_PART: u32 = 32;

/// A session that STS granted, with the state of its use and renewal.
pub(super) struct CachedSession {
    id: Arc<SessionIdentity>,
    principal: Box<str>,
    credentials: Credentials,
    token: HeaderValue,
    sigv4_keys: SigV4Keys,
    granted: SystemTime,
    expires: SystemTime,
    /// The moment at which the gateway stops using it.
    usable_until: SystemTime,
    /// The moment from which its renewal is due.
    renew_from: SystemTime,
    /// The time from `renew_from` to `expires`.
    window: Duration,
    /// The last use, nanoseconds since 1970.
    last_used: AtomicU64,
    callers: SessionCallers,
    retry: Mutex<Retry>,
}

/// The failed renewals, and the earliest moment for the next one.
struct Retry {
    failures: u32,
    not_before: Instant,
}

impl CachedSession {
    /// A session that is renewed `refresh_before` its expiry, at the earliest.
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
            sigv4_keys: SigV4Keys::default(),
            granted: now,
            expires: issued.expires,
            usable_until: issued.expires - MARGIN.min(lifetime / MARGIN_PART),
            renew_from: issued.expires - window,
            window,
            last_used: AtomicU64::new(nanoseconds(now)),
            callers: SessionCallers::default(),
            retry: Mutex::new(Retry { failures: 0, not_before: Instant::now() }),
        }
    }

    /// The session, with the callers of the one that it replaces.
    pub(super) fn in_place_of(self, old: &Self) -> Self {
        Self { callers: old.callers.handed_on(), ..self }
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

    pub(super) fn sigv4_keys(&self) -> &SigV4Keys {
        &self.sigv4_keys
    }

    pub(super) fn granted(&self) -> SystemTime {
        self.granted
    }

    pub(super) fn expires(&self) -> SystemTime {
        self.expires
    }

    pub(super) fn callers(&self) -> &SessionCallers {
        &self.callers
    }

    /// The time for which it can still be used.
    pub(super) fn time_left(&self, now: SystemTime) -> Duration {
        self.usable_until.duration_since(now).unwrap_or_default()
    }

    pub(super) fn renewal_due(&self, now: SystemTime) -> bool {
        now >= self.renew_from
    }

    pub(super) fn may_retry(&self) -> bool {
        Instant::now() >= self.retry().not_before
    }

    /// Whether a renewal of it has failed.
    pub(super) fn has_failed(&self) -> bool {
        self.retry().failures > 0
    }

    /// Delays the next renewal, because one is about to start: it may get no turn, or end without an outcome.
    pub(super) fn delay_next_renewal(&self) {
        self.delay(&mut self.retry());
    }

    /// Counts a failed renewal, and delays the next one.
    pub(super) fn note_failed_renewal(&self) {
        let mut retry = self.retry();
        self.delay(&mut retry);
        retry.failures += 1;
    }

    fn delay(&self, retry: &mut Retry) {
        let doublings = retry.failures.min(2);
        retry.not_before = Instant::now() + jitter::up_to(self.window / PAUSE_PART * (1 << doublings));
    }

    pub(super) fn mark_used(&self, now: SystemTime) {
        self.last_used.store(nanoseconds(now), Ordering::Relaxed);
    }

    pub(super) fn last_used(&self) -> u64 {
        self.last_used.load(Ordering::Relaxed)
    }

    fn retry(&self) -> parking_lot::MutexGuard<'_, Retry> {
        self.retry.lock()
    }
}

fn nanoseconds(at: SystemTime) -> u64 {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
