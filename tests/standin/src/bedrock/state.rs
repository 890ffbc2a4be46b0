//! The steps of a call: read, verify, record, apply a fault, answer, charge.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::SystemTime;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Request, Response, header};
use hyper::body::Incoming;
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;

use super::dialect::Dialect;
use super::fault::{Chooser, Fault};
use super::kept::Kept;
use super::permission;
use super::progress::{InFlight, Progress};
use super::prompt::Prompt;
use super::refusal::Refusal;
use super::reply::Reply;
use super::route::Target;
use super::settings::Settings;
use crate::bill::{Bill, Call, Operation, Service, Usage};
use crate::clock;
use crate::credentials::{self, IssuedSession, Store};
use crate::faults::Faults;
use crate::iam::Caller;
use crate::server::{self, Body, Reset};
use crate::signature::{self, Expect, SignatureFault, Signer};

/// More than the gateway accepts, so that the gateway's own limit takes effect first.
const MAX_BODY_BYTES: usize = 64 * 1024 * 1024;

/// Headers of a request that its answer repeats.
const ECHOED: [&str; 2] = ["x-amzn-bedrock-performanceconfig-latency", "x-amzn-bedrock-service-tier"];

const HTTP_DATE: &[BorrowedFormatItem<'_>] =
    format_description!("[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT");

/// The VPC endpoint of calls, if there is an endpoint policy.
const VPC_ENDPOINT: &str = "vpce-0123456789abcdef0";

#[derive(Debug)]
pub(super) struct State {
    pub(super) service: Service,
    store: Arc<Store>,
    pub(super) bill: Arc<Bill>,
    regions: Vec<String>,
    pub(super) faults: Faults<Fault>,
    pub(super) chooser: OnceLock<Chooser>,
    pub(super) progress: Arc<Progress>,
    settings: Mutex<Settings>,
    record: Mutex<Record>,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Record {
    violations: Vec<String>,
    signature_refusals: Vec<SignatureFault>,
    session_refusals: Vec<(String, SystemTime)>,
    /// The prefixes of prompts that were marked for the cache: account, region, model, text.
    cached: HashSet<[String; 4]>,
}

/// The answer to a call, and the fault to apply to it.
pub(super) struct Answer {
    pub(super) call: Arc<Call>,
    pub(super) outcome: Outcome,
    pub(super) fault: Option<Fault>,
}

pub(super) enum Outcome {
    /// The answer of a model. It is charged.
    Model(Reply),
    /// The answer of Bedrock itself. It is free.
    Direct(Value),
}

/// The reason why a call is not answered successfully.
enum Failure {
    Reset,
    Refusal(Refusal),
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Refusal(refusal)
    }
}

impl State {
    pub(super) fn new(service: Service, store: Arc<Store>, bill: Arc<Bill>, regions: Vec<String>) -> Self {
        Self {
            service,
            store,
            bill,
            regions,
            faults: Faults::new(),
            chooser: OnceLock::new(),
            progress: Arc::default(),
            settings: Mutex::default(),
            record: Mutex::default(),
            kept: Mutex::default(),
        }
    }

    pub(super) fn settings(&self) -> MutexGuard<'_, Settings> {
        lock(&self.settings)
    }

    pub(super) fn kept(&self) -> MutexGuard<'_, Kept> {
        lock(&self.kept)
    }

    pub(super) fn violations(&self) -> Vec<String> {
        lock(&self.record).violations.clone()
    }

    pub(super) fn signature_refusals(&self) -> Vec<SignatureFault> {
        lock(&self.record).signature_refusals.clone()
    }

    pub(super) fn session_refusals(&self) -> Vec<(String, SystemTime)> {
        lock(&self.record).session_refusals.clone()
    }

    pub(super) async fn serve(self: Arc<Self>, request: Request<Incoming>) -> Result<Response<Body>, Reset> {
        let (head, body) = request.into_parts();
        let body = server::read(body, MAX_BODY_BYTES).await.map_err(|_| Reset)?;
        let mut in_flight = InFlight::new(Arc::clone(&self.progress));
        let mut response = match self.answer(&head, body).await {
            Ok(answer) => self.write(&answer, in_flight),
            Err(failure) => {
                in_flight.end();
                match failure {
                    Failure::Refusal(refusal) => refusal.response(Dialect::of(self.service, head.uri.path())),
                    Failure::Reset => return Err(Reset),
                }
            }
        };
        let date = OffsetDateTime::from(self.settings().now());
        let date = date.format(HTTP_DATE).expect("the format has only fields that every time has");
        let headers = response.headers_mut();
        headers.insert(header::DATE, date.parse().expect("a date is ASCII"));
        headers.insert("x-amzn-requestid", credentials::request_id().parse().expect("an id is ASCII"));
        // AWS does not send cookies. A gateway must not pass on headers that it does not know to be harmless.
        headers.insert(header::SET_COOKIE, HeaderValue::from_static("session=must-not-pass"));
        for name in ECHOED {
            if let Some(value) = head.headers.get(name) {
                headers.insert(name, value.clone());
            }
        }
        Ok(response)
    }

    async fn answer(&self, head: &Parts, body: Bytes) -> Result<Answer, Failure> {
        let call = Arc::new(self.open(head, body)?);
        self.bill.arrived(Arc::clone(&call));
        self.progress.announce();
        let chosen = || self.chooser.get().and_then(|Chooser(choose)| choose(&call));
        let fault = self.faults.take().or_else(chosen);
        if let Some(fault) = &fault {
            apply_before_answer(fault, &call).await?;
        }
        let outcome = self.outcome(&call)?;
        if let Outcome::Model(reply) = &outcome {
            self.bill.charge(&call, Usage { output: 0, ..reply.usage });
        }
        Ok(Answer { call, outcome, fault })
    }

    /// Verifies the signature and the session, and reads the operation.
    fn open(&self, head: &Parts, body: Bytes) -> Result<Call, Refusal> {
        let signer = self.verify(head, &body)?;
        let session = self.session(head, &signer)?;
        let Target { operation, model, subject } = Target::read(self.service, head, &body)?;
        Ok(Call {
            principal: session.principal,
            tags: session.tags,
            service: self.service,
            operation,
            model,
            subject,
            region: signer.region,
            access_key_id: signer.access_key_id,
            method: head.method.clone(),
            target: head.uri.path_and_query().map_or_else(String::new, ToString::to_string),
            headers: head.headers.clone(),
            body,
            at: clock::now(),
        })
    }

    fn verify(&self, head: &Parts, body: &[u8]) -> Result<Signer, Refusal> {
        for name in bearers(&head.headers) {
            self.violation(head, &format!("header {name} carries a caller's token"));
        }
        let now = self.settings().now();
        let expect = Expect { service: self.service.signing_name(), region: self.region(&head.headers), now };
        let verified = signature::verify_request(head, body, &expect, |id| self.store.credential(id));
        match verified {
            Ok(signer) => {
                for name in &signer.strays {
                    self.violation(head, &format!("header {name}"));
                }
                Ok(signer)
            }
            Err(fault) => {
                use SignatureFault as F;
                if matches!(
                    fault,
                    F::MissingAuthorization | F::OtherScheme | F::QueryAuthentication | F::TokenMismatch
                ) {
                    self.violation(head, &fault.to_string());
                }
                let refusal = Refusal::from(&fault);
                lock(&self.record).signature_refusals.push(fault);
                Err(refusal)
            }
        }
    }

    /// The region in the signature's scope if Bedrock serves it, otherwise the first region.
    fn region(&self, headers: &HeaderMap) -> &str {
        let scoped = headers
            .get(header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.split('/').nth(2));
        let found = self.regions.iter().find(|region| Some(region.as_str()) == scoped);
        found.or(self.regions.first()).map_or("", String::as_str)
    }

    fn session(&self, head: &Parts, signer: &Signer) -> Result<IssuedSession, Refusal> {
        if self.store.is_gateway(&signer.access_key_id) {
            self.violation(head, "unattributed: signed with the gateway's own keys");
            return Err(Refusal::credentials("UnrecognizedClientException"));
        }
        let session = self.store.session(&signer.access_key_id);
        let session = session.ok_or_else(|| Refusal::credentials("UnrecognizedClientException"))?;
        let now = clock::now();
        let kind = if session.revoked {
            self.settings().revoked_kind
        } else if session.expired(now) {
            "ExpiredTokenException"
        } else {
            return Ok(session);
        };
        lock(&self.record).session_refusals.push((session.access_key_id, now));
        Err(Refusal::credentials(kind))
    }

    fn violation(&self, head: &Parts, what: &str) {
        let violation = format!("{} {}: {what}", head.method, head.uri.path());
        lock(&self.record).violations.push(violation);
        self.progress.announce();
    }

    /// Decides by the documents of the role, the account and the VPC endpoint.
    fn authorize(&self, call: &Call) -> Result<(), Refusal> {
        let session = self.store.session(&call.access_key_id);
        let session = session.ok_or_else(|| Refusal::credentials("UnrecognizedClientException"))?;
        let caller = Caller::session(&session.role_arn, &session.session_name)
            .with_tags(session.tags)
            .with_source_identity(session.source_identity)
            .with_access_key_id(&session.access_key_id);
        let endpoint = self.settings().endpoint_policy.clone();
        for mut need in permission::needs(call) {
            // Bedrock itself calls other services for the caller, not through the caller's endpoint.
            let endpoint = endpoint.as_ref().filter(|_| need.action.starts_with("bedrock"));
            if endpoint.is_some() {
                need.context = need.context.with("aws:SourceVpce", VPC_ENDPOINT);
            }
            let decision = self.store.iam().decide(&caller, &need, endpoint);
            decision.map_err(|denial| Refusal::denied(&caller, &need, &denial))?;
        }
        Ok(())
    }

    fn outcome(&self, call: &Call) -> Result<Outcome, Refusal> {
        self.authorize(call)?;
        let min_tokens = {
            let settings = self.settings();
            if !call.model.is_empty() && settings.forbids(&call.model) {
                return Err(Refusal::access_denied(call));
            }
            settings.min_tokens
        };
        let profiled = call.service == Service::Mantle && is_profile(&call.model);
        if call.model.starts_with("unknown.") || profiled {
            return Err(Refusal::unknown_model());
        }
        if !call.operation.infers() {
            return self.answer_without_model(call).map(Outcome::Direct);
        }
        let prompt = Prompt::read(call)?;
        if call.model.is_empty() {
            return Err(Refusal::validation("model: Field required"));
        }
        if matches!(call.operation, Operation::Responses | Operation::ResponsesStream) {
            self.check_response(call)?;
        }
        Ok(Outcome::Model(Reply::new(&prompt, min_tokens, |prefix| self.was_cached(call, prefix))))
    }

    /// Whether an earlier prompt had this prefix. Records the prefix.
    fn was_cached(&self, call: &Call, prefix: &str) -> bool {
        let key = [call.account(), &call.region, &call.model, prefix].map(str::to_owned);
        !lock(&self.record).cached.insert(key)
    }
}

