//! A cached session: when the gateway renews it, and until when it uses it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_credential_types::Credentials;
use http::HeaderValue;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::sigv4_keys::SigV4Keys;
use super::sts::Issued;
use crate::identity::SessionIdentity;
use crate::jitter;

/// How long before it expires a session is no longer used: [`MARGIN`], or a twentieth of its lifetime if that is less.
/// A request that is signed with it must still reach Bedrock.
// Assumption A11.
const MARGIN: Duration = Duration::from_secs(5);
const MARGIN_PART: u32 = 20;
/// The renewal begins at most this part of the lifetime, a fifth, before the session expires.
const WINDOW_PART: u32 = 5;
/// The longest first pause after a failed renewal, as a part of the window: a thirty-second. The second is twice as
/// long, all further ones four times.
const PAUSE_PART: u32 = 32;

/// A session that STS granted, with the state of its use and renewal.
pub(super) struct CachedSession {
    id: Arc<SessionIdentity>,
    principal: Box<str>,
    credentials: Credentials,
    token: HeaderValue,
    sigv4_keys: SigV4Keys,
    expires: SystemTime,
    /// The moment from which the gateway no longer uses it.
    usable_until: SystemTime,
    /// The moment from which its renewal is due.
    renew_from: SystemTime,
    /// The time between that moment and its expiry.
    window: Duration,
    /// The last use, nanoseconds since 1970.
    used: AtomicU64,
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

    pub(super) fn sigv4_keys(&self) -> &SigV4Keys {
        &self.sigv4_keys
    }

    pub(super) fn expires(&self) -> SystemTime {
        self.expires
    }

    /// The time for which it can still be used.
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

    /// Delays the next renewal: because one failed, or because one starts now and its failure may stay unnoticed.
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

    fn retry(&self) -> parking_lot::MutexGuard<'_, Retry> {
        self.retry.lock()
    }
}

fn nanoseconds(at: SystemTime) -> u64 {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
