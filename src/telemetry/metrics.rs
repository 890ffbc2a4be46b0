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
use prometheus_client::registry::{Metric, Registry};

use crate::clock;
use crate::limits::Level;
use crate::reason::Reason;
use crate::route::Operation;
use crate::telemetry::access::Ended;
use crate::version;
use by_outcome::Histograms;
use process::Process;

pub use by_outcome::Outcome;
pub use format::Format;

mod by_outcome;
mod format;
mod process;

/// The process's metrics. To count costs a read lock and a hash at most. No request waits for a scrape.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    request_duration: Histograms,
    first_byte: Histograms,
    requests_in_flight: Gauge<u64, AtomicU64>,
    streams_open: Gauge,
    upstream_throttled: Family<ThrottledLabels, Counter>,
    limit: Family<NameLabels, Gauge<u64, AtomicU64>>,
    limit_used: Family<NameLabels, Gauge<u64, AtomicU64>>,
    certificate_not_after: Family<ListenerLabels, Gauge<u64, AtomicU64>>,
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
struct ThrottledLabels {
    operation: &'static str,
    region: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct NameLabels {
    name: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ListenerLabels {
    listener: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BuildLabels {
    version: &'static str,
    commit: &'static str,
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

    /// `requests_total{operation,status,reason}`, and `request_duration_seconds` and `first_byte_seconds` by operation and
    /// outcome. Without an operation, the request named none.
    pub fn request_finished(
        &self,
        operation: Option<Operation>,
        (status, reason): (u16, Reason),
        ended: Ended,
        took: Duration,
        first_byte: Option<Duration>,
    ) {
        let outcome = Outcome::of(status, reason, ended);
        let (name, reason) = (operation.map_or("none", Operation::as_str), reason.as_str());
        self.requests.get_or_create_owned(&RequestLabels { operation: name, status, reason }).inc();
        self.request_duration.observe(operation, outcome, took);
        if let Some(first_byte) = first_byte {
            self.first_byte.observe(operation, outcome, first_byte);
        }
    }

    /// `requests_in_flight`.
    pub fn requests_in_flight(&self, requests: usize) {
        self.requests_in_flight.set(requests as u64);
    }

    /// `upstream_throttled_total{operation,region}`.
    pub fn upstream_throttled(&self, operation: Option<Operation>, region: &str) {
        let operation = operation.map_or("none", Operation::as_str);
        let labels = ThrottledLabels { operation, region: region.to_owned() };
        self.upstream_throttled.get_or_create_owned(&labels).inc();
    }

    /// `limit{name}` and `limit_used{name}`: a key of `[limits]`, and the fullest that it limits.
    pub fn limit_is(&self, name: &'static str, level: Level) {
        self.limit.get_or_create_owned(&NameLabels { name }).set(level.limit as u64);
        self.limit_used.get_or_create_owned(&NameLabels { name }).set(level.used as u64);
    }

    /// `certificate_not_after_seconds{listener}` of the HTTPS listener.
    pub fn certificate_ends(&self, at: SystemTime) {
        let since_1970 = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        self.certificate_not_after
            .get_or_create_owned(&ListenerLabels { listener: "https" })
            .set(since_1970.as_secs());
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

    /// The page of all metrics.
    pub fn encode(&self, format: Format) -> String {
        self.compute_ages();
        let mut page = String::new();
        // Writing to a String does not fail. If the crate's encoder does, the scraper gets an empty page rather than half
        // of one.
        if let Err(std::fmt::Error) = text::encode(&mut page, &self.registry) {
            page = String::from("# EOF\n");
        }
        match format {
            Format::OpenMetrics => page,
            Format::Prometheus => format::prometheus(&page),
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
    #[expect(clippy::too_many_lines, reason = "a table: each metric with its help")]
    fn default() -> Self {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Process));
        let mut names = Names(registry.sub_registry_with_prefix("bedrock_gateway"));
        let build: Family<BuildLabels, Gauge> = names.of(
            "build_info",
            "Always 1. version: the version of the gateway. commit: the commit that it was built from",
            Family::default(),
        );
        build.get_or_create_owned(&BuildLabels { version: version::VERSION, commit: version::COMMIT }).set(1);
        // The crate appends `_total` to counters itself.
        Self {
            requests: names.of(
                "requests",
                "Requests that ended. operation: a row of the table of operations, or none before one was \
                 recognized. status: the HTTP status of the answer. reason: why the request ended as it did",
                Family::default(),
            ),
            request_duration: Histograms::new(names.of(
                "request_duration_seconds",
                "Time from a request's head to the last byte of its answer, in seconds, of every request that ended. \
                 outcome: answered, upstream_error, refused, failed, client_left",
                Histograms::family(),
            )),
            first_byte: Histograms::new(names.of(
                "first_byte_seconds",
                "Time from a request's head to the first byte of its answer's body, in seconds, of every answer \
                 that has a body",
                Histograms::family(),
            )),
            requests_in_flight: names.of(
                "requests_in_flight",
                "Requests of callers that have not ended",
                Gauge::default(),
            ),
            upstream_throttled: names.of(
                "upstream_throttled",
                "Requests that Bedrock refused because of its own quotas. operation: a row of the table of \
                 operations. region: the region of the call",
                Family::default(),
            ),
            limit: names.of(
                "limit",
                "The limit that applies to what limit_used counts. name: a key of the table limits",
                Family::default(),
            ),
            limit_used: names.of(
                "limit_used",
                "What is in use of a limit now: by all, or by the fullest principal or connection. name: a key of \
                 the table limits",
                Family::default(),
            ),
            certificate_not_after: names.of(
                "certificate_not_after_seconds",
                "When the certificate of a listener expires, in seconds since 1970. listener: https",
                Family::default(),
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
            registry,
        }
    }
}

/// The registry under construction. [`Names::of`] registers each metric and returns it.
struct Names<'a>(&'a mut Registry);

impl Names<'_> {
    fn of<M: Metric + Clone>(&mut self, name: &str, help: &str, metric: M) -> M {
        self.0.register(name, help, metric.clone());
        metric
    }
}

#[cfg(test)]
mod tests;
