//! One issuer's keys over time: a snapshot that is read without waiting, refreshed in the background, and kept while
//! the issuer is down.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwapOption;
use parking_lot::{Mutex, MutexGuard};
use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tracing::{debug, info};

use crate::auth::AuthError;
use crate::auth::fetch::{FetchError, Fetched, Fetcher, IssuerSetupError};
use crate::auth::issuer::{IssuerSettings, algorithm_names};
use crate::auth::keys::KeySet;
use crate::clock;
use crate::jitter;
use crate::proxy::Proxy;
use crate::telemetry::metrics::{Count, Metrics};

/// Time between refreshes if the issuer's answer has no `max-age`.
const EVERY: Duration = Duration::from_secs(15 * 60);
/// Shortest time between refreshes, also if `max-age` is less.
const SOONEST: Duration = Duration::from_secs(5 * 60);
/// Longest time between refreshes, also if `max-age` is more.
const LATEST: Duration = Duration::from_secs(24 * 60 * 60);
/// Time between the starts of two refreshes for unknown keys, whether they succeed or not. It is limited because a
/// client without a valid token can send a made-up `kid`. A fetch takes at most 5 s, so the gateway knows a rotated key
/// within 15 s.
// Assumption A39.
const COOL_DOWN: Duration = Duration::from_secs(10);
/// First pause after a failed refresh. Each further failure doubles it.
const RETRY: Duration = Duration::from_secs(1);
/// Longest pause after a failed refresh. With the search for problems, once a second, the end of an outage is reported
/// within ten seconds.
const RETRY_MOST: Duration = Duration::from_secs(8);

/// An issuer with its keys. Its settings never change: changed settings create a new `Issuer`, so no token is accepted
/// under old settings.
pub(super) struct Issuer {
    pub(super) id: IssuerId,
    pub(super) settings: IssuerSettings,
    fetcher: Fetcher,
    keys: ArcSwapOption<KeySet>,
    state: Mutex<State>,
    /// Notified when a refresh fails.
    failures: Arc<Notify>,
    /// Counts requests whose token was in the cache.
    pub(super) remembered: Count,
    metrics: Arc<Metrics>,
    /// The runtime that `start` was called on. It runs every refresh, whichever runtime needs it.
    control: OnceLock<Handle>,
    /// The task that keeps the keys fresh. It ends when the issuer is dropped.
    refreshing: Mutex<JoinSet<()>>,
}

/// The id of one issuer with its settings. This process never uses an id again.
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
    /// The latest refresh. It has ended when the sender is dropped, which a panic does too.
    flight: Option<Flight>,
    /// When the last refresh for an unknown key began.
    asked: Option<Instant>,
    fetched: Option<SystemTime>,
    max_age: Option<Duration>,
    last_error: Option<String>,
}

impl State {
    fn in_flight(&self) -> Option<Flight> {
        self.flight.clone().filter(|flight| flight.has_changed().is_ok())
    }
}

/// Fetches the keys of an issuer once. Returns the number of usable ones and the address that they came from.
///
/// # Errors
/// The failure and the next step, in words for the operator.
pub async fn usable_keys(settings: &IssuerSettings, proxy: &Proxy) -> Result<(usize, String), String> {
    let fetcher = Fetcher::new(settings, proxy).map_err(|error| error.to_string())?;
    let fetched = fetcher.keys(settings).await.map_err(|error| error.to_string())?;
    let keys = keys_in(&fetched, settings).map_err(|error| error.to_string())?;
    Ok((keys.len(), fetched.from))
}

/// The usable keys of a fetched document, at least one.
fn keys_in(fetched: &Fetched, settings: &IssuerSettings) -> Result<KeySet, FetchError> {
    let url = || fetched.from.clone();
    let keys = KeySet::parse(&fetched.document, &settings.algorithms);
    let keys = keys.map_err(|_| FetchError::NotKeys { url: url() })?;
    if keys.len() == 0 {
        return Err(FetchError::NoKeys { url: url(), algorithms: algorithm_names(&settings.algorithms) });
    }
    Ok(keys)
}

/// The state of an issuer's keys, for `/readyz`.
#[derive(Debug, Clone)]
pub struct IssuerStatus {
    pub name: Arc<str>,
    /// Whether the gateway has keys, from the last refresh or an earlier one.
    pub keys_loaded: bool,
    pub usable_keys: usize,
    pub last_success: Option<SystemTime>,
    /// The error of the last refresh, if it failed.
    pub last_error: Option<String>,
}

impl Issuer {
    pub(super) fn new(
        settings: IssuerSettings,
        proxy: &Proxy,
        metrics: Arc<Metrics>,
    ) -> Result<Self, IssuerSetupError> {
        let fetcher = Fetcher::new(&settings, proxy)?;
        let remembered = metrics.remembered_tokens(&settings.name);
        Ok(Self {
            id: IssuerId::next(),
            settings,
            fetcher,
            keys: ArcSwapOption::empty(),
            state: Mutex::default(),
            failures: Arc::default(),
            remembered,
            metrics,
            control: OnceLock::new(),
            refreshing: Mutex::default(),
        })
    }

