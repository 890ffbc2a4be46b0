//! Builds every part from the configuration, owns them, runs them and drains them.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use aws_credential_types::provider::SharedCredentialsProvider;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tracing::{info, warn};

use crate::auth::{Authenticator, CacheLimits, IssuerSetupError};
use crate::authorize::body::Bodies;
use crate::config::{Aws, Config, EndpointUrls, File};
use crate::endpoint::{Endpoint, EndpointError, Endpoints};
use crate::gateway::files::{CertificateFiles, DenyFile};
use crate::gateway::listeners::Listeners;
use crate::gateway::reload::Reloader;
use crate::gateway::restart_only::RestartOnly;
use crate::identity::{IdentityMemo, Mapping};
use crate::limits::requests::Limits;
use crate::operator::admin::Admin;
use crate::operator::probe::{Probe, Readiness};
use crate::revoke::Revocations;
use crate::route::Service;
use crate::server::tls::TlsError;
use crate::server::{CONNECTIONS, Listener, OPERATORS_CONNECTIONS, Server};
use crate::sessions::own_credentials::OwnCredentials;
use crate::sessions::sts::StsClient;
use crate::sessions::{Sessions, StsSettings};
use crate::state::{ActiveConfig, Gateway};
use crate::telemetry::access::AccessLog;
use crate::telemetry::log::LogError;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::unfinished::Unfinished;
use crate::upstream::pool::{self, ConnectorError};
use crate::upstream::skew::Skew;
use crate::upstream::{self, Upstream};

mod file_watch;
mod files;
mod listeners;
mod reload;
mod restart_only;

