//! One issuer's keys over time: a snapshot that readers never wait for, refreshed in the background,
//! kept through the issuer's outages.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwapOption;
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::{info, warn};

use crate::auth::fetch::{FetchError, Fetcher, SetupError};
use crate::auth::issuer::Settings;
use crate::auth::keys::KeySet;
use crate::clock;
use crate::telemetry::metrics::Metrics;

/// Between refreshes, where the issuer says nothing.
const EVERY: Duration = Duration::from_secs(15 * 60);
/// Bounds of what the issuer may say.
const SOONEST: Duration = Duration::from_secs(5 * 60);
const LATEST: Duration = Duration::from_secs(24 * 60 * 60);
/// Between refreshes for unknown key ids, whether they succeed or not: anybody can make up a `kid`.
const COOL_DOWN: Duration = Duration::from_secs(60);
/// First and longest pause between attempts while there are no keys at all.
const RETRY: Duration = Duration::from_secs(1);
const RETRY_MOST: Duration = Duration::from_secs(60);
/// Longest wait of a caller for somebody's refresh: discovery and key set, 5 s each.
const WAIT: Duration = Duration::from_secs(11);

/// An issuer with its keys.
pub(super) struct Issuer {
    pub(super) settings: Settings,
    fetcher: Fetcher,
    keys: ArcSwapOption<KeySet>,
    state: Mutex<State>,
    metrics: Arc<Metrics>,
}

#[derive(Default)]
struct State {
    /// The refresh that is under way; becomes true when it is over.
    flight: Option<watch::Receiver<bool>>,
    /// When the last refresh for an unknown key id began.
    asked: Option<Instant>,
    fetched: Option<SystemTime>,
    max_age: Option<Duration>,
    last_error: Option<String>,
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
    pub(super) fn new(settings: Settings, metrics: Arc<Metrics>) -> Result<Self, SetupError> {
        let fetcher = Fetcher::new(&settings)?;
        Ok(Self { settings, fetcher, keys: ArcSwapOption::empty(), state: Mutex::default(), metrics })
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

    /// Keeps the keys fresh for as long as it is polled.
    pub(super) async fn keep_fresh(self: Arc<Self>) {
        let mut retry = RETRY;
        loop {
            done(self.refresh()).await;
            let (failed, max_age) = {
                let state = self.state();
                (state.last_error.is_some(), state.max_age)
            };
            let pause = if failed && self.keys.load().is_none() {
                retry = (retry * 2).min(RETRY_MOST);
                retry / 2
            } else {
                retry = RETRY;
                max_age.unwrap_or(EVERY).clamp(SOONEST, LATEST)
            };
            tokio::time::sleep(jittered(pause)).await;
        }
    }

    /// Refreshes for a token whose key is not in the set, unless somebody did within the last minute,
    /// and waits for a refresh that is under way.
    pub(super) async fn refresh_for_unknown_key(self: &Arc<Self>) {
        let under_way = {
            let mut state = self.state();
            let running = state.flight.clone().filter(|flight| !*flight.borrow());
            let cooling = state.asked.is_some_and(|asked| asked.elapsed() < COOL_DOWN);
            if running.is_none() && !cooling {
                state.asked = Some(Instant::now());
            }
            match running {
                Some(running) => Some(running),
                None if cooling => None,
                None => {
                    drop(state);
                    Some(self.refresh())
                }
            }
        };
        if let Some(under_way) = under_way {
            // A caller waits so long and no longer; the refresh goes on without them.
            let _late = tokio::time::timeout(WAIT, done(under_way)).await.is_err();
        }
    }

    /// The refresh under way, or a new one in a task of its own, which outlives whoever asked.
    fn refresh(self: &Arc<Self>) -> watch::Receiver<bool> {
        let mut state = self.state();
        if let Some(running) = state.flight.clone().filter(|flight| !*flight.borrow()) {
            return running;
        }
        let (over, flight) = watch::channel(false);
        state.flight = Some(flight.clone());
        drop(state);
        let issuer = Arc::clone(self);
        tokio::spawn(async move {
            let fetched = issuer.fetch().await;
            issuer.take(fetched);
            over.send_replace(true);
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

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn done(mut flight: watch::Receiver<bool>) {
    // An error says that the task is gone, so it is over as well.
    let _gone = flight.wait_for(|over| *over).await.is_err();
}

/// Up to a tenth less, so that replicas do not come all at once.
fn jittered(pause: Duration) -> Duration {
    let part = uuid::Uuid::new_v4().as_bytes()[0];
    pause.mul_f64(1.0 - f64::from(part) / 2560.0)
}