    /// An issuer that starts with the keys of `other`, without those that its settings do not allow.
    pub(super) fn with_keys_of(other: &Self, settings: IssuerSettings) -> Result<Self, IssuerSetupError> {
        let issuer = Self::new(settings, other.fetcher.proxy(), Arc::clone(&other.metrics))?;
        if let Some(keys) = other.keys().and_then(|keys| keys.allowing(&issuer.settings.algorithms)) {
            issuer.keys.store(Some(Arc::new(keys)));
            issuer.state().fetched = other.state().fetched;
        }
        // An outage does not end with a change of the settings. The first refresh clears it, or repeats it.
        issuer.state().last_error.clone_from(&other.state().last_error);
        Ok(issuer)
    }

    /// Starts the background task that fetches the keys and keeps them fresh. Further calls do nothing.
    pub(super) fn start(self: &Arc<Self>) {
        let _started_here = self.control.get_or_init(Handle::current);
        let mut refreshing = self.refreshing.lock();
        if refreshing.is_empty() {
            refreshing.spawn(Self::keep_fresh(Arc::downgrade(self)));
        }
    }

    /// Waits until a fetch of the keys has succeeded or failed, if there are no keys yet.
    pub(super) async fn first_keys(self: &Arc<Self>) {
        if self.keys().is_none() {
            done(self.refresh()).await;
        }
    }

    /// The error for a token that cannot be verified because keys are not available.
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

    /// Keeps the keys fresh until the issuer is dropped.
    async fn keep_fresh(issuer: Weak<Self>) {
        let mut retry = RETRY;
        while let Some(issuer) = issuer.upgrade() {
            done(issuer.refresh()).await;
            let failures = Arc::clone(&issuer.failures);
            let failure = failures.notified();
            let (failed, max_age) = {
                let state = issuer.state();
                (state.last_error.is_some(), state.max_age)
            };
            drop(issuer);
            if failed {
                sleep(jitter::a_little_less(retry)).await;
                retry = (retry * 2).min(RETRY_MOST);
            } else {
                retry = RETRY;
                let pause = max_age.unwrap_or(EVERY).clamp(SOONEST, LATEST);
                // A refresh for an unknown key may meet an outage before the next one of this task.
                let outage = timeout(jitter::a_little_less(pause), failure).await.is_ok();
                if outage {
                    sleep(jitter::a_little_less(RETRY)).await;
                }
            }
        }
    }

    /// The refresh for a token that no key of the set verifies: the one in flight, or a new one. `None` if the last
    /// refresh for an unknown key began less than 10 s ago. The refresh takes 5 s at most, and continues if the caller
    /// does not wait for it.
    pub(super) fn refresh_for_unknown_key(self: &Arc<Self>) -> Option<impl Future<Output = ()> + use<>> {
        let mut state = self.state();
        let cooling = state.asked.is_some_and(|asked| asked.elapsed() < COOL_DOWN);
        let flight = match state.in_flight() {
            Some(flight) => flight,
            None if cooling => return None,
            None => {
                state.asked = Some(Instant::now());
                self.begin(&mut state)
            }
        };
        Some(done(flight))
    }

    /// The refresh in flight, or a new one.
    fn refresh(self: &Arc<Self>) -> Flight {
        let mut state = self.state();
        state.in_flight().unwrap_or_else(|| self.begin(&mut state))
    }

    /// Begins a refresh in a task of its own, which continues if the request that needed it is dropped.
    fn begin(self: &Arc<Self>, state: &mut State) -> Flight {
        let (ended, flight) = watch::channel(());
        state.flight = Some(flight.clone());
        let issuer = Arc::clone(self);
        self.control.get().cloned().unwrap_or_else(Handle::current).spawn(async move {
            let fetched = issuer.fetch().await;
            issuer.store(fetched);
            drop(ended);
        });
        flight
    }

    async fn fetch(&self) -> Result<(KeySet, Option<Duration>), FetchError> {
        let fetched = self.fetcher.keys(&self.settings).await?;
        Ok((keys_in(&fetched, &self.settings)?, fetched.max_age))
    }

    fn store(&self, fetched: Result<(KeySet, Option<Duration>), FetchError>) {
        let name = &self.settings.name;
        let mut state = self.state();
        match fetched {
            Ok((keys, max_age)) => {
                let now = clock::now();
                if state.last_error.take().is_some() || state.fetched.is_none() {
                    info!(issuer = %name, keys = keys.len(), "fetched signing keys");
                }
                self.keys.store(Some(Arc::new(keys)));
                state.fetched = Some(now);
                state.max_age = max_age;
                self.metrics.keys_refreshed(name, "ok");
                self.metrics.keys_fetched_at(name, now);
            }
            Err(error) => {
                let kept = self.keys.load().is_some();
                // The problem `issuer_keys` warns once.
                debug!(issuer = %name, %error, earlier_keys_kept = kept, "cannot fetch signing keys");
                state.last_error = Some(error.to_string());
                self.metrics.keys_refreshed(name, "failed");
                self.failures.notify_waiters();
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