/// Why the gateway did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The operator's files beside the configuration.
    #[error("{0}")]
    File(String),
    #[error(transparent)]
    Issuers(#[from] IssuerSetupError),
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    #[error(transparent)]
    Pool(#[from] ConnectorError),
    #[error("STS cannot be used: {0}")]
    Sts(#[from] crate::sessions::StsSetupError),
    #[error(transparent)]
    Log(#[from] LogError),
}

/// What of its surroundings a gateway may be given instead of finding it itself.
#[derive(Debug)]
pub struct Overrides {
    pub log: Arc<AccessLog>,
    /// The gateway's own credentials; `None` looks for them where every AWS SDK does.
    pub credentials: Option<SharedCredentialsProvider>,
    /// What the configuration was read from, to be read again when it changes; `None`: it stays as it is.
    pub file: Option<File>,
    /// How often the operator's files are looked at; `None`: every second.
    pub look_every: Option<Duration>,
}

/// Where the gateway listens; ports are the real ones.
#[derive(Debug, Clone, Copy, Default)]
pub struct Addresses {
    pub https: Option<SocketAddr>,
    pub http: Option<SocketAddr>,
    pub probe: Option<SocketAddr>,
    pub admin: Option<SocketAddr>,
}

/// How far stopping has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stop {
    Not,
    Drain,
    Now,
}

/// A gateway that serves until it is told to stop.
#[derive(Debug)]
pub struct GatewayHandle {
    addresses: Addresses,
    stop: watch::Sender<Stop>,
    serving: JoinHandle<usize>,
    look_again: Arc<Notify>,
}

impl GatewayHandle {
    /// Builds everything that `config` says, which was read from `file`, binds the listeners and serves. Keys
    /// and credentials are fetched in the background; `/readyz` tells when they are there.
    ///
    /// # Errors
    /// When something that `config` names cannot be read, bound or resolved.
    pub async fn start(config: Config, file: File) -> Result<Self, StartError> {
        let log = Arc::new(AccessLog::open(&config.log)?);
        Self::start_with(config, Overrides { log, credentials: None, file: Some(file), look_every: None })
            .await
    }

    /// [`GatewayHandle::start`] with some of the gateway's surroundings given.
    ///
    /// # Errors
    /// As [`GatewayHandle::start`].
    pub async fn start_with(config: Config, overrides: Overrides) -> Result<Self, StartError> {
        let metrics = Metrics::new();
        metrics.config_loaded(config.mapping.generation);
        let sts_settings = sts_settings(&config.aws);
        let source = match overrides.credentials {
            Some(provider) => OwnCredentials::new(provider),
            None => OwnCredentials::from_environment(&sts_settings).await?,
        };
        let sts = StsClient::new(&sts_settings, source.clone())?;
        let sessions = Sessions::new(&config.sessions, sts, Arc::clone(&metrics));
        let restart_only = RestartOnly::of(&config);
        let names: Vec<_> = config.issuers.iter().map(|issuer| Arc::clone(&issuer.name)).collect();
        let revocations = Revocations::default();
        let deny = match &config.revoke {
            None => None,
            Some(path) => {
                let (file, entries) = DenyFile::read(path, &names).await?;
                revocations.of_file(entries);
                Some(file)
            }
        };
        let auth = Authenticator::new(config.issuers, CacheLimits::default(), Arc::clone(&metrics))?;
        auth.start();
        let bodies = Bodies::new(config.listen.max_body);
        let endpoints = endpoints(&config.aws).await?;
        let active = active_config(auth, config.mapping, bodies, &config.aws, endpoints);
        let gateway = Arc::new(Gateway {
            config: ArcSwap::from_pointee(active),
            limits: Limits::default(),
            sessions,
            upstream: upstream(&config.aws)?,
            skew: Skew::default(),
            revocations,
            log: overrides.log,
            metrics,
            unfinished: Unfinished::default(),
        });
        let readiness = Arc::new(Readiness::new(Arc::clone(&gateway), source.clone()));
        tokio::spawn(keep_trying(source));

        let certificate = match &config.listen.tls {
            None => None,
            Some(files) => Some(CertificateFiles::read(files).await?),
        };
        let shown = certificate.as_ref().map(|files| &files.shown);
        let Listeners { addresses, callers, probe, admin } = Listeners::open(&config.listen, shown)?;
        let admin_service =
            Arc::new(Admin::new(Arc::clone(&gateway), config.listen.admin_token_file.as_deref())?);
        let every = overrides.look_every.unwrap_or(reload::EVERY);
        let (at, ready) = (Arc::clone(&gateway), Arc::clone(&readiness));
        let reloader = Reloader::new(at, ready, restart_only, every, overrides.file, certificate, deny);
        let (stop, stopping) = watch::channel(Stop::Not);
        let serving = Serving {
            callers: Server::new(Arc::clone(&gateway), CONNECTIONS),
            probe: Server::new(Arc::new(Probe::new(Arc::clone(&readiness))), OPERATORS_CONNECTIONS),
            admin: Server::new(admin_service, OPERATORS_CONNECTIONS),
            gateway,
            readiness,
            drain_delay: config.listen.drain_delay,
            drain_timeout: config.listen.drain_timeout,
        };
        let look_again = Arc::new(Notify::new());
        // To the very end: whoever is cut off while open requests finish is cut off, too.
        let reloading = tokio::spawn(reloader.run(Arc::clone(&look_again)));
        let serving = tokio::spawn(async move {
            let cut = serving.run(callers, probe, admin, stopping).await;
            reloading.abort();
            cut
        });
        Ok(Self { addresses, stop, serving, look_again })
    }

    /// Reads the operator's files again now, whether they have changed or not.
    pub fn reload(&self) {
        self.look_again.notify_one();
    }

    pub fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// Readiness goes down; after `drain_delay` no connection is accepted any more, and what is open has
    /// `drain_timeout` to finish.
    pub fn drain(&self) {
        self.stop.send_if_modified(|stop| std::mem::replace(stop, Stop::Drain.max(*stop)) == Stop::Not);
    }

    /// What is open is cut.
    pub fn stop_now(&self) {
        self.stop.send_replace(Stop::Now);
    }

    /// Waits until everything has stopped; returns how many connections were cut.
    pub async fn stopped(&mut self) -> usize {
        (&mut self.serving).await.unwrap_or_default()
    }
}

/// How long what was cut may take to be written down.
const LAST_RECORDS: Duration = Duration::from_secs(1);

struct Serving {
    callers: Server<Gateway>,
    probe: Server<Probe>,
    admin: Server<Admin>,
    gateway: Arc<Gateway>,
    readiness: Arc<Readiness>,
    drain_delay: Duration,
    drain_timeout: Duration,
}

impl Serving {
    /// Serves until told to stop. The listeners for probes and operators live longest: they say that we drain.
    async fn run(
        mut self,
        callers: Vec<Listener>,
        probe: Vec<Listener>,
        admin: Vec<Listener>,
        stop: watch::Receiver<Stop>,
    ) -> usize {
        let (probes_end, end) = watch::channel(Stop::Not);
        let until = end.clone();
        let probing = tokio::spawn(async move {
            self.probe.accept(probe, reached(until, Stop::Now)).await;
            self.probe.drain(std::future::ready(())).await;
        });
        let administering = tokio::spawn(async move {
            self.admin.accept(admin, reached(end, Stop::Now)).await;
            self.admin.drain(std::future::ready(())).await;
        });
        {
            let readiness = Arc::clone(&self.readiness);
            let (stop, delay, leave) = (stop.clone(), self.drain_delay, self.callers.leaving());
            self.callers
                .accept(callers, async move {
                    reached(stop.clone(), Stop::Drain).await;
                    readiness.drain();
                    if !delay.is_zero() {
                        info!(?delay, "leaving: not ready any more, but still accepting connections");
                        leave();
                        tokio::select! {
                            () = tokio::time::sleep(delay) => {}
                            () = reached(stop, Stop::Now) => {}
                        }
                    }
                })
                .await;
        }
        let requests = self.gateway.limits.in_flight();
        info!(requests, timeout = ?self.drain_timeout, "draining: no new connections, open requests may finish");
        let gateway = Arc::clone(&self.gateway);
        let give_up = async {
            tokio::select! {
                () = tokio::time::sleep(self.drain_timeout) => {}
                () = reached(stop, Stop::Now) => {}
            }
            gateway.unfinished.begin();
        };
        let cut = self.callers.drain(give_up).await;
        if cut > 0 {
            // Requests by HTTP/2 are tasks of their own, which notice a moment later.
            let _late = tokio::time::timeout(LAST_RECORDS, self.gateway.limits.idle()).await.is_err();
            warn!(
                connections = cut,
                requests = gateway.unfinished.requests(),
                operations = %gateway.unfinished,
                "cut what had not finished; the access log has each request, with `ended` = `drain`"
            );
        }
        gateway.log.flush();
        probes_end.send_replace(Stop::Now);
        for task in [probing, administering] {
            if let Err(error) = task.await {
                warn!(%error, "a listener's task failed");
            }
        }
        cut
    }
}

async fn reached(mut stop: watch::Receiver<Stop>, level: Stop) {
    // An error says that the sender is gone, and with it whoever wanted this to run.
    let _gone = stop.wait_for(|stop| *stop >= level).await.is_err();
}

fn sts_settings(aws: &Aws) -> StsSettings {
    StsSettings {
        region: aws.region.clone(),
        endpoint: aws.endpoints.sts.clone(),
        ca: aws.endpoints.ca.clone(),
        fips: aws.fips,
        dual_stack: aws.dual_stack,
    }
}

/// Fetches the gateway's own credentials until they were had once; from then on STS calls renew them.
async fn keep_trying(source: OwnCredentials) {
    const PAUSE: Duration = Duration::from_secs(5);
    while let Err(error) = source.warm().await {
        let causes = source.status().last_error.unwrap_or_else(|| error.to_string());
        warn!(error = causes, "the gateway has no AWS credentials of its own yet");
        tokio::time::sleep(PAUSE).await;
    }
}

fn upstream(aws: &Aws) -> Result<Upstream, StartError> {
    let extra: Vec<&Path> = std::iter::once(&aws.endpoints)
        .chain(aws.region_endpoints.values())
        .filter_map(|endpoints| endpoints.ca.as_deref())
        .collect();
    Ok(Upstream::new(pool::connector(&extra)?))
}

/// What one configuration says of requests.
fn active_config(
    auth: Authenticator<IdentityMemo>,
    mapping: Mapping,
    bodies: Bodies,
    aws: &Aws,
    endpoints: Endpoints,
) -> ActiveConfig {
    ActiveConfig {
        auth,
        mapping,
        bodies,
        home: aws.region.as_str().into(),
        regions: aws.all_regions().map(Arc::from).collect(),
        endpoints,
    }
}

async fn endpoints(aws: &Aws) -> Result<Endpoints, EndpointError> {
    let mut endpoints = Endpoints::default();
    for region in std::iter::once(&aws.region).chain(&aws.regions) {
        let written =
            if *region == aws.region { Some(&aws.endpoints) } else { aws.region_endpoints.get(region) };
        for service in Service::ALL {
            let url = written.and_then(|urls: &EndpointUrls| match service {
                Service::Runtime => urls.bedrock_runtime.as_ref(),
                Service::ControlPlane => urls.bedrock.as_ref(),
                Service::Mantle => urls.bedrock_mantle.as_ref(),
            });
            if let Some(endpoint) = Endpoint::of(service, region, url, aws.fips, aws.dual_stack).await? {
                let endpoint = Arc::new(endpoint);
                upstream::keep_swept(&endpoint);
                endpoints.insert(region.as_str().into(), service, endpoint);
            }
        }
    }
    Ok(endpoints)
}
