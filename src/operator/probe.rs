//! The probe port: liveness, readiness, metrics. None of its answers names a caller.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::operator::answer::{Page, PageLimit, json_answer};
use crate::operator::problem::ProblemCode;
use crate::server::{Handler, Peer};
use crate::sessions::own_credentials::OwnCredentials;
use crate::state::Gateway;

/// Whether load balancers may send requests to the gateway, and the problems that `/readyz` reports.
#[derive(Debug)]
pub struct Readiness {
    gateway: Arc<Gateway>,
    source: OwnCredentials,
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
    pub fn new(gateway: Arc<Gateway>, source: OwnCredentials) -> Self {
        Self {
            gateway,
            source,
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
        let (issuers, generation) = (config.auth.status(), config.mapping.generation);
        let credentials = self.source.status();
        if issuers.iter().any(|issuer| issuer.keys_loaded) && credentials.had_credentials {
            self.was_ready.store(true, Ordering::Relaxed);
        }
        let mut problems = Vec::new();
        for issuer in &issuers {
            let not_fetched = (!issuer.keys_loaded).then_some("not fetched yet");
            if let Some(why) = issuer.last_error.as_deref().or(not_fetched) {
                let message = format!("signing keys of issuer {}: {why}", issuer.name);
                problems.push(ProblemCode::IssuerKeys.with(message));
            }
        }
        let not_fetched = (!credentials.had_credentials).then_some("not fetched yet");
        if let Some(why) = credentials.last_error.as_deref().or(not_fetched) {
            let message = format!("the gateway's own AWS credentials: {why}");
            problems.push(ProblemCode::OwnCredentials.with(message));
        }
        problems.extend(self.rejected.lock().values().map(|message| ProblemCode::FileRejected.with(message)));
        let restart = self.restart.lock().join(", ");
        if !restart.is_empty() {
            problems.push(ProblemCode::RestartRequired.with(format!("restart required for: {restart}")));
        }
        let skew = self.gateway.skew.seconds();
        if skew != 0 {
            let (apart, side) = (skew.unsigned_abs(), if skew > 0 { "behind" } else { "ahead of" });
            let message = format!("this machine's clock is {apart} s {side} AWS's clock; synchronize it");
            problems.push(ProblemCode::ClockSkew.with(message));
        }
        let draining = self.draining.load(Ordering::Relaxed);
        let ready = self.was_ready.load(Ordering::Relaxed) && !draining;
        let report = json!({
            "ready": ready,
            "draining": draining,
            "config_generation": generation,
            "problems": problems,
        });
        (ready, report)
    }
}

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

    fn metrics(&self) -> Response<Page> {
        // Sessions and revocations expire without an event, so counting them here updates their gauges.
        self.readiness.gateway.sessions.len();
        let gateway = &self.readiness.gateway;
        gateway.metrics.revoked(gateway.revocations.len());
        let mut answer = Response::new(Page::from(gateway.metrics.encode()));
        let format = "application/openmetrics-text; version=1.0.0; charset=utf-8";
        answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(format));
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
            "/metrics" => self.pages.answer(|| self.metrics()),
            _ => {
                let message = "no such page; this port has /healthz, /readyz and /metrics";
                json_answer(StatusCode::NOT_FOUND, &json!({ "message": message }))
            }
        }
    }
}
