//! The probe listener: alive, ready, metrics. No user is in any of it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use parking_lot::{Mutex, MutexGuard};
use serde_json::{Value, json};

use crate::operator::answer::{Page, PageLimit, json_answer};
use crate::server::{Handler, Peer};
use crate::sessions::own_credentials::OwnCredentials;
use crate::state::Gateway;

/// Whether the gateway may be sent traffic.
#[derive(Debug)]
pub struct Readiness {
    gateway: Arc<Gateway>,
    source: OwnCredentials,
    /// Keys and credentials were had once: from then on only draining is a reason to send traffic
    /// elsewhere, since every replica would fail this check at once.
    was_ready: AtomicBool,
    draining: AtomicBool,
    /// What is wrong with the operator's files, by what they are.
    files: Mutex<BTreeMap<&'static str, String>>,
}

impl Readiness {
    pub fn new(gateway: Arc<Gateway>, source: OwnCredentials) -> Self {
        Self {
            gateway,
            source,
            was_ready: AtomicBool::new(false),
            draining: AtomicBool::new(false),
            files: Mutex::default(),
        }
    }

    /// What is wrong with one of the operator's files, if anything. No words of the file: anybody may read
    /// them here.
    pub fn file(&self, what: &'static str, amiss: Option<String>) {
        match amiss {
            Some(amiss) => self.files().insert(what, amiss),
            None => self.files().remove(what),
        };
    }

    fn files(&self) -> MutexGuard<'_, BTreeMap<&'static str, String>> {
        self.files.lock()
    }

    /// From now on the gateway is not ready any more.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Whether traffic is welcome, and everything that is amiss.
    pub fn report(&self) -> (bool, Value) {
        let config = self.gateway.config.load_full();
        let (issuers, generation) = (config.auth.status(), config.mapping.generation);
        let credentials = self.source.status();
        if issuers.iter().any(|issuer| issuer.keys_loaded) && credentials.had_credentials {
            self.was_ready.store(true, Ordering::Relaxed);
        }
        let mut amiss = Vec::new();
        for issuer in &issuers {
            if let Some(error) = &issuer.last_error {
                amiss.push(format!("keys of issuer {}: {error}", issuer.name));
            } else if !issuer.keys_loaded {
                amiss.push(format!("keys of issuer {}: not fetched yet", issuer.name));
            }
        }
        match &credentials.last_error {
            Some(error) => amiss.push(format!("the gateway's own credentials: {error}")),
            None if !credentials.had_credentials => {
                amiss.push("the gateway's own credentials: not had yet".to_owned());
            }
            None => {}
        }
        amiss.extend(self.files().iter().map(|(what, fault)| format!("{what}: {fault}")));
        let skew = self.gateway.skew.seconds();
        if skew != 0 {
            amiss.push(format!("this machine's clock is {skew} s off AWS's"));
        }
        let draining = self.draining.load(Ordering::Relaxed);
        let ready = self.was_ready.load(Ordering::Relaxed) && !draining;
        (
            ready,
            json!({ "ready": ready, "draining": draining, "config_generation": generation, "amiss": amiss }),
        )
    }
}

/// Answers `/healthz`, `/readyz` and `/metrics`.
#[derive(Debug)]
pub struct Probe {
    readiness: Arc<Readiness>,
    pages: PageLimit,
}

/// Pages of metrics on their way to whoever scrapes.
const PAGES: usize = 16;

impl Probe {
    pub fn new(readiness: Arc<Readiness>) -> Self {
        Self { readiness, pages: PageLimit::new(PAGES) }
    }

    fn metrics(&self) -> Response<Page> {
        // Counting brings the gauges up to date: entries end without anybody noticing.
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
            return json_answer(StatusCode::METHOD_NOT_ALLOWED, &json!({ "message": "GET only" }));
        }
        match request.uri().path() {
            "/healthz" => json_answer(StatusCode::OK, &json!({ "alive": true })),
            "/readyz" => {
                let (ready, report) = self.readiness.report();
                json_answer(if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, &report)
            }
            "/metrics" => self.pages.answer(|| self.metrics()),
            _ => json_answer(StatusCode::NOT_FOUND, &json!({ "message": "/healthz, /readyz or /metrics" })),
        }
    }
}
