//! A session that STS granted: when it is renewed, and until when it is used.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_credential_types::Credentials;
use http::HeaderValue;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::signing_keys::SigningKeys;
use super::sts::Issued;
use crate::identity::SessionIdentity;
use crate::jitter;

/// How long before its end a session is no longer used: this, or this part of its lifetime,
/// whichever is less. A request signed with it must still reach Bedrock.
const MARGIN: Duration = Duration::from_secs(5);
const MARGIN_PART: u32 = 20;
/// The largest part of a lifetime that renewal may come ahead: a fifth.
const WINDOW_PART: u32 = 5;
/// The first pause after a failed renewal is this part of the window, then twice, then four times.
const PAUSE_PART: u32 = 32;

/// A session that STS granted, with what is known of it.
pub(super) struct CachedSession {
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

impl CachedSession {
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

    fn retry(&self) -> parking_lot::MutexGuard<'_, Retry> {
        self.retry.lock()
    }
}

fn nanoseconds(at: SystemTime) -> u64 {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
