//! The operator's files while the gateway runs: read again when they change or when somebody asks, checked
//! whole, and put into place between two requests. What is refused changes nothing.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{MissedTickBehavior, interval};
use tracing::{error, info, warn};

use super::fixed::Fixed;
use super::watched::{Content, Watched, read};
use super::{StartError, rules};
use crate::config::{File, Problems, Tls};
use crate::request::Gateway;
use crate::server::probe::Readiness;
use crate::server::tls::Certificate;

/// How often files are looked at.
const EVERY: Duration = Duration::from_secs(1);

const CONFIGURATION: &str = "the configuration file";
const CERTIFICATE: &str = "the certificate files";
/// A note, not a fault: what was changed in vain.
const RESTART: &str = "waiting for a restart";

/// Looks after the operator's files.
pub(super) struct Reloader {
    gateway: Arc<Gateway>,
    readiness: Arc<Readiness>,
    fixed: Fixed,
    configuration: Option<(PathBuf, Watched)>,
    certificate: Option<CertificateFiles>,
    /// The files that are refused as they are now.
    refused: BTreeSet<&'static str>,
}

/// The listener's certificate, and where it comes from.
pub(super) struct CertificateFiles {
    files: Tls,
    watched: Watched,
    pub(super) shown: Arc<Certificate>,
}

/// Why what files hold is not put into place.
enum Refused {
    File(Problems),
    Other(String),
}

impl CertificateFiles {
    /// # Errors
    /// When a file cannot be read, or they are no certificate and its key.
    pub(super) async fn read(files: &Tls) -> Result<Self, StartError> {
        let content = read(&paths(files)).await;
        let (chain, key) = halves(&content).map_err(StartError::File)?;
        let shown = Arc::new(Certificate::new(chain, key)?);
        Ok(Self { files: files.clone(), watched: Watched::knowing(paths(files), &content), shown })
    }

    fn show(&self, content: &Content) -> Result<(), String> {
        let (chain, key) = halves(content)?;
        self.shown.replace(chain, key).map_err(|error| error.to_string())
    }
}

fn paths(files: &Tls) -> Vec<PathBuf> {
    vec![files.cert.clone(), files.key.clone()]
}

fn halves(content: &Content) -> Result<(&[u8], &[u8]), String> {
    match content.as_ref().map_err(Clone::clone)?.as_slice() {
        [chain, key] => Ok((chain, key)),
        _ => Err("there is a certificate and a key".to_owned()),
    }
}

impl Reloader {
    pub(super) fn new(
        gateway: Arc<Gateway>,
        readiness: Arc<Readiness>,
        fixed: Fixed,
        file: Option<File>,
        certificate: Option<CertificateFiles>,
    ) -> Self {
        let configuration = file.map(|File { path, content }| {
            let watched = Watched::knowing(vec![path.clone()], &Ok(vec![content]));
            (path, watched)
        });
        Self { gateway, readiness, fixed, configuration, certificate, refused: BTreeSet::new() }
    }

    /// Looks after the files for as long as it is polled; `asked` makes it read them at once.
    pub(super) async fn run(mut self, asked: Arc<Notify>) {
        let mut tick = interval(EVERY);
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
        if let Some((_, watched)) = &mut self.configuration {
            let content = if at_once { Some(watched.read().await) } else { watched.changed().await };
            if let Some(content) = content {
                self.load(content).await;
            }
        }
        if let Some(certificate) = &mut self.certificate {
            let watched = &mut certificate.watched;
            let content = if at_once { Some(watched.read().await) } else { watched.changed().await };
            if let Some(content) = content {
                let shown = certificate.show(&content);
                if shown.is_ok() {
                    info!("new connections are shown the certificate that was read again");
                }
                self.settle(CERTIFICATE, shown.map_err(Refused::Other));
            }
        }
    }

    async fn load(&mut self, content: Content) {
        let put = self.put_into_place(content).await;
        self.settle(CONFIGURATION, put);
    }

    /// Makes rules of the configuration and has requests go by them from now on.
    async fn put_into_place(&mut self, content: Content) -> Result<(), Refused> {
        let Some((path, _)) = &self.configuration else { return Ok(()) };
        let file = File { path: path.clone(), content: content.map_err(Refused::Other)?.concat() };
        let old = self.gateway.rules.load_full();
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
        let waiting = self.fixed.changed_in(&config);
        let aws = self.fixed.aws(&config.aws).clone();
        config.mapping.generation = old.mapping.generation + 1;
        let (generation, bodies) = (config.mapping.generation, old.bodies.with_max(config.listen.max_body));
        auth.start();
        // Nobody is to wait for keys because of a reload.
        auth.first_keys().await;
        let names =
            config.mapping.issuers.iter().map(|issuer| Arc::clone(&issuer.issuer)).collect::<Vec<_>>();
        let rules = rules(auth, config.mapping, bodies, &aws).await.map_err(Refused::other)?;
        self.move_certificate(config.listen.tls.as_ref()).await?;

        self.gateway.rules.store(Arc::new(rules));
        self.fixed.use_aws(aws);
        let metrics = &self.gateway.books.metrics;
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

    /// Shows the certificate of other files, if the configuration names others.
    async fn move_certificate(&mut self, files: Option<&Tls>) -> Result<(), Refused> {
        let (Some(certificate), Some(files)) = (&mut self.certificate, files) else { return Ok(()) };
        if certificate.files == *files {
            return Ok(());
        }
        let content = read(&paths(files)).await;
        certificate.show(&content).map_err(Refused::Other)?;
        certificate.watched = Watched::knowing(paths(files), &content);
        certificate.files = files.clone();
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
        self.readiness.file(what, amiss);
        self.gateway.books.metrics.config_refused(!self.refused.is_empty());
    }
}

impl Refused {
    fn other(error: impl std::fmt::Display) -> Self {
        Self::Other(error.to_string())
    }

    /// Every problem to the log. Returns what anybody may know, which is nothing that stands in the file.
    fn tell(&self, what: &str) -> String {
        const KEPT: &str = "the last good one stays in use, see the log";
        match self {
            Self::File(Problems(problems)) => {
                for problem in problems {
                    error!("{problem}");
                }
                error!(problems = problems.len(), "{what} is refused; the last good one stays in use");
                let first = problems.first().map_or(0, |problem| problem.line);
                format!("refused for {} problems, the first in line {first}; {KEPT}", problems.len())
            }
            Self::Other(fault) => {
                error!(fault, "{what} is refused; the last good one stays in use");
                format!("refused; {KEPT}")
            }
        }
    }
}
