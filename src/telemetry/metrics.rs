//! Every metric: its name, help and labels. No label ever holds a user, a token's text or anything
//! else that a caller chooses; issuers are the configured names.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Metric, Registry};

use crate::clock;
use crate::reason::Reason;

/// The `Content-Type` of [`Metrics::encode`]'s text.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Upper bounds in seconds: a refusal takes a millisecond, a long generation half an hour.
const SECONDS: [f64; 17] =
    [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 1800.0];

/// The process's metrics. Counting takes a read lock and a hash at most; nothing waits for a scrape.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    request_duration: Histogram,
    first_byte: Histogram,
    streams_open: Gauge,
    sts_calls: Family<OutcomeLabels, Counter>,
    sessions: Gauge<u64, AtomicU64>,
    session_lookups: Family<OutcomeLabels, Counter>,
    session_renewals: Family<OutcomeLabels, Counter>,
    session_evictions: Counter,
    token_checks: Family<IssuerOutcomeLabels, Counter>,
    key_refreshes: Family<IssuerOutcomeLabels, Counter>,
    keys_age: Family<IssuerLabels, Gauge<f64, AtomicU64>>,
    /// What `keys_age` is computed from when somebody scrapes.
    keys_fetched: Mutex<BTreeMap<String, SystemTime>>,
    mapping_replacements: Family<TargetLabels, Counter>,
    config_generation: Gauge<u64, AtomicU64>,
    config_reload_failed: Gauge,
    clock_skew: Gauge,
    revocations: Gauge<u64, AtomicU64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    operation: &'static str,
    status: u16,
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct IssuerOutcomeLabels {
    issuer: String,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct IssuerLabels {
    issuer: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TargetLabels {
    target: String,
}

/// One counter of a metric that has several.
#[derive(Debug, Clone)]
pub struct Count(Counter);

impl Count {
    pub fn one_more(&self) {
        self.0.inc();
    }
}

impl Metrics {
    /// All metrics at zero.
    pub fn new() -> Arc<Self> {
        Arc::new(Self::default())
    }

    /// Counts the remembered tokens of one issuer in `token_checks_total`: nearly every request has one, so
    /// that their counter is looked up once.
    pub fn remembered_tokens(&self, issuer: &str) -> Count {
        let labels = IssuerOutcomeLabels { issuer: issuer.to_owned(), outcome: "remembered" };
        Count(self.token_checks.get_or_create_owned(&labels))
    }

    /// `token_checks_total{issuer,outcome}`: outcome is `verified` or an `AuthError::reason`. The
    /// issuer is a configured name, never what an unverified token says.
    pub fn token_checked(&self, issuer: &str, outcome: &'static str) {
        self.token_checks
            .get_or_create_owned(&IssuerOutcomeLabels { issuer: issuer.to_owned(), outcome })
            .inc();
    }

    /// `key_refreshes_total{issuer,outcome}`: `ok` or `failed`.
    pub fn keys_refreshed(&self, issuer: &str, outcome: &'static str) {
        self.key_refreshes
            .get_or_create_owned(&IssuerOutcomeLabels { issuer: issuer.to_owned(), outcome })
            .inc();
    }

    /// `keys_age_seconds{issuer}`, computed at scrape time from this.
    pub fn keys_fetched_at(&self, issuer: &str, at: SystemTime) {
        let mut fetched = self.keys_fetched.lock();
        fetched.insert(issuer.to_owned(), at);
    }

    /// `mapping_replacements_total{target}`: `name`, `source_identity` or a tag key.
    pub fn value_replaced(&self, target: &str) {
        self.mapping_replacements.get_or_create_owned(&TargetLabels { target: target.to_owned() }).inc();
    }

    /// `sts_calls_total{outcome}`: `ok`, or a reason.
    pub fn sts_called(&self, outcome: &'static str) {
        self.sts_calls.get_or_create_owned(&OutcomeLabels { outcome }).inc();
    }

    /// `sessions`: how many are cached now.
    pub fn sessions_cached(&self, count: u64) {
        self.sessions.set(count);
    }

    /// Counts the hits in `session_lookups_total`: nearly every request is one.
    pub fn session_hits(&self) -> Count {
        Count(self.session_lookups.get_or_create_owned(&OutcomeLabels { outcome: "hit" }))
    }

    /// `session_lookups_total{outcome}`, but for `hit`: `miss`, `stale`, `denied`, `failed`.
    pub fn session_looked_up(&self, outcome: &'static str) {
        self.session_lookups.get_or_create_owned(&OutcomeLabels { outcome }).inc();
    }

    /// `session_renewals_total{outcome}`: `ok`, `denied`, `failed`.
    pub fn session_renewed(&self, outcome: &'static str) {
        self.session_renewals.get_or_create_owned(&OutcomeLabels { outcome }).inc();
    }

    /// `session_evictions_total`.
    pub fn session_evicted(&self) {
        self.session_evictions.inc();
    }

    /// `requests_total{operation,status,reason}`, `request_duration_seconds`, `first_byte_seconds`.
    pub fn request_finished(
        &self,
        operation: &'static str,
        status: u16,
        reason: Reason,
        took: Duration,
        first_byte: Option<Duration>,
    ) {
        let reason = reason.as_str();
        self.requests.get_or_create_owned(&RequestLabels { operation, status, reason }).inc();
        self.request_duration.observe(took.as_secs_f64());
        if let Some(first_byte) = first_byte {
            self.first_byte.observe(first_byte.as_secs_f64());
        }
    }

    /// `streams_open`: one more.
    pub fn stream_opened(&self) {
        self.streams_open.inc();
    }

    /// `streams_open`: one fewer.
    pub fn stream_closed(&self) {
        self.streams_open.dec();
    }

    /// `config_generation`.
    pub fn config_loaded(&self, generation: u64) {
        self.config_generation.set(generation);
    }

    /// `config_reload_failed`: whether a file on disk is refused and what was there before is in use.
    pub fn config_refused(&self, refused: bool) {
        self.config_reload_failed.set(refused.into());
    }

    /// Which issuers there are: nothing is told any more of the keys of others.
    pub fn issuers_are(&self, names: &[Arc<str>]) {
        let mut fetched = self.keys_fetched.lock();
        fetched.retain(|issuer, _| {
            let stays = names.iter().any(|name| **name == **issuer);
            if !stays {
                self.keys_age.remove(&IssuerLabels { issuer: issuer.clone() });
            }
            stays
        });
    }

    /// `revocations`: how many entries cut somebody off now.
    pub fn revoked(&self, entries: usize) {
        self.revocations.set(entries as u64);
    }

    /// `clock_skew_seconds`: AWS's clock minus ours, as used for signing.
    pub fn clock_skew(&self, seconds: i64) {
        self.clock_skew.set(seconds);
    }

    /// The `OpenMetrics` text of all of them ([`CONTENT_TYPE`]).
    pub fn encode(&self) -> String {
        self.compute_ages();
        let mut page = String::new();
        match text::encode(&mut page, &self.registry) {
            Ok(()) => page,
            // Writing to a String does not fail; if the crate's encoder does, a scraper must see no
            // half page as a whole one.
            Err(std::fmt::Error) => String::from("# EOF\n"),
        }
    }

    fn compute_ages(&self) {
        let now = clock::now();
        let fetched = self.keys_fetched.lock();
        for (issuer, at) in fetched.iter() {
            let age = now.duration_since(*at).unwrap_or_default();
            self.keys_age
                .get_or_create_owned(&IssuerLabels { issuer: issuer.clone() })
                .set(age.as_secs_f64());
        }
    }
}

impl Default for Metrics {
    fn default() -> Self {
        let mut names = Names(Registry::with_prefix("bedrock_gateway"));
        // The crate appends `_total` to counters itself.
        Self {
            requests: names.of(
                "requests",
                "Requests answered, by operation, status and reason of refusal",
                Family::default(),
            ),
            request_duration: names.of(
                "request_duration_seconds",
                "From the request's head to the last byte of its answer",
                Histogram::new(SECONDS),
            ),
            first_byte: names.of(
                "first_byte_seconds",
                "From the request's head to the first byte of the answer's body",
                Histogram::new(SECONDS),
            ),
            streams_open: names.of("streams_open", "Answers being relayed now", Gauge::default()),
            sts_calls: names.of("sts_calls", "Calls of sts:AssumeRole by outcome", Family::default()),
            sessions: names.of("sessions", "Sessions cached now", Gauge::default()),
            session_lookups: names.of(
                "session_lookups",
                "Look-ups of sessions by outcome",
                Family::default(),
            ),
            session_renewals: names.of(
                "session_renewals",
                "Renewals of sessions ahead of their end by outcome",
                Family::default(),
            ),
            session_evictions: names.of(
                "session_evictions",
                "Sessions dropped before their end for want of room",
                Counter::default(),
            ),
            token_checks: names.of("token_checks", "Tokens checked by issuer and outcome", Family::default()),
            key_refreshes: names.of(
                "key_refreshes",
                "Fetches of an issuer's key set by outcome",
                Family::default(),
            ),
            keys_age: names.of(
                "keys_age_seconds",
                "Seconds since an issuer's key set was last fetched",
                Family::default(),
            ),
            keys_fetched: Mutex::default(),
            mapping_replacements: names.of(
                "mapping_replacements",
                "Mapped values that AWS would not accept and that were replaced",
                Family::default(),
            ),
            config_generation: names.of(
                "config_generation",
                "Generation of the configuration in use",
                Gauge::default(),
            ),
            config_reload_failed: names.of(
                "config_reload_failed",
                "1 while a file of the configuration on disk is refused and the last good one is in use",
                Gauge::default(),
            ),
            clock_skew: names.of(
                "clock_skew_seconds",
                "AWS's clock minus this machine's, as used for signing",
                Gauge::default(),
            ),
            revocations: names.of(
                "revocations",
                "Entries of the deny file and of the admin port in force now",
                Gauge::default(),
            ),
            registry: names.0,
        }
    }
}

/// Registers what it hands back.
struct Names(Registry);

impl Names {
    fn of<M: Metric + Clone>(&mut self, name: &str, help: &str, metric: M) -> M {
        self.0.register(name, help, metric.clone());
        metric
    }
}

#[cfg(test)]
mod tests;
