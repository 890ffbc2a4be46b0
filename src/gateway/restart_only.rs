//! The keys of the configuration that take effect only at the start: sockets are bound, clients are built and logs
//! are open by then.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use crate::config::{Aws, Config, Listen};
use crate::sessions;
use crate::telemetry::log::LogSettings;

/// The tables with such keys, with the values in use.
#[derive(Debug)]
pub(super) struct RestartOnly {
    listen: Listen,
    aws: Aws,
    /// The CA files that connections to Bedrock trust.
    trusted: Vec<PathBuf>,
    connect_timeout: Duration,
    sts_timeout: Duration,
    sessions: sessions::SessionSettings,
    log: LogSettings,
}

impl RestartOnly {
    pub(super) fn of(config: &Config) -> Self {
        Self {
            listen: config.listen.clone(),
            trusted: authorities(&config.aws).cloned().collect(),
            aws: config.aws.clone(),
            connect_timeout: config.aws.timeouts.connect,
            sts_timeout: config.aws.timeouts.sts,
            sessions: config.sessions.clone(),
            log: config.log.clone(),
        }
    }

    /// The keys that `config` changes and that take effect only after a restart.
    pub(super) fn changed_in(&self, config: &Config) -> Vec<&'static str> {
        let (listen, other) = (&self.listen, &config.listen);
        let (sessions, asked) = (&self.sessions, &config.sessions);
        let keys = [
            ("listen.https", listen.https != other.https),
            ("listen.http", listen.http != other.http),
            ("listen.probe", listen.probe != other.probe),
            ("listen.admin", listen.admin != other.admin),
            ("listen.admin_token_file", listen.admin_token_file != other.admin_token_file),
            ("listen.drain_delay", listen.drain_delay != other.drain_delay),
            ("listen.workers", listen.workers != other.workers),
            ("listen.balancers", listen.balancers != other.balancers),
            ("listen.drain_timeout", listen.drain_timeout != other.drain_timeout),
            ("aws", !self.can_serve(&config.aws)),
            ("aws.connect_timeout", self.connect_timeout != config.aws.timeouts.connect),
            ("aws.sts_timeout", self.sts_timeout != config.aws.timeouts.sts),
            ("sessions.refresh_before", sessions.refresh_before != asked.refresh_before),
            ("sessions.capacity", sessions.capacity != asked.capacity),
            ("sessions.max_sts_rate", sessions.max_sts_rate != asked.max_sts_rate),
            ("sessions.per_name", sessions.per_name != asked.per_name),
            ("log", self.log != config.log),
        ];
        keys.into_iter().filter(|(_, changed)| *changed).map(|(key, _)| key).collect()
    }

    /// The longest wait for a session, which the STS client has.
    pub(super) fn sts_timeout(&self) -> Duration {
        self.sts_timeout
    }

    /// The number of threads that serve callers.
    pub(super) fn workers(&self) -> NonZeroUsize {
        self.listen.workers
    }

    /// Whether `aws` is the table in use.
    pub(super) fn has(&self, aws: &Aws) -> bool {
        self.aws == *aws
    }

    /// Records that `aws` is in use from now on.
    pub(super) fn use_aws(&mut self, aws: Aws) {
        self.aws = aws;
    }

    /// The table `[aws]` to use: the new one if the existing AWS clients can serve it, otherwise the old one. Never a
    /// mixture of both.
    pub(super) fn aws<'a>(&'a self, new: &'a Aws) -> &'a Aws {
        if self.can_serve(new) { new } else { &self.aws }
    }

    fn can_serve(&self, new: &Aws) -> bool {
        let old = &self.aws;
        let same_sts = old.region == new.region && old.endpoints.sts == new.endpoints.sts;
        same_sts
            && (old.fips, old.dual_stack) == (new.fips, new.dual_stack)
            && old.endpoints.ca == new.endpoints.ca
            && authorities(new).all(|file| self.trusted.contains(file))
    }
}

/// All CA files that a table names.
fn authorities(aws: &Aws) -> impl Iterator<Item = &PathBuf> {
    std::iter::once(&aws.endpoints).chain(aws.region_endpoints.values()).filter_map(|all| all.ca.as_ref())
}
