//! Every metric: its name, help and labels.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// The process's metrics.
#[derive(Debug, Default)]
pub struct Metrics {}

impl Metrics {
    pub fn new() -> Arc<Self> {
        Arc::new(Self::default())
    }
    /// `token_checks_total{issuer,outcome}`: outcome is `remembered`, `verified` or an `AuthError::reason`.
    pub fn token_checked(&self, _issuer: &str, _outcome: &'static str) {}
    /// `key_refreshes_total{issuer,outcome}`: `ok` or `failed`.
    pub fn keys_refreshed(&self, _issuer: &str, _outcome: &'static str) {}
    /// `keys_age_seconds{issuer}`, computed at scrape time from this.
    pub fn keys_fetched_at(&self, _issuer: &str, _at: SystemTime) {}
    /// `mapping_replacements_total{target}`: `name`, `source_identity` or a tag key.
    pub fn value_replaced(&self, _target: &str) {}
    /// `sts_calls_total{outcome}`: `ok`, or a reason.
    pub fn sts_called(&self, _outcome: &'static str) {}
    /// `sessions`: how many are cached now.
    pub fn sessions_cached(&self, _count: u64) {}
    /// `session_lookups_total{outcome}`: `hit`, `miss`, `stale`, `denied`, `failed`.
    pub fn session_looked_up(&self, _outcome: &'static str) {}
    /// `session_renewals_total{outcome}`: `ok`, `denied`, `failed`.
    pub fn session_renewed(&self, _outcome: &'static str) {}
    /// `session_evictions_total`.
    pub fn session_evicted(&self) {}
    /// `requests_total{operation,status,reason}`, `request_duration_seconds`, `first_byte_seconds`.
    pub fn request_finished(
        &self,
        _operation: &'static str,
        _status: u16,
        _reason: &'static str,
        _took: Duration,
        _first_byte: Option<Duration>,
    ) {
    }
    /// `streams_open`: +1 / -1.
    pub fn stream_opened(&self) {}
    pub fn stream_closed(&self) {}
    /// `config_generation`, `config_reload_failed`.
    pub fn config_loaded(&self, _generation: u64) {}
    /// `clock_skew_seconds`: AWS's clock minus ours, as used for signing.
    pub fn clock_skew(&self, _seconds: i64) {}
    /// The OpenMetrics text of all of them.
    pub fn encode(&self) -> String {
        String::new()
    }
}
