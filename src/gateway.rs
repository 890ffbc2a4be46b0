//! Builds every part of the gateway from the configuration, runs the parts and drains them.

use std::io;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use aws_credential_types::provider::SharedCredentialsProvider;
use tokio::sync::{Notify, watch};
use tokio::task::{JoinHandle, JoinSet};
use tracing::{info, warn};

use crate::auth::{Authenticator, CacheLimits, IssuerSetupError};
use crate::authorize::body::Bodies;
use crate::clock::{self, in_words};
use crate::config::{Aws, Config, File, counted};
use crate::endpoint::{Endpoint, EndpointError, Endpoints, NoEndpoint};
use crate::gateway::files::{CertificateFiles, DenyFile};
use crate::gateway::listeners::Listeners;
use crate::gateway::reload::Reloader;
use crate::gateway::restart_only::RestartOnly;
use crate::identity::{IdentityMemo, Mapping};
use crate::limits::requests::{Limits, RequestLimits};
use crate::operator::admin::Admin;
use crate::operator::probe::{Probe, Readiness};
use crate::proxy::{InvalidProxy, Proxy};
use crate::revoke::Revocations;
use crate::route::Service;
use crate::server::connections::{ConnectionLimits, Connections};
use crate::server::tls::TlsError;
use crate::server::{Listener, OPERATORS_CONNECTIONS, Server};
use crate::sessions::Sessions;
use crate::sessions::caller_identity::CallerIdentity;
use crate::sessions::own_credentials::OwnCredentials;
use crate::sessions::sts::StsClient;
use crate::state::{ActiveConfig, Gateway};
use crate::telemetry::access::AccessLog;
use crate::telemetry::log::LogError;
use crate::telemetry::log::process_log::ProcessLog;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::unfinished::Unfinished;
use crate::upstream::pool::{self, ConnectorError};
use crate::upstream::skew::Skew;
use crate::upstream::{self, Upstream};
use crate::workers::Workers;
use crate::workers::poll_meter::PollMeter;

mod canaries;
mod file_watch;
mod files;
mod health;
mod listeners;
mod reload;
mod restart_only;
mod sweep;

