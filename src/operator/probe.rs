//! The probe port: liveness, readiness, metrics. None of its answers names a caller.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tracing::error;

use crate::auth::IssuerStatus;
use crate::clock;
use crate::endpoint::Endpoint;
use crate::operator::answer::{Page, PageLimit, json_answer};
use crate::operator::problem::{Problem, ProblemCode};
use crate::operator::problem_log::ProblemLog;
use crate::proxy::Obstacle;
use crate::server::tls::{Certificate, Concern};
use crate::server::{Handler, Peer};
use crate::sessions::failure_text::FailureText;
use crate::sessions::own_credentials::OwnCredentials;
use crate::state::Gateway;
use crate::telemetry::log::output::LogHealth;
use crate::telemetry::log::process_log::ProcessLog;
use crate::telemetry::metrics::Format;

/// Whether load balancers may send requests to the gateway, and the problems that `/readyz` reports.
#[derive(Debug)]
pub struct Readiness {
    gateway: Arc<Gateway>,
    source: OwnCredentials,
    /// The certificate that the gateway shows to callers.
    certificate: Option<Arc<Certificate>>,
    /// The process log, if it goes to a file.
    process_log: Option<ProcessLog>,
    log: ProblemLog,
    /// Set once keys and credentials have been fetched. From then on only a drain makes the gateway not ready:
    /// a failure of the identity provider or of AWS would take all replicas out at once.
    was_ready: AtomicBool,
    draining: AtomicBool,
    /// The causes of rejected files, by the file's kind.
    rejected: Mutex<BTreeMap<&'static str, String>>,
    /// The keys of the configuration whose changes need a restart.
    restart: Mutex<Vec<&'static str>>,
}

impl Readiness {
    pub fn new(
        gateway: Arc<Gateway>,
        source: OwnCredentials,
        certificate: Option<Arc<Certificate>>,
        process_log: Option<ProcessLog>,
    ) -> Self {
        Self {
            gateway,
            source,
            certificate,
            process_log,
            log: ProblemLog::default(),
            was_ready: AtomicBool::new(false),
            draining: AtomicBool::new(false),
            rejected: Mutex::default(),
            restart: Mutex::default(),
        }
    }

    /// Records that a file of this kind was rejected, or with `None`, that it is valid. The message must not quote
    /// the file: `/readyz` needs no authentication.
    pub fn file(&self, kind: &'static str, rejected: Option<String>) {
        match rejected {
            Some(message) => self.rejected.lock().insert(kind, message),
            None => self.rejected.lock().remove(kind),
        };
    }

    /// Records the keys of the configuration whose changes need a restart.
    pub fn restart_required(&self, keys: Vec<&'static str>) {
        *self.restart.lock() = keys;
    }

    /// Makes the gateway not ready, for good.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Whether the gateway is ready, and the body of `/readyz`.
    pub fn report(&self) -> (bool, Value) {
        let config = self.gateway.config.load_full();
        if config.auth.status().iter().any(|issuer| issuer.keys_loaded)
            && self.source.status().had_credentials
        {
            self.was_ready.store(true, Ordering::Relaxed);
        }
        let problems: Vec<Value> = self.problems().iter().map(Problem::shown).collect();
        let draining = self.draining.load(Ordering::Relaxed);
        let ready = self.was_ready.load(Ordering::Relaxed) && !draining;
        let report = json!({
            "ready": ready,
            "draining": draining,
            "config_generation": config.mapping.generation,
            "problems": problems,
        });
        (ready, report)
    }

    /// Logs the problems that began or ended since the last call, and how many lines the logs lost.
    pub fn log_problems(&self) {
        if let Some(log) = &self.process_log {
            log.retry();
        }
        self.log_lost_lines();
        self.log.update(&self.problems());
    }

    /// Logs how many lines the logs lost since the last call, if the process log takes lines now.
    fn log_lost_lines(&self) {
        if self.process_log.as_ref().is_some_and(|log| log.health().failure().is_some()) {
            return;
        }
        for (log, health) in self.logs() {
            let lost = health.newly_lost();
            if lost > 0 {
                error!(log, lost, "log lines were lost: the disk was full, or it or the reader was too slow");
            }
        }
    }

