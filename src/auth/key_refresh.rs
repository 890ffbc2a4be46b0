//! One issuer's keys over time: a snapshot that readers never wait for, refreshed in the background,
//! kept through the issuer's outages.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwapOption;
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::{info, warn};

use crate::auth::AuthError;
use crate::auth::fetch::{FetchError, Fetcher, IssuerSetupError};
use crate::auth::issuer::IssuerSettings;
use crate::auth::keys::KeySet;
use crate::clock;
use crate::jitter;
use crate::telemetry::metrics::{Count, Metrics};

/// Between refreshes, where the issuer says nothing.
const EVERY: Duration = Duration::from_secs(15 * 60);
/// Bounds of what the issuer may say.
const SOONEST: Duration = Duration::from_secs(5 * 60);
const LATEST: Duration = Duration::from_secs(24 * 60 * 60);
/// Between the beginnings of refreshes for unknown keys, whether they succeed or not: anybody can make up a
/// `kid`. With the five seconds of a fetch, the gateway knows a rotated key within fifteen.
const COOL_DOWN: Duration = Duration::from_secs(10);
/// First and longest pause after failures.
const RETRY: Duration = Duration::from_secs(1);
const RETRY_MOST: Duration = Duration::from_secs(60);

/// An issuer with its keys. It never changes its settings: others make another issuer of it, so that
/// nothing is believed by settings that are not the issuer's any more.
pub(super) struct Issuer {
    pub(super) id: IssuerId,
    pub(super) settings: IssuerSettings,
    fetcher: Fetcher,
    keys: ArcSwapOption<KeySet>,
    state: Mutex<State>,
    /// Tokens that were remembered.
    pub(super) remembered: Count,
    metrics: Arc<Metrics>,
    /// Keeps the keys fresh; ends with the issuer.
    refreshing: Mutex<JoinSet<()>>,
}

/// Of one issuer with its settings; never used again in this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct IssuerId(u64);

impl IssuerId {
    pub(super) fn next() -> Self {
        static LAST: AtomicU64 = AtomicU64::new(0);
        Self(LAST.fetch_add(1, Ordering::Relaxed))
    }
}

type Flight = watch::Receiver<()>;

#[derive(Default)]
struct State {
    /// The latest refresh; it is over when the other end is gone, also by a panic.
    flight: Option<Flight>,
    /// When the last refresh for an unknown key id began.
    asked: Option<Instant>,
    fetched: Option<SystemTime>,
    max_age: Option<Duration>,
    last_error: Option<String>,
}

impl State {
    fn under_way(&self) -> Option<Flight> {
        self.flight.clone().filter(|flight| flight.has_changed().is_ok())
    }
}

/// How an issuer's keys are, for `/readyz`.
#[derive(Debug, Clone)]
pub struct IssuerStatus {
    pub name: Arc<str>,
    /// Keys were had at some time, and are still used.
    pub keys_loaded: bool,
    pub usable_keys: usize,
    pub last_success: Option<SystemTime>,
    /// Of the last refresh, if it failed.
    pub last_error: Option<String>,
}

impl Issuer {
    pub(super) fn new(settings: IssuerSettings, metrics: Arc<Metrics>) -> Result<Self, IssuerSetupError> {
        let fetcher = Fetcher::new(&settings)?;
        let remembered = metrics.remembered_tokens(&settings.name);
        Ok(Self {
            id: IssuerId::next(),
            settings,
            fetcher,
            keys: ArcSwapOption::empty(),
            state: Mutex::default(),
            remembered,
            metrics,
            refreshing: Mutex::default(),
        })
    }

    /// An issuer of which `other` has the keys already, as far as these settings allow them.
    pub(super) fn with_keys_of(other: &Self, settings: IssuerSettings) -> Result<Self, IssuerSetupError> {
        let issuer = Self::new(settings, Arc::clone(&other.metrics))?;
        if let Some(keys) = other.keys().and_then(|keys| keys.allowing(&issuer.settings.algorithms)) {
            issuer.keys.store(Some(Arc::new(keys)));
            issuer.state().fetched = other.state().fetched;
        }
        Ok(issuer)
    }

    /// Begins to fetch the keys and to keep them fresh, in the background. Once is enough.
    pub(super) fn start(self: &Arc<Self>) {
        let mut refreshing = self.refreshing.lock();
        if refreshing.is_empty() {
            refreshing.spawn(Self::keep_fresh(Arc::downgrade(self)));
        }
    }

