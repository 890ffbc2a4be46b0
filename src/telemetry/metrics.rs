//! Every metric: its name, help and labels. No label ever holds a caller's name, the text of a token or anything
//! else that a caller chooses. Issuers are the configured names.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
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

/// Upper bounds of the histograms, seconds: a refusal takes a millisecond, a long generation half an hour.
const SECONDS: [f64; 17] =
    [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 1800.0];

/// The process's metrics. To count costs a read lock and a hash at most. No request waits for a scrape.
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
    /// When each issuer's keys were fetched. Each scrape computes `keys_age` from it.
    keys_fetched: Mutex<BTreeMap<String, SystemTime>>,
    mapping_replacements: Family<TargetLabels, Counter>,
    config_generation: Gauge<u64, AtomicU64>,
    config_reload_failed: Gauge,
    clock_skew: Gauge,
    revocations: Gauge<u64, AtomicU64>,
    problem: Family<CodeLabels, Gauge>,
    log_lines_lost: Family<LogLabels, Counter>,
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
struct LogLabels {
    log: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CodeLabels {
    code: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TargetLabels {
    target: String,
}

/// The counter of one set of labels.
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

    /// `token_checks_total{issuer,outcome="remembered"}` of one issuer. Nearly every request counts here, so the
    /// caller of this function looks the counter up once and keeps it.
    pub fn remembered_tokens(&self, issuer: &str) -> Count {
        let labels = IssuerOutcomeLabels { issuer: issuer.to_owned(), outcome: "remembered" };
        Count(self.token_checks.get_or_create_owned(&labels))
    }

    /// `token_checks_total{issuer,outcome}`, except for `remembered`: the outcome is `verified` or an
    /// `AuthError::reason`. The issuer is a configured name, never the `iss` of an unverified token.
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

    /// Notes when an issuer's keys were fetched. Each scrape computes `keys_age_seconds{issuer}` from it.
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

    /// `sessions`: the number of cached sessions.
    pub fn sessions_cached(&self, count: u64) {
        self.sessions.set(count);
    }

    /// `session_lookups_total{outcome="hit"}`. Nearly every request counts here, so the caller of this function looks
    /// the counter up once and keeps it.
    pub fn session_hits(&self) -> Count {
        Count(self.session_lookups.get_or_create_owned(&OutcomeLabels { outcome: "hit" }))
    }

    /// `session_lookups_total{outcome}`, except for `hit`: `miss`, `stale`, `denied`, `failed`.
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

    /// `config_reload_failed`: whether the gateway rejected a file on disk and still uses the version before.
    pub fn config_refused(&self, refused: bool) {
        self.config_reload_failed.set(refused.into());
    }

    /// Sets the names of the configured issuers. `keys_age_seconds` ends for all other names.
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

    /// `revocations`: the number of entries in force.
    pub fn revoked(&self, entries: usize) {
        self.revocations.set(entries as u64);
    }

    /// `problem{code}`: whether `/readyz` lists a problem with this code.
    pub fn problem(&self, code: &'static str, exists: bool) {
        self.problem.get_or_create_owned(&CodeLabels { code }).set(exists.into());
    }

    /// `log_lines_lost_total{log}`: `access` or `process`, and the number since the start.
    pub fn log_lines_lost(&self, log: &'static str, lost: u64) {
        self.log_lines_lost.get_or_create_owned(&LogLabels { log }).inner().store(lost, Ordering::Relaxed);
    }

    /// `clock_skew_seconds`: AWS's clock minus this machine's, as used for signing.
    pub fn clock_skew(&self, seconds: i64) {
        self.clock_skew.set(seconds);
    }

    /// The page of all metrics, in the `OpenMetrics` text format ([`CONTENT_TYPE`]).
    pub fn encode(&self) -> String {
        self.compute_ages();
        let mut page = String::new();
        match text::encode(&mut page, &self.registry) {
            Ok(()) => page,
            // Writing to a String does not fail. If the crate's encoder does, the scraper gets an empty page rather
            // than half of one.
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
                "Requests that ended. operation: a row of the table of operations, or \"none\" before one was \
                 recognized. status: the HTTP status of the answer. reason: why the request ended as it did",
                Family::default(),
            ),
            request_duration: names.of(
                "request_duration_seconds",
                "Time from a request's head to the last byte of its answer, in seconds, of every request that ended",
                Histogram::new(SECONDS),
            ),
            first_byte: names.of(
                "first_byte_seconds",
                "Time from a request's head to the first byte of its answer's body, in seconds, of every answer \
                 that has a body",
                Histogram::new(SECONDS),
            ),
            streams_open: names.of("streams_open", "Streams from Bedrock that the gateway relays now", Gauge::default()),
            sts_calls: names.of(
                "sts_calls",
                "Sessions that the gateway requested from STS by AssumeRole, with their retries as one. outcome: \
                 ok, or the reason of the failure",
                Family::default(),
            ),
            sessions: names.of("sessions", "Sessions that are cached now", Gauge::default()),
            session_lookups: names.of(
                "session_lookups",
                "Requests that looked up their session. outcome: hit (cached), stale (cached; a renewal is due), \
                 miss (from STS), denied (STS refused it), failed (no session for another reason)",
                Family::default(),
            ),
            session_renewals: names.of(
                "session_renewals",
                "Renewals of sessions before they expire. outcome: ok, denied (STS refused it), failed",
                Family::default(),
            ),
            session_evictions: names.of(
                "session_evictions",
                "Sessions that the gateway dropped before they expired, because a limit was reached",
                Counter::default(),
            ),
            token_checks: names.of(
                "token_checks",
                "Tokens that the gateway checked. issuer: the configured name. outcome: verified, remembered \
                 (verified before), or the reason of the rejection",
                Family::default(),
            ),
            key_refreshes: names.of(
                "key_refreshes",
                "Fetches of an issuer's signing keys. issuer: the configured name. outcome: ok, failed",
                Family::default(),
            ),
            keys_age: names.of(
                "keys_age_seconds",
                "Time since the gateway last fetched an issuer's signing keys, in seconds. issuer: the configured \
                 name",
                Family::default(),
            ),
            keys_fetched: Mutex::default(),
            mapping_replacements: names.of(
                "mapping_replacements",
                "Mapped values that the gateway replaced because AWS would not accept them. target: name, \
                 source_identity, or a tag key",
                Family::default(),
            ),
            config_generation: names.of(
                "config_generation",
                "Number of the configuration in use; each configuration that is loaded adds one",
                Gauge::default(),
            ),
            config_reload_failed: names.of(
                "config_reload_failed",
                "1 while the gateway rejects a file on disk and uses the last valid one, otherwise 0",
                Gauge::default(),
            ),
            clock_skew: names.of(
                "clock_skew_seconds",
                "AWS's clock minus this machine's, in seconds, as used for signatures",
                Gauge::default(),
            ),
            revocations: names.of(
                "revocations",
                "Revocations in force now, from the deny file and the admin port",
                Gauge::default(),
            ),
            problem: names.of(
                "problem",
                "1 while /readyz lists a problem with this code, otherwise 0. code: the problem's",
                Family::default(),
            ),
            log_lines_lost: names.of(
                "log_lines_lost",
                "Lines of a log that were lost, because it could not be written or its disk or reader was too slow. \
                 log: access, process",
                Family::default(),
            ),
            registry: names.0,
        }
    }
}

/// The registry under construction. [`Names::of`] registers each metric and returns it.
struct Names(Registry);

impl Names {
    fn of<M: Metric + Clone>(&mut self, name: &str, help: &str, metric: M) -> M {
        self.0.register(name, help, metric.clone());
        metric
    }
}

#[cfg(test)]
mod tests;