    /// The problems that exist now, in the order of [`ProblemCode::ALL`].
    fn problems(&self) -> Vec<Problem> {
        let mut problems = self.of_issuers();
        problems.extend(self.of_own_credentials());
        problems.extend(self.of_sts());
        problems.extend(self.of_bedrock());
        problems.extend(self.of_certificate());
        problems.extend(self.of_logs());
        problems.extend(self.of_files());
        problems.extend(self.of_clock());
        problems
    }

    fn of_issuers(&self) -> Vec<Problem> {
        let issuers = self.gateway.config.load_full().auth.status();
        let problem = |issuer: &IssuerStatus| {
            let not_fetched = (!issuer.keys_loaded).then_some(NOT_FETCHED);
            let why = issuer.last_error.as_deref().or(not_fetched)?;
            let message = format!("signing keys of issuer {}: {why}", issuer.name);
            let pending = issuer.last_error.is_none();
            Some(Problem { pending, ..Problem::new(ProblemCode::IssuerKeys, &*issuer.name, message) })
        };
        issuers.iter().filter_map(problem).collect()
    }

    fn of_own_credentials(&self) -> Option<Problem> {
        let credentials = self.source.status();
        let pending = credentials.last_error.is_none();
        let not_fetched = (!credentials.had_credentials).then(|| FailureText::public(NOT_FETCHED));
        let why = credentials.last_error.or(not_fetched)?;
        let problem = Problem::of(ProblemCode::OwnCredentials, "the gateway's own AWS credentials", &why);
        Some(Problem { pending, ..problem })
    }

    fn of_sts(&self) -> Option<Problem> {
        let why = self.gateway.sessions.sts_health().failure()?;
        let home = &self.gateway.config.load().home;
        Some(Problem::of(ProblemCode::Sts, &format!("STS in {home}"), &why))
    }

    fn of_bedrock(&self) -> Vec<Problem> {
        let config = self.gateway.config.load_full();
        let problem = |endpoint: &Arc<Endpoint>| {
            let (why, place) = (endpoint.reach.failure()?, endpoint.place());
            let message = match why.obstacle {
                Obstacle::Proxy => format!("{place}: the gateway cannot connect: {}", why.text),
                Obstacle::HostName => format!(
                    "{place}: the host name does not resolve; check the spelling of aws.region and aws.endpoints, and \
                     DNS"
                ),
                Obstacle::Other => format!(
                    "{place}: the gateway cannot connect; check egress, the VPC endpoint, a proxy and \
                     aws.endpoints: {}",
                    why.text
                ),
            };
            Some(Problem::new(ProblemCode::Bedrock, place, message))
        };
        config.endpoints.iter().filter_map(problem).collect()
    }

    fn of_certificate(&self) -> Option<Problem> {
        let validity = self.certificate.as_ref()?.validity()?;
        let (begin, end) = (clock::rfc3339(validity.begin), clock::rfc3339(validity.end));
        let message = match validity.concern(clock::now())? {
            Concern::NotYetValid => {
                format!(
                    "the certificate of listen.tls is not valid before {begin}; check this machine's clock"
                )
            }
            Concern::Expired => {
                format!("the certificate of listen.tls expired at {end}; replace both files of listen.tls")
            }
            Concern::ExpiresSoon => {
                format!(
                    "the certificate of listen.tls expires at {end}; replace both files of listen.tls before"
                )
            }
        };
        Some(Problem::new(ProblemCode::Certificate, "", message))
    }

    /// The logs that can fail, by name.
    fn logs(&self) -> impl Iterator<Item = (&'static str, &LogHealth)> {
        let access = self.gateway.log.health().map(|health| ("access", health));
        let process = self.process_log.as_ref().map(|log| ("process", log.health()));
        access.into_iter().chain(process)
    }