    /// Waits until keys were had, or could not be.
    pub(super) async fn first_keys(self: &Arc<Self>) {
        if self.keys().is_none() {
            done(self.refresh()).await;
        }
    }

    /// That its keys are not to be had.
    pub(super) fn unavailable(&self) -> AuthError {
        AuthError::KeysUnavailable { issuer: Arc::clone(&self.settings.name) }
    }

    /// The keys as they are now.
    pub(super) fn keys(&self) -> Option<Arc<KeySet>> {
        self.keys.load_full()
    }

    pub(super) fn status(&self) -> IssuerStatus {
        let keys = self.keys();
        let state = self.state();
        IssuerStatus {
            name: Arc::clone(&self.settings.name),
            keys_loaded: keys.is_some(),
            usable_keys: keys.map_or(0, |keys| keys.len()),
            last_success: state.fetched,
            last_error: state.last_error.clone(),
        }
    }

    /// Keeps the keys fresh for as long as the issuer is there and this is polled.
    async fn keep_fresh(issuer: Weak<Self>) {
        let mut retry = RETRY;
        while let Some(issuer) = issuer.upgrade() {
            done(issuer.refresh()).await;
            let (failed, max_age) = {
                let state = issuer.state();
                (state.last_error.is_some(), state.max_age)
            };
            drop(issuer);
            let pause = if failed { retry } else { max_age.unwrap_or(EVERY).clamp(SOONEST, LATEST) };
            retry = if failed { (retry * 2).min(RETRY_MOST) } else { RETRY };
            tokio::time::sleep(jitter::a_little_less(pause)).await;
        }
    }

    /// The refresh for a token that no key of the set verifies: the one under way, or a new one unless the
    /// last such one began within ten seconds. It goes on without anyone to wait for it, and takes 5 s at most.
    pub(super) fn refresh_for_unknown_key(self: &Arc<Self>) -> Option<impl Future<Output = ()> + use<>> {
        let mut state = self.state();
        let cooling = state.asked.is_some_and(|asked| asked.elapsed() < COOL_DOWN);
        let flight = match state.under_way() {
            Some(flight) => flight,
            None if cooling => return None,
            None => {
                state.asked = Some(Instant::now());
                self.begin(&mut state)
            }
        };
        Some(done(flight))
    }

    /// The refresh under way, or a new one.
    fn refresh(self: &Arc<Self>) -> Flight {
        let mut state = self.state();
        state.under_way().unwrap_or_else(|| self.begin(&mut state))
    }

    /// Begins a refresh in a task of its own, which outlives whoever asked.
    fn begin(self: &Arc<Self>, state: &mut State) -> Flight {
        let (over, flight) = watch::channel(());
        state.flight = Some(flight.clone());
        let issuer = Arc::clone(self);
        tokio::spawn(async move {
            let fetched = issuer.fetch().await;
            issuer.take(fetched);
            drop(over);
        });
        flight
    }

    async fn fetch(&self) -> Result<(KeySet, Option<Duration>), FetchError> {
        let fetched = self.fetcher.keys(&self.settings).await?;
        let keys = KeySet::parse(&fetched.document, &self.settings.algorithms)
            .map_err(|_| FetchError::NotKeys { url: fetched.from.clone() })?;
        if keys.len() == 0 {
            return Err(FetchError::NoKeys { url: fetched.from });
        }
        Ok((keys, fetched.max_age))
    }

    fn take(&self, fetched: Result<(KeySet, Option<Duration>), FetchError>) {
        let name = &self.settings.name;
        let mut state = self.state();
        match fetched {
            Ok((keys, max_age)) => {
                let now = clock::now();
                if state.last_error.take().is_some() || state.fetched.is_none() {
                    info!(issuer = %name, keys = keys.len(), "has the issuer's keys");
                }
                self.keys.store(Some(Arc::new(keys)));
                state.fetched = Some(now);
                state.max_age = max_age;
                self.metrics.keys_refreshed(name, "ok");
                self.metrics.keys_fetched_at(name, now);
            }
            Err(error) => {
                let kept = self.keys.load().is_some();
                warn!(issuer = %name, %error, last_good_kept = kept, "cannot fetch the issuer's keys");
                state.last_error = Some(error.to_string());
                self.metrics.keys_refreshed(name, "failed");
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}

async fn done(mut flight: Flight) {
    while flight.changed().await.is_ok() {}
}

#[cfg(test)]
mod tests;
