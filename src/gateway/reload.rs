//! Reloads the operator's files while the gateway runs: when they change, and on SIGHUP. Each file is checked whole
//! and replaces the old one between two requests. A rejected file changes nothing.

use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tracing::{error, info, warn};

use super::canaries::try_all;
use super::file_watch::{Content, FileWatch};
use super::files::{CertificateFiles, DenyFile, Rejected};
use super::restart_only::RestartOnly;
use super::{RequestSettings, active_config, endpoints};
use crate::auth::Authenticator;
use crate::config::File;
use crate::identity::canary::Canary;
use crate::identity::{IdentityMemo, Mapping};
use crate::operator::probe::Readiness;
use crate::revoke::Entry;
use crate::state::{ActiveConfig, Gateway};

/// The time between two readings of the files.
pub(super) const EVERY: Duration = Duration::from_secs(1);
/// Readings until the gateway retries a configuration that it rejected for a cause outside the file, for example
/// for another file that it names.
const AGAIN: u32 = 10;

const CONFIGURATION: &str = "configuration";
const CERTIFICATE: &str = "certificate";
const DENY_FILE: &str = "deny file";

/// Watches the operator's files and reloads them.
pub(super) struct Reloader {
    gateway: Arc<Gateway>,
    readiness: Arc<Readiness>,
    restart_only: RestartOnly,
    every: Duration,
    configuration: Option<(PathBuf, FileWatch)>,
    /// When the gateway retries the configuration even if it has not changed.
    again: Option<Instant>,
    /// The canary sessions that STS granted for the present version of the configuration, until that counts.
    granted: HashSet<Canary>,
    certificate: Option<CertificateFiles>,
    deny: Option<DenyFile>,
    /// The entries of the deny file, while entries that were removed from it are still in force.
    entries: Option<Vec<Arc<Entry>>>,
    /// The kinds of files whose present version is rejected, with the problems that the log has.
    rejected: BTreeMap<&'static str, Vec<String>>,
    /// The sessions that a reload of the deny file dropped, until that reload is logged.
    dropped: Option<usize>,
}

impl Reloader {
    pub(super) fn new(
        gateway: Arc<Gateway>,
        readiness: Arc<Readiness>,
        restart_only: RestartOnly,
        every: Duration,
        file: Option<File>,
        certificate: Option<CertificateFiles>,
        deny: Option<DenyFile>,
    ) -> Self {
        let configuration = file.map(|File { path, content }| {
            let watch = FileWatch::knowing(vec![path.clone()], &Ok(vec![content]));
            (path, watch)
        });
        let rejected = BTreeMap::new();
        Self {
            gateway,
            readiness,
            restart_only,
            every,
            configuration,
            again: None,
            granted: HashSet::new(),
            certificate,
            deny,
            entries: None,
            dropped: None,
            rejected,
        }
    }