/// Applies a fault that takes effect before the answer.
async fn apply_before_answer(fault: &Fault, call: &Call) -> Result<(), Failure> {
    let refusal = match *fault {
        Fault::Late(by) => {
            tokio::time::sleep(by).await;
            return Ok(());
        }
        Fault::HangBeforeHead => std::future::pending().await,
        Fault::ResetBeforeHead => return Err(Failure::Reset),
        Fault::Throttle => Refusal::throttling(),
        Fault::Deny => Refusal::access_denied(call),
        Fault::Error(status, kind, message) => Refusal::any(status, kind, message),
        Fault::CredentialsRefused { kind, in_body_only } => {
            Refusal::credentials(kind).with_type_in_body_only(in_body_only)
        }
        Fault::ResetMidStream(_)
        | Fault::ResetMidFrame(_)
        | Fault::ExceptionMidStream(..)
        | Fault::HangMidStream(_) => return Ok(()),
    };
    Err(refusal.into())
}

/// Whether `model` is the id (`us.…`) or ARN of an inference profile.
fn is_profile(model: &str) -> bool {
    let first = model.split('.').next().unwrap_or_default();
    model.contains("inference-profile/")
        || ["us", "us-gov", "eu", "apac", "au", "ca", "jp", "global"].contains(&first)
}

/// The names of headers whose value looks like a bearer token or a JWT.
fn bearers(headers: &HeaderMap) -> Vec<&str> {
    let is_token = |value: &[u8]| {
        let scheme = value.get(..7).is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"bearer "));
        scheme || (value.starts_with(b"eyJ") && value.split(|byte| *byte == b'.').count() == 3)
    };
    headers.iter().filter(|(_, value)| is_token(value.as_bytes())).map(|(name, _)| name.as_str()).collect()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