    fn of_logs(&self) -> Vec<Problem> {
        let problem = |(log, health): (&str, &LogHealth)| {
            let message = format!(
                "the {log} log is not written: {}; free space, or correct the permissions of the file",
                health.failure()?
            );
            Some(Problem::new(ProblemCode::LogFile, log, message))
        };
        self.logs().filter_map(problem).collect()
    }

    fn of_files(&self) -> Vec<Problem> {
        let rejected = self.rejected.lock();
        let rejected = rejected.iter();
        let mut problems: Vec<Problem> =
            rejected.map(|(kind, message)| Problem::new(ProblemCode::FileRejected, *kind, message)).collect();
        let restart = self.restart.lock().join(", ");
        if !restart.is_empty() {
            let message = format!("restart required for: {restart}");
            problems.push(Problem::new(ProblemCode::RestartRequired, "", message));
        }
        problems
    }

    fn of_clock(&self) -> Option<Problem> {
        let skew = self.gateway.skew.seconds();
        let (apart, side) = (skew.unsigned_abs(), if skew > 0 { "behind" } else { "ahead of" });
        let message = format!("this machine's clock is {apart} s {side} AWS's clock; synchronize it");
        (skew != 0).then(|| Problem::new(ProblemCode::ClockSkew, "", message))
    }
}

const NOT_FETCHED: &str = "not fetched yet";

/// Answers `/healthz`, `/readyz` and `/metrics`.
#[derive(Debug)]
pub struct Probe {
    readiness: Arc<Readiness>,
    pages: PageLimit,
}

/// Downloads of `/metrics` in progress at once.
const PAGES: usize = 16;

impl Probe {
    pub fn new(readiness: Arc<Readiness>) -> Self {
        Self { readiness, pages: PageLimit::new(PAGES) }
    }

    fn metrics(&self, format: Format) -> Response<Page> {
        // Some gauges change without an event, for example when sessions expire, so this updates them.
        self.readiness.gateway.sessions.sweep();
        let gateway = &self.readiness.gateway;
        gateway.metrics.revoked(gateway.revocations.len());
        for (log, health) in self.readiness.logs() {
            gateway.metrics.log_lines_lost(log, health.lost());
        }
        let problems = self.readiness.problems();
        for code in ProblemCode::ALL {
            gateway.metrics.problem(code.as_str(), problems.iter().any(|problem| problem.code == code));
        }
        if let Some(validity) = self.readiness.certificate.as_ref().and_then(|shown| shown.validity()) {
            gateway.metrics.certificate_ends(validity.end);
        }
        gateway.metrics.requests_in_flight(gateway.limits.in_flight());
        for (name, level) in gateway.levels() {
            gateway.metrics.limit_is(name, level);
        }
        let mut answer = Response::new(Page::from(gateway.metrics.encode(format)));
        let content_type = HeaderValue::from_static(format.content_type());
        answer.headers_mut().insert(header::CONTENT_TYPE, content_type);
        answer
    }
}

impl Handler for Probe {
    type Body = Page;

    async fn call(self: Arc<Self>, request: Request<Incoming>, _peer: Peer) -> Response<Page> {
        if request.method() != Method::GET && request.method() != Method::HEAD {
            let message = "only GET and HEAD are allowed here";
            return json_answer(StatusCode::METHOD_NOT_ALLOWED, &json!({ "message": message }));
        }
        match request.uri().path() {
            "/healthz" => json_answer(StatusCode::OK, &json!({ "alive": true })),
            "/readyz" => {
                let (ready, report) = self.readiness.report();
                json_answer(if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, &report)
            }
            "/metrics" => {
                let accept = request.headers().get(header::ACCEPT).and_then(|value| value.to_str().ok());
                let format = Format::accepted(accept.unwrap_or_default());
                let probe = Arc::clone(&self);
                self.pages.answer(move || probe.metrics(format)).await
            }
            _ => {
                let message = "no such page; this port has /healthz, /readyz and /metrics";
                json_answer(StatusCode::NOT_FOUND, &json!({ "message": message }))
            }
        }
    }
}
