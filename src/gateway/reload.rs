//! The operator's files while the gateway runs: read again when they change or when somebody asks, checked
//! whole, and put into place between two requests. What is refused changes nothing.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tracing::{info, warn};

use super::file_watch::{Content, FileWatch};
use super::files::{CertificateFiles, DenyFile, Refused};
use super::restart_only::RestartOnly;
use super::{active_config, endpoints};
use crate::auth::Authenticator;
use crate::config::File;
use crate::identity::IdentityMemo;
use crate::operator::probe::Readiness;
use crate::revoke::Entry;
use crate::state::{ActiveConfig, Gateway};

/// How often files are looked at.
pub(super) const EVERY: Duration = Duration::from_secs(1);
/// A configuration that was refused for something outside it, such as a file that it names, is tried again after so
/// many looks.
const AGAIN: u32 = 10;

const CONFIGURATION: &str = "the configuration file";
const CERTIFICATE: &str = "the certificate files";
const DENY_FILE: &str = "the deny file";
/// A note, not a fault: what was changed in vain.
const RESTART: &str = "waiting for a restart";

/// Looks after the operator's files.
pub(super) struct Reloader {
    gateway: Arc<Gateway>,
    readiness: Arc<Readiness>,
    restart_only: RestartOnly,
    every: Duration,
    configuration: Option<(PathBuf, FileWatch)>,
    /// When the configuration is tried again whether it has changed or not.
    again: Option<Instant>,
    certificate: Option<CertificateFiles>,
    deny: Option<DenyFile>,
    /// All that is in the deny file, where more is in force.
    entries: Option<Vec<Arc<Entry>>>,
    /// The files that are refused as they are now.
    refused: BTreeSet<&'static str>,
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
        let refused = BTreeSet::new();
        Self {
            gateway,
            readiness,
            restart_only,
            every,
            configuration,
            again: None,
            certificate,
            deny,
            entries: None,
            refused,
        }
    }

    /// Looks after the files for as long as it is polled; `asked` makes it read them at once.
    pub(super) async fn run(mut self, asked: Arc<Notify>) {
        let mut tick = interval(self.every);
        // A file system that hung once is not to be asked many times at once.
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
        // First, since nothing else is as urgent.
        self.look_at_denials(at_once).await;
        self.look_at_configuration(at_once).await;
        // Whoever left the deny file may have been meant to be without a role, by a configuration that was written
        // along with it: until that one is good, they stay cut off.
        if !self.refused.contains(CONFIGURATION)
            && let Some(entries) = self.entries.take()
        {
            self.gateway.revocations.of_file(entries);
        }
        if let Some(certificate) = &mut self.certificate
            && let Some(content) = news(&mut certificate.watch, at_once).await
        {
            let outcome = certificate.show(&content);
            if outcome.is_ok() {
                info!("new connections are shown the certificate that was read again");
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
                // Nobody is let back in yet.
                self.gateway.revocations.also_of_file(&entries);
                self.entries = Some(entries);
            });
            if outcome.is_ok() {
                self.cut_off().await;
            }
            self.settle(DENY_FILE, outcome);
        }
    }

    async fn look_at_configuration(&mut self, at_once: bool) {
        let again = self.again.is_some_and(|at| Instant::now() >= at);
        if let Some((_, watch)) = &mut self.configuration
            && let Some(content) = match news(watch, at_once).await {
                None if again => watch.still().await,
                news => news,
            }
        {
            let outcome = self.load(content).await;
            self.again =
                matches!(outcome, Err(Refused::Other(_))).then(|| Instant::now() + AGAIN * self.every);
            self.settle(CONFIGURATION, outcome);
        }
    }

    /// Has whoever is cut off now leave no session behind.
    async fn cut_off(&self) {
        let gateway = Arc::clone(&self.gateway);
        let dropped = tokio::task::spawn_blocking(move || gateway.drop_revoked()).await.unwrap_or_default();
        let entries = self.gateway.revocations.len();
        info!(entries, sessions_dropped = dropped, "the deny file was loaded again");
    }

    /// Makes rules of the configuration and has requests go by them from now on.
    async fn load(&mut self, content: Content) -> Result<(), Refused> {
        let Some((path, _)) = &self.configuration else { return Ok(()) };
        let file = File { path: path.clone(), content: content.map_err(Refused::Other)?.concat() };
        let old = self.gateway.config.load_full();
        let made = {
            let old = Arc::clone(&old);
            // Compiles expressions and reads files, which takes its time.
            tokio::task::spawn_blocking(move || {
                let mut config = file.parse().map_err(Refused::File)?;
                let issuers = std::mem::take(&mut config.issuers);
                let auth = old.auth.successor(issuers).map_err(Refused::other)?;
                Ok((config, auth))
            })
        };
        let (mut config, auth) = made.await.map_err(Refused::other)??;
        let waiting = self.restart_only.changed_in(&config);
        let aws = self.restart_only.aws(&config.aws).clone();
        config.mapping.generation = old.mapping.generation + 1;
        let (generation, bodies) = (config.mapping.generation, old.bodies.with_max(config.listen.max_body));
        let names =
            config.mapping.issuers.iter().map(|issuer| Arc::clone(&issuer.issuer)).collect::<Vec<_>>();
        // The same endpoints keep their connections.
        let endpoints = if self.restart_only.has(&aws) {
            old.endpoints.clone()
        } else {
            endpoints(&aws).await.map_err(Refused::other)?
        };
        let deny = match &config.revoke {
            Some(path) if self.deny.as_ref().is_none_or(|file| file.path != *path) => {
                Some(DenyFile::read(path, &names).await.map_err(Refused::of_another)?)
            }
            Some(_) | None => None,
        };
        auth.start();
        self.first_keys(&auth).await;
        let file = deny.as_ref().map(|(_, entries)| entries).or(self.entries.as_ref());
        self.keeps_names(&old, &auth, file.map(Vec::as_slice))?;
        if let (Some(certificate), Some(files)) = (&mut self.certificate, &config.listen.tls) {
            certificate.go_by(files).await?;
        }

        let revocations = &self.gateway.revocations;
        let new_file = deny.is_some();
        if let Some((file, entries)) = deny {
            // Until the new rules are there, by the old file, too.
            revocations.also_of_file(&entries);
            (self.deny, self.entries) = (Some(file), Some(entries));
        }
        let active = active_config(auth, config.mapping, bodies, &aws, endpoints);
        self.gateway.config.store(Arc::new(active));
        self.restart_only.use_aws(aws);
        if let Some(entries) = self.entries.take() {
            revocations.of_file(entries);
        }
        if config.revoke.is_none() && self.deny.take().is_some() {
            revocations.of_file(Vec::new());
            warn!("the configuration names no deny file any more: its entries are gone");
            self.settle(DENY_FILE, Ok(()));
        }
        if new_file {
            self.cut_off().await;
            self.settle(DENY_FILE, Ok(()));
        }
        let metrics = &self.gateway.metrics;
        metrics.config_loaded(generation);
        metrics.issuers_are(&names);
        for warning in &config.warnings {
            warn!("{warning}");
        }
        info!(generation, "the configuration was loaded again");
        if !waiting.is_empty() {
            warn!(
                keys = waiting.join(", "),
                "what was changed here stays as it was until the gateway is restarted"
            );
        }
        self.readiness.file(RESTART, (!waiting.is_empty()).then(|| waiting.join(", ")));
        Ok(())
    }

    /// Waits for the keys of new issuers, so that no request has to because of a reload. Whoever is cut off
    /// meanwhile does not wait for them.
    async fn first_keys(&mut self, auth: &Authenticator<IdentityMemo>) {
        let mut keys = pin!(auth.first_keys());
        while timeout(self.every, &mut keys).await.is_err() {
            self.look_at_denials(false).await;
        }
    }

    /// Whoever is cut off by their issuer's name would be let back in if the issuer had another, and stay so if they
    /// are cut off by both. `file` has the entries that are to be in force.
    fn keeps_names(
        &self,
        old: &ActiveConfig,
        new: &Authenticator<IdentityMemo>,
        file: Option<&[Arc<Entry>]>,
    ) -> Result<(), Refused> {
        let meant = self.gateway.revocations.subjects(file);
        for (name, url) in old.auth.names() {
            let Some((now, _)) = new.names().find(|(now, its)| *its == url && *now != name) else { continue };
            let both = |subject: &String| meant.contains(&(now.to_owned(), subject.clone()));
            if meant.iter().any(|(issuer, subject)| issuer == name && !both(subject)) {
                return Err(Refused::Other(format!(
                    "issuer {name} is named {now} here, and subjects of {name} are cut off; cut them off as subjects of \
                     {now}, too"
                )));
            }
        }
        Ok(())
    }

    /// Tells log, metric and `/readyz` what became of a file.
    fn settle(&mut self, what: &'static str, outcome: Result<(), Refused>) {
        let amiss = match outcome {
            Ok(()) => {
                self.refused.remove(what);
                None
            }
            Err(refused) => {
                self.refused.insert(what);
                Some(refused.tell(what))
            }
        };
        self.gateway.metrics.config_refused(!self.refused.is_empty());
        self.readiness.file(what, amiss);
    }
}

/// What is to be looked at: something new, or whatever there is.
async fn news(watch: &mut FileWatch, at_once: bool) -> Option<Content> {
    if at_once { watch.read().await } else { watch.changed().await }
}

/// The configured names.
fn issuers(gateway: &Gateway) -> Vec<Arc<str>> {
    let rules = gateway.config.load();
    rules.mapping.issuers.iter().map(|mapping| Arc::clone(&mapping.issuer)).collect()
}