    /// Watches the files for as long as it is polled. `asked` makes it read them at once.
    pub(super) async fn run(mut self, asked: Arc<Notify>) {
        let mut tick = interval(self.every);
        // After a file system has hung, the gateway does not make up for the readings it missed.
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let at_once = tokio::select! {
                () = asked.notified() => true,
                _ = tick.tick() => false,
            };
            self.look(at_once).await;
        }
    }

    async fn look(&mut self, at_once: bool) {
        if at_once {
            // The operator asks, so the log has the problems again.
            self.rejected.values_mut().for_each(Vec::clear);
        }
        // The deny file first: revocations are the most urgent change.
        self.look_at_denials(at_once).await;
        self.look_at_configuration(at_once).await;
        // A removed entry may rely on a role change in the same edit, so it stays in force until that configuration
        // loads.
        if !self.rejected.contains_key(CONFIGURATION) {
            self.remove_entries();
        }
        self.log_entries();
        if let Some(certificate) = &mut self.certificate
            && let Some(content) = news(&mut certificate.watch, at_once).await
        {
            let outcome = certificate.show(&content);
            if outcome.is_ok() {
                info!("certificate reloaded; new connections get it");
            }
            self.settle(CERTIFICATE, outcome);
        }
    }

    async fn look_at_denials(&mut self, at_once: bool) {
        if let Some(file) = &mut self.deny
            && let Some(content) = news(&mut file.watch, at_once).await
        {
            let issuers = issuers(&self.gateway);
            let outcome = file.entries(content, &issuers).await;
            let outcome = outcome.map(|entries| {
                // Added entries apply now; removed entries stay in force for the moment.
                self.entries = Some(self.gateway.revocations.also_of_file(entries));
            });
            if outcome.is_ok() {
                self.drop_revoked().await;
            }
            self.settle(DENY_FILE, outcome);
        }
    }

    async fn look_at_configuration(&mut self, at_once: bool) {
        let again = self.again.is_some_and(|at| Instant::now() >= at);
        if let Some((_, watch)) = &mut self.configuration
            && let Some((content, is_new)) = match news(watch, at_once).await {
                None if again => watch.still().await.map(|same| (same, false)),
                news => news.map(|new| (new, true)),
            }
        {
            if is_new {
                self.granted.clear();
            }
            let outcome = self.load(content).await;
            let is_outside = outcome.as_ref().is_err_and(Rejected::is_outside);
            self.again = is_outside.then(|| Instant::now() + AGAIN * self.every);
            self.settle(CONFIGURATION, outcome);
        }
    }

    /// Drops the cached sessions of revoked callers.
    async fn drop_revoked(&mut self) {
        let gateway = Arc::clone(&self.gateway);
        let dropped = tokio::task::spawn_blocking(move || gateway.drop_revoked()).await.unwrap_or_default();
        self.dropped = Some(self.dropped.unwrap_or_default() + dropped);
    }

    /// Ends the entries that were removed from the deny file.
    fn remove_entries(&mut self) {
        if let Some(entries) = self.entries.take() {
            self.gateway.revocations.of_file(entries);
            self.dropped.get_or_insert_default();
        }
    }

    /// Logs that the deny file was reloaded, once its removed entries have ended: so the number of entries is that of
    /// the metric and of `GET /revocations`.
    fn log_entries(&mut self) {
        if let Some(dropped) = self.dropped.take() {
            let entries = self.gateway.revocations.len();
            info!(entries, sessions_dropped = dropped, "deny file reloaded");
        }
    }

    /// Builds the active configuration from the file's content, and makes it the one of all requests from now on.
    async fn load(&mut self, content: Content) -> Result<(), Rejected> {
        let Some((path, _)) = &self.configuration else { return Ok(()) };
        let file = File { path: path.clone(), content: content.map_err(Rejected::Other)?.concat() };
        let old = self.gateway.config.load_full();
        let made = {
            let old = Arc::clone(&old);
            // In a thread of its own: it compiles expressions and reads files, which is slow.
            tokio::task::spawn_blocking(move || {
                let mut config = file.parse().map_err(Rejected::File)?;
                let issuers = std::mem::take(&mut config.issuers);
                let auth = old.auth.successor(issuers).map_err(Rejected::other)?;
                Ok((config, auth))
            })
        };
        let (mut config, auth) = made.await.map_err(Rejected::other)??;
        let restart = self.restart_only.changed_in(&config);
        let aws = self.restart_only.aws(&config.aws).clone();
        config.mapping.generation = old.mapping.generation + 1;
        let generation = config.mapping.generation;
        let limits = config.limits;
        let bodies = old.bodies.with_limits(config.listen.max_body, limits.memory);
        let names =
            config.mapping.issuers.iter().map(|issuer| Arc::clone(&issuer.issuer)).collect::<Vec<_>>();
        // Unchanged endpoints keep their open connections.
        let endpoints = if self.restart_only.has(&aws) {
            old.endpoints.clone()
        } else {
            endpoints(&aws, self.restart_only.workers(), &old.endpoints).await.map_err(Rejected::other)?
        };
        let deny = match &config.revoke {
            Some(path) if self.deny.as_ref().is_none_or(|file| file.path != *path) => {
                Some(DenyFile::read(path, &names).await.map_err(Rejected::of_another)?)
            }
            Some(_) | None => None,
        };
        auth.start();
        // So that no request waits for the signing keys of new issuers after the reload.
        self.beside(auth.first_keys()).await;
        if config.aws.canary {
            self.try_roles(&config.mapping, &old.mapping).await?;
        }
        let file = deny.as_ref().map(|(_, entries)| entries).or(self.entries.as_ref());
        self.keeps_names(&old, &auth, file.map(Vec::as_slice))?;
        if let (Some(certificate), Some(files)) = (&mut self.certificate, &config.listen.tls) {
            certificate.use_files(files).await?;
        }

        let revocations = &self.gateway.revocations;
        let is_new_file = deny.is_some();
        if let Some((file, entries)) = deny {
            // Until the new configuration is active, the entries of the old file stay in force as well.
            (self.deny, self.entries) = (Some(file), Some(revocations.also_of_file(entries)));
        }
        let requests =
            RequestSettings { bodies, limits: limits.requests, upstream_messages: config.upstream_messages };
        let active = active_config(auth, config.mapping, requests, &aws, endpoints);
        self.gateway.config.store(Arc::new(active));
        self.gateway.connections.change(limits.connections);
        self.restart_only.use_aws(aws);
        self.granted.clear();
        self.remove_entries();
        if config.revoke.is_none() && self.deny.take().is_some() {
            self.gateway.revocations.of_file(Vec::new());
            warn!("the configuration no longer names a deny file: its entries are no longer in force");
            self.settle(DENY_FILE, Ok(()));
        }
        if is_new_file {
            self.drop_revoked().await;
            self.settle(DENY_FILE, Ok(()));
        }
        let metrics = &self.gateway.metrics;
        metrics.config_loaded(generation);
        metrics.issuers_are(&names);
        for warning in &config.warnings {
            warn!("{warning}");
        }
        info!(generation, "configuration reloaded");
        self.readiness.restart_required(restart);
        Ok(())
    }

    /// Requests a canary session for each role that `new` changes. If STS denies one, callers of that role would get
    /// none either. STS that gives no answer rejects nothing.
    async fn try_roles(&mut self, new: &Mapping, old: &Mapping) -> Result<(), Rejected> {
        let canaries = new.canaries_since(old).into_iter().filter(|canary| !self.granted.contains(canary));
        let (sessions, limit) = (Arc::clone(&self.gateway.sessions), self.restart_only.sts_timeout());
        let mut tried = self.beside(try_all(sessions, canaries.collect(), limit)).await;
        self.granted.extend(tried.granted.drain(..));
        tried.verdict()
    }

    /// Finishes `work`, which may take seconds. Meanwhile the gateway still reads the present deny file: a revocation
    /// waits neither for an issuer nor for STS.
    async fn beside<F: Future>(&mut self, work: F) -> F::Output {
        let mut work = pin!(work);
        loop {
            match timeout(self.every, &mut work).await {
                Ok(done) => return done,
                Err(_elapsed) => self.look_at_denials(false).await,
            }
        }
    }

    /// Rejects a configuration that renames an issuer with revoked subjects: entries have the old name, so these
    /// subjects would get access again. The rename is accepted if each of them is revoked under the new name as well.
    /// `file` has the entries that will be in force.
    fn keeps_names(
        &self,
        old: &ActiveConfig,
        new: &Authenticator<IdentityMemo>,
        file: Option<&[Arc<Entry>]>,
    ) -> Result<(), Rejected> {
        let revoked = self.gateway.revocations.subjects(file);
        for (name, url) in old.auth.names() {
            let Some((now, _)) = new.names().find(|(now, its)| *its == url && *now != name) else { continue };
            let both = |subject: &String| revoked.contains(&(now.to_owned(), subject.clone()));
            if revoked.iter().any(|(issuer, subject)| issuer == name && !both(subject)) {
                return Err(Rejected::Other(format!(
                    "issuer {name} is renamed to {now}, but subjects of {name} are revoked; revoke them as subjects of \
                     {now} as well"
                )));
            }
        }
        Ok(())
    }

    /// Reports in log, metric and `/readyz` whether a file is valid.
    fn settle(&mut self, kind: &'static str, outcome: Result<(), Rejected>) {
        let rejected = match outcome {
            Ok(()) => {
                self.rejected.remove(kind);
                None
            }
            Err(rejected) => {
                let details = rejected.details();
                if self.rejected.get(kind) != Some(&details) {
                    for detail in &details {
                        error!("{kind}: {detail}");
                    }
                }
                self.rejected.insert(kind, details);
                Some(rejected.message(kind))
            }
        };
        self.gateway.metrics.config_refused(!self.rejected.is_empty());
        self.readiness.file(kind, rejected);
    }
}

/// The content of the watched files if it is new; with `at_once`, also if it is not.
async fn news(watch: &mut FileWatch, at_once: bool) -> Option<Content> {
    if at_once { watch.read().await } else { watch.changed().await }
}

/// The configured names of the issuers.
fn issuers(gateway: &Gateway) -> Vec<Arc<str>> {
    let rules = gateway.config.load();
    rules.mapping.issuers.iter().map(|mapping| Arc::clone(&mapping.issuer)).collect()
}