/// The cause for which the gateway did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The certificate, its key or the deny file.
    #[error("{0}")]
    File(String),
    #[error(transparent)]
    Issuers(#[from] IssuerSetupError),
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    #[error(transparent)]
    Pool(#[from] ConnectorError),
    #[error("cannot build the STS client: {0}")]
    Sts(#[from] crate::sessions::StsSetupError),
    #[error(transparent)]
    Log(#[from] LogError),
    #[error(transparent)]
    Proxy(#[from] InvalidProxy),
}

/// Parts of its environment that the caller of [`GatewayHandle::start_with`] can replace.
#[derive(Debug)]
pub struct Overrides {
    pub log: Arc<AccessLog>,
    /// The process log, if it goes to a file.
    pub process_log: Option<ProcessLog>,
    /// The gateway's own credentials. `None`: the default chain of the AWS SDKs finds them.
    pub credentials: Option<SharedCredentialsProvider>,
    /// The file of the configuration, which is reloaded when it changes. `None`: the configuration never changes.
    pub file: Option<File>,
    /// The time between two readings of the operator's files. `None`: one second.
    pub look_every: Option<Duration>,
    /// The proxy for connections to issuers, STS and Bedrock.
    pub proxy: Proxy,
    /// Measures the tasks of the workers, for benchmarks.
    pub polls: Option<Arc<PollMeter>>,
}

/// The addresses that the gateway listens on. A configured port 0 is replaced by the port that the system chose.
#[derive(Debug, Clone, Copy, Default)]
pub struct Addresses {
    pub https: Option<SocketAddr>,
    pub http: Option<SocketAddr>,
    pub probe: Option<SocketAddr>,
    pub admin: Option<SocketAddr>,
}

/// How the gateway has to stop, from "not" to "at once".
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stop {
    Not,
    Drain,
    Now,
}

/// A running gateway.
#[derive(Debug)]
pub struct GatewayHandle {
    addresses: Addresses,
    stop: watch::Sender<Stop>,
    serving: JoinHandle<usize>,
    look_again: Arc<Notify>,
    logs: (Arc<AccessLog>, Option<ProcessLog>),
}

impl GatewayHandle {
    /// Builds the gateway from `config`, which was read from `file`, binds the listeners and serves. Signing keys and
    /// own credentials are fetched in the background; `/readyz` reports when they are available. The runtime that calls
    /// this does all work except that of callers' connections, which the workers serve.
    ///
    /// # Errors
    /// When a file, an address or a host name of `config` cannot be read, bound or resolved, or no thread can be started.
    pub async fn start(
        config: Config,
        file: File,
        process_log: Option<ProcessLog>,
    ) -> Result<Self, StartError> {
        let log = Arc::new(AccessLog::open(&config.log, process_log.as_ref())?);
        let (file, proxy) = (Some(file), Proxy::from_environment()?);
        let overrides =
            Overrides { log, process_log, credentials: None, file, look_every: None, proxy, polls: None };
        Self::start_with(config, overrides).await
    }

    /// [`GatewayHandle::start`] with parts of the gateway's environment replaced.
    ///
    /// # Errors
    /// The same as for [`GatewayHandle::start`].
    pub async fn start_with(config: Config, overrides: Overrides) -> Result<Self, StartError> {
        let metrics = Metrics::new();
        metrics.config_loaded(config.mapping.generation);
        let proxy = overrides.proxy;
        log_proxy(&proxy);
        let sts_settings = config.aws.sts_settings(proxy.clone());
        let source = match overrides.credentials {
            Some(provider) => OwnCredentials::new(provider),
            None => OwnCredentials::from_environment(&sts_settings)?,
        };
        let sts = StsClient::new(&sts_settings, source.clone())?;
        let caller_identity = CallerIdentity::over(&sts);
        let sessions = Sessions::new(&config.sessions, sts, Arc::clone(&metrics));
        let restart_only = RestartOnly::of(&config);
        let names = config.issuer_names();
        let revocations = Revocations::default();
        let deny = match &config.revoke {
            None => None,
            Some(path) => {
                let (file, entries) = DenyFile::read(path, &names).await?;
                revocations.of_file(entries);
                Some(file)
            }
        };
        let (limits, counts) = (CacheLimits::default(), Arc::clone(&metrics));
        let auth = Authenticator::through(proxy.clone(), config.issuers, limits, counts)?;
        auth.start();
        let requests = RequestSettings {
            bodies: Bodies::new(config.listen.max_body, config.limits.memory),
            limits: config.limits.requests,
            upstream_messages: config.upstream_messages,
        };
        let endpoints = endpoints(&config.aws, config.listen.workers, &Endpoints::default()).await?;
        let active = active_config(auth, config.mapping, requests, &config.aws, endpoints);
        let log = Arc::clone(&overrides.log);
        let gateway = Arc::new(Gateway {
            config: ArcSwap::from_pointee(active),
            connections: Connections::new(config.limits.connections),
            limits: Limits::default(),
            sessions,
            upstream: upstream(&config.aws, proxy)?,
            skew: Skew::default(),
            revocations,
            log: overrides.log,
            metrics,
            unfinished: Unfinished::default(),
        });
        let certificate = match &config.listen.tls {
            None => None,
            Some(files) => Some(CertificateFiles::read(files).await?),
        };
        let shown = certificate.as_ref().map(|files| &files.shown);
        let process_log = overrides.process_log.clone();
        let readiness = Readiness::new(Arc::clone(&gateway), source.clone(), shown.cloned(), process_log);
        let readiness = Arc::new(readiness);
        let Listeners { addresses, callers, probe, admin } = Listeners::open(&config.listen, shown)?;
        let admin_service =
            Arc::new(Admin::new(Arc::clone(&gateway), config.listen.admin_token_file.as_deref())?);
        let every = overrides.look_every.unwrap_or(reload::EVERY);
        let (at, ready) = (Arc::clone(&gateway), Arc::clone(&readiness));
        let reloader = Reloader::new(at, ready, restart_only, every, overrides.file, certificate, deny);
        let (stop, stopping) = watch::channel(Stop::Not);
        let (workers, here) = (Workers::start(config.listen.workers, overrides.polls)?, Workers::here());
        let probe_service = Arc::new(Probe::new(Arc::clone(&readiness)));
        let serving = Serving {
            callers: Server::new(Arc::clone(&gateway), Arc::clone(&gateway.connections), workers),
            probe: Server::new(probe_service, operators(), Arc::clone(&here)),
            admin: Server::new(admin_service, operators(), here),
            gateway: Arc::clone(&gateway),
            readiness: Arc::clone(&readiness),
            drain_delay: config.listen.drain_delay,
            drain_timeout: config.listen.drain_timeout,
        };
        let look_again = Arc::new(Notify::new());
        // The files are watched until the drain is over: a revocation also applies to the requests in flight then.
        let mut watching = JoinSet::new();
        watching.spawn(reloader.run(Arc::clone(&look_again)));
        watching.spawn(health::report_problems(readiness));
        watching.spawn(health::check_sts(Arc::clone(&gateway), source, caller_identity));
        watching.spawn(sweep::sweep(Arc::clone(&gateway)));
        watching.spawn(health::check_bedrock(gateway));
        let serving = tokio::spawn(async move {
            let aborted = serving.run(callers, probe, admin, stopping).await;
            watching.abort_all();
            aborted
        });
        let logs = (log, overrides.process_log);
        Ok(Self { addresses, stop, serving, look_again, logs })
    }

    /// Reloads the operator's files now, also if they have not changed, and opens the log files again.
    pub fn reload(&self) {
        let (access, process) = &self.logs;
        access.reopen();
        if let Some(process) = process {
            process.reopen();
        }
        self.look_again.notify_one();
    }

    pub fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// Makes the gateway not ready. After `drain_delay` it accepts no new connections, and the requests in flight have
    /// `drain_timeout` to finish.
    pub fn drain(&self) {
        self.stop.send_if_modified(|stop| std::mem::replace(stop, Stop::Drain.max(*stop)) == Stop::Not);
    }

    /// Aborts all open connections.
    pub fn stop_now(&self) {
        self.stop.send_replace(Stop::Now);
    }

    /// Waits until everything has stopped. Returns the number of aborted connections.
    pub async fn stopped(&mut self) -> usize {
        (&mut self.serving).await.unwrap_or_default()
    }
}

/// The timeout for writing the access log's lines of aborted requests.
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
    /// Serves until `stop` changes. The probe port and the admin port close last: they show the drain.
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
                        info!(
                            delay = in_words(delay),
                            "drain started: not ready, but still accepting connections"
                        );
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
        info!(
            requests,
            timeout = in_words(self.drain_timeout),
            "draining: no new connections, waiting for requests in flight"
        );
        let gateway = Arc::clone(&self.gateway);
        let timed_out = AtomicBool::new(false);
        let give_up = async {
            tokio::select! {
                () = tokio::time::sleep(self.drain_timeout) => timed_out.store(true, Ordering::Relaxed),
                () = reached(stop, Stop::Now) => {}
            }
            gateway.unfinished.begin();
        };
        let aborted = self.callers.drain(give_up).await;
        // HTTP/2 requests are tasks of their own, which end a moment after their connection.
        let _late = tokio::time::timeout(LAST_RECORDS, self.gateway.limits.idle()).await.is_err();
        if aborted > 0 {
            let requests = gateway.unfinished.requests();
            warn!(
                connections = aborted,
                requests,
                operations = %gateway.unfinished,
                "{}: aborted {}, {}; the access log has a line for each request, with `ended` = `drain`",
                if timed_out.load(Ordering::Relaxed) { "drain timeout" } else { "second signal" },
                counted(aborted, "connection"),
                counted(requests, "request"),
            );
        }
        gateway.log.flush();
        probes_end.send_replace(Stop::Now);
        for task in [probing, administering] {
            if let Err(error) = task.await {
                warn!(%error, "the task of a listener failed");
            }
        }
        let some = |number: usize| (number > 0).then_some(number);
        info!(
            aborted_connections = some(aborted),
            aborted_requests = some(gateway.unfinished.requests()),
            "stopped"
        );
        aborted
    }
}

/// The connections of the probe port, or of the admin port.
fn operators() -> Arc<Connections> {
    Connections::new(ConnectionLimits { connections: OPERATORS_CONNECTIONS, ..ConnectionLimits::default() })
}

async fn reached(mut stop: watch::Receiver<Stop>, level: Stop) {
    // An error means that the sender was dropped together with the `GatewayHandle`.
    let _gone = stop.wait_for(|stop| *stop >= level).await.is_err();
}

/// Says which proxy is used, and for which connections.
fn log_proxy(proxy: &Proxy) {
    if let (Some(name), Some((variable, no_proxy))) = (proxy.name(), proxy.origin()) {
        info!(
            proxy = name,
            no_proxy,
            "HTTPS to issuers, STS and Bedrock goes through the proxy of {variable}, except to the hosts of NO_PROXY, \
             to this machine and to metadata services"
        );
    }
}

fn upstream(aws: &Aws, proxy: Proxy) -> Result<Upstream, StartError> {
    Ok(Upstream::new(pool::connector(&aws.ca_files(), aws.timeouts.connect, proxy)?))
}

/// The settings of requests that are the same for all callers.
struct RequestSettings {
    bodies: Bodies,
    limits: RequestLimits,
    upstream_messages: bool,
}

/// The part of one configuration that requests use.
fn active_config(
    auth: Authenticator<IdentityMemo>,
    mapping: Mapping,
    requests: RequestSettings,
    aws: &Aws,
    endpoints: Endpoints,
) -> ActiveConfig {
    ActiveConfig {
        auth,
        mapping: Arc::new(mapping),
        bodies: requests.bodies,
        requests: requests.limits,
        home: aws.region.as_str().into(),
        regions: aws.all_regions().map(Arc::from).collect(),
        endpoints,
        upstream_messages: requests.upstream_messages,
        since: clock::now(),
    }
}

async fn endpoints(aws: &Aws, workers: NonZeroUsize, old: &Endpoints) -> Result<Endpoints, EndpointError> {
    let mut endpoints = Endpoints::default();
    for region in std::iter::once(&aws.region).chain(&aws.regions) {
        for service in Service::ALL {
            let url = aws.endpoint_url(region, service);
            if let Some(endpoint) = Endpoint::of(service, region, url, aws.fips, aws.dual_stack).await? {
                let region: Arc<str> = region.as_str().into();
                let endpoint = endpoint.within(aws.timeouts.answer).of_workers(workers.get());
                let endpoint = Arc::new(match old.find(&region, service) {
                    Ok(old) => endpoint.after(old),
                    Err(NoEndpoint) => endpoint,
                });
                upstream::keep_swept(&endpoint);
                endpoints.insert(region, service, endpoint);
            }
        }
    }
    Ok(endpoints)
}
