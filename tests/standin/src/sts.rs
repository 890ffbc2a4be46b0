//! AWS's Security Token Service: the query protocol, its limits, and injected faults.

mod call;
mod error;
mod form;
mod roles;
mod xml;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use rustls::ServerConfig;

pub use call::StsCall;
pub use error::StsError;
pub use roles::{OPEN_ACCOUNTS, RoleSpec};

use crate::clock;
use crate::credentials::{self, IssuedSession, Store};
use crate::faults::Faults;
use crate::iam::{Caller, PolicyDocument};
use crate::server::{self, Body, Reset, Server};
use crate::signature::{self, Expect};
use form::Form;
use roles::{Asker, Roles};

/// The account of the gateway's own keys.
pub const GATEWAY_ACCOUNT: &str = "111122223333";

/// Room for fifty tags of four-byte characters, percent-encoded.
const MAX_BODY_BYTES: usize = 1024 * 1024;

/// The size of a token of a session without tags. AWS's tokens have about this size.
const BARE_TOKEN_BYTES: usize = 660;
/// AWS's limit for session tokens, in characters.
const MAX_TOKEN_CHARS: usize = 4096;
/// The beginning of AWS's tokens: `IQoJb3JpZ2luX2Vj`.
const TOKEN_PREFIX: &[u8] = b"!\n\torigin_ec";

/// A fault of an `AssumeRole` call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StsFault {
    /// A correct answer, but late.
    Late(Duration),
    /// 400 `Throttling`.
    Throttle,
    /// 403 `AccessDenied`.
    Deny,
    /// 503 `ServiceUnavailable`.
    Unavailable,
    /// 400 `PackedPolicyTooLarge`.
    PackedPolicyTooLarge,
    /// 403 `ExpiredToken`: the gateway's own credentials have expired.
    ExpiredToken,
    /// 403 `InvalidClientTokenId`: the gateway's own credentials are unknown.
    InvalidClientTokenId,
    /// 403 `RegionDisabledException`.
    RegionDisabled,
    /// 200 with half an answer.
    Malformed,
    Hang,
    Reset,
}

/// STS. It records the sessions that it issues in the [`Store`].
#[derive(Debug)]
pub struct Sts {
    server: Server,
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    region: String,
    store: Arc<Store>,
    faults: Faults<StsFault>,
    roles: Mutex<Roles>,
    record: Mutex<Record>,
    settings: Mutex<Settings>,
    /// The transitive tags of the gateway's own session.
    inherited: Mutex<BTreeMap<String, String>>,
    /// The source identity of the gateway's own session.
    inherited_source: Mutex<Option<String>>,
}

#[derive(Debug, Default)]
struct Record {
    calls: Vec<StsCall>,
    refusals: Vec<StsError>,
}

#[derive(Debug, Default, Clone)]
struct Settings {
    lifetime: Option<Duration>,
    chained: bool,
    /// `None`: a user, or if chained, the role `BedrockGateway`.
    gateway_role: Option<String>,
    ignores_inherited: bool,
}

impl Sts {
    /// Must be called within a tokio runtime.
    pub fn start(store: Arc<Store>, region: &str, tls: Option<Arc<ServerConfig>>) -> Self {
        let state = Arc::new(State {
            region: region.to_owned(),
            store,
            faults: Faults::new(),
            roles: Mutex::default(),
            record: Mutex::default(),
            settings: Mutex::default(),
            inherited: Mutex::default(),
            inherited_source: Mutex::default(),
        });
        let serving = Arc::clone(&state);
        let server = Server::start(tls, move |request| {
            let state = Arc::clone(&serving);
            async move { state.answer(request).await }
        });
        Self { server, state }
    }

    pub fn url(&self) -> String {
        self.server.url()
    }

    /// Every `AssumeRole` call with a valid signature in order of arrival, also those that failed later.
    pub fn calls(&self) -> Vec<StsCall> {
        lock(&self.state.record).calls.clone()
    }

    /// The errors of requests that were wrong. Injected faults are not among them.
    pub fn refusals(&self) -> Vec<StsError> {
        lock(&self.state.record).refusals.clone()
    }

    /// Forgets calls and refusals.
    pub fn clear(&self) {
        *lock(&self.state.record) = Record::default();
    }

    /// Adds or replaces a role. The roles of [`OPEN_ACCOUNTS`] need not be added.
    pub fn add_role(&self, role: RoleSpec) {
        if let Some(permissions) = &role.permissions {
            self.state.store.iam().set_permissions(&role.arn, permissions.clone());
        }
        lock(&self.state.roles).add(role);
    }

    /// Makes every role deny sessions with this name.
    pub fn deny(&self, session_name: &str) {
        lock(&self.state.roles).deny(session_name);
    }

    pub fn allow(&self, session_name: &str) {
        lock(&self.state.roles).allow(session_name);
    }

    /// Sets the lifetime of sessions from now on, independent of the requested duration. Like AWS, STS rounds the end
    /// down to a whole second.
    pub fn set_lifetime(&self, lifetime: Option<Duration>) {
        lock(&self.state.settings).lifetime = lifetime;
    }

    /// Sets whether the gateway's own credentials are a role's session. Then its sessions last an hour at most.
    pub fn set_chained(&self, chained: bool) {
        lock(&self.state.settings).chained = chained;
    }

    /// Sets the transitive tags of the gateway's own credentials. Every session inherits them, and no call can set them
    /// again. Only a role's session has such tags; see [`set_chained`](Self::set_chained).
    pub fn set_inherited_tags(&self, tags: &[(&str, &str)]) {
        let tags = tags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        *lock(&self.state.inherited) = tags.collect();
    }

    /// Makes the gateway's own credentials a session of this role; see [`set_chained`](Self::set_chained). Its
    /// permissions are those of [`Store::iam`].
    pub fn set_gateway_role(&self, arn: &str) {
        let mut settings = lock(&self.state.settings);
        settings.chained = true;
        settings.gateway_role = Some(arn.to_owned());
    }

    /// Sets whether inherited tags are in `aws:TagKeys`, `aws:RequestTag` and `sts:TransitiveTagKeys` of policies. They
    /// are by default. Which of both AWS does is not known.
    pub fn set_inherited_tags_counted(&self, counted: bool) {
        lock(&self.state.settings).ignores_inherited = !counted;
    }

    /// The principal of the gateway's own credentials.
    pub fn gateway(&self) -> Caller {
        self.state.caller()
    }

    /// Sets the source identity of the gateway's own credentials. Every session inherits it, its role must allow
    /// `sts:SetSourceIdentity`, and no call can set another one (IAM user guide, "Monitor and control actions taken
    /// with assumed roles").
    pub fn set_inherited_source_identity(&self, name: Option<&str>) {
        *lock(&self.state.inherited_source) = name.map(str::to_owned);
    }

    /// The faults that `AssumeRole` calls get.
    pub fn faults(&self) -> &Faults<StsFault> {
        &self.state.faults
    }

    /// The server, for stopping and restarting it, and for counting connections.
    pub fn server(&self) -> &Server {
        &self.server
    }
}

impl State {
    async fn answer(&self, request: Request<Incoming>) -> Result<Response<Body>, Reset> {
        let (head, body) = request.into_parts();
        let body = server::read(body, MAX_BODY_BYTES).await.map_err(|_| Reset)?;
        let request_id = credentials::request_id();
        let outcome = match self.open(&head, &body) {
            Ok(Action::GetCallerIdentity) => Ok(xml::caller_identity(self.caller().arn(), &request_id)),
            Ok(Action::AssumeRole(call)) => {
                lock(&self.record).calls.push((*call).clone());
                match self.apply_fault(&call).await? {
                    Effect::None => self.assume_role(&call, &request_id),
                    Effect::Malformed => Ok(xml::half_an_answer()),
                    Effect::Error(error) => {
                        let xml = xml::error(&error, &request_id);
                        return Ok(respond(error.status, xml, &request_id));
                    }
                }
            }
            Err(error) => Err(error),
        };
        Ok(match outcome {
            Ok(xml) => respond(StatusCode::OK, xml, &request_id),
            Err(error) => {
                let response = respond(error.status, xml::error(&error, &request_id), &request_id);
                lock(&self.record).refusals.push(error);
                response
            }
        })
    }

    /// Verifies the signature, and reads the action.
    fn open(&self, head: &http::request::Parts, body: &[u8]) -> Result<Action, StsError> {
        let now = clock::now();
        let expect = Expect { service: "sts", region: &self.region, now };
        let secret_for = |id: &str| self.store.credential(id);
        let signer = signature::verify_request(head, body, &expect, secret_for)?;

        if head.method != Method::POST || head.uri.path() != "/" || head.uri.query().is_some() {
            return Err(StsError::validation("requests are POST / with a form"));
        }
        let mut form = Form::parse(body)?;
        if form.take("Version").as_deref() != Some("2011-06-15") {
            return Err(StsError::validation("Version must be 2011-06-15"));
        }
        let action = form.take("Action").unwrap_or_default();
        // The trust policies name only the gateway.
        if !self.store.is_gateway(&signer.access_key_id) {
            let caller = self.store.session(&signer.access_key_id).map(|session| session.principal);
            return Err(StsError::access_denied(&caller.unwrap_or_default(), &format!("sts:{action}"), "*"));
        }
        match action.as_str() {
            "AssumeRole" => Ok(Action::AssumeRole(Box::new(StsCall::read(form, now)?))),
            "GetCallerIdentity" => {
                form.finish()?;
                Ok(Action::GetCallerIdentity)
            }
            other => Err(StsError::unknown_action(other)),
        }
    }

    async fn apply_fault(&self, call: &StsCall) -> Result<Effect, Reset> {
        let Some(fault) = self.faults.take() else {
            return Ok(Effect::None);
        };
        let error = match fault {
            StsFault::Late(by) => {
                tokio::time::sleep(by).await;
                return Ok(Effect::None);
            }
            StsFault::Hang => std::future::pending().await,
            StsFault::Reset => return Err(Reset),
            StsFault::Malformed => return Ok(Effect::Malformed),
            StsFault::Throttle => StsError::throttling(),
            StsFault::Deny => StsError::access_denied(self.caller().arn(), "sts:AssumeRole", &call.role_arn),
            StsFault::Unavailable => StsError::unavailable(),
            StsFault::PackedPolicyTooLarge => StsError::packed_policy_too_large(104),
            StsFault::ExpiredToken => StsError::expired_token(),
            StsFault::InvalidClientTokenId => StsError::invalid_client_token_id(),
            StsFault::RegionDisabled => StsError::region_disabled(&self.region),
        };
        Ok(Effect::Error(error))
    }

    fn assume_role(&self, call: &StsCall, request_id: &str) -> Result<String, StsError> {
        call.check_limits()?;
        let mut inheriting = call.clone();
        if let Some(source) = lock(&self.inherited_source).clone() {
            if call.source_identity.as_ref().is_some_and(|wanted| *wanted != source) {
                return Err(StsError::access_denied(
                    self.caller().arn(),
                    "sts:SetSourceIdentity",
                    &call.role_arn,
                ));
            }
            inheriting.source_identity = Some(source);
        }
        let call = &inheriting;
        let settings = lock(&self.settings).clone();
        let inherited = if settings.chained { lock(&self.inherited).clone() } else { BTreeMap::default() };
        let asker = Asker {
            caller: self.caller().with_tags(inherited.clone()),
            directory: self.store.iam(),
            region: &self.region,
            inherited: &inherited,
            counts_inherited: !settings.ignores_inherited,
            chained: settings.chained,
        };
        lock(&self.roles).authorize(call, &asker)?;
        let session_policies = self.session_policies(call)?;
        let inherited_bytes: usize = inherited.iter().map(|(key, value)| key.len() + value.len()).sum();
        let session_token = session_token(call.packed_bytes() + inherited_bytes)?;
        let lifetime = settings.lifetime.unwrap_or_else(|| call.duration_or_default());
        let mut session = issue(call, session_token, lifetime);
        session.transitive.extend(inherited.keys().cloned());
        session.tags.extend(inherited);
        let answer = xml::assumed_role(&session, request_id);
        if let Some(policies) = session_policies {
            self.store.iam().set_session_policies(&session.access_key_id, policies);
        }
        self.store.issue(session);
        Ok(answer)
    }

    /// The session policies to evaluate, for a role whose permissions are evaluated.
    fn session_policies(&self, call: &StsCall) -> Result<Option<Vec<PolicyDocument>>, StsError> {
        if !self.store.iam().has_permissions(&call.role_arn) {
            return Ok(None);
        }
        if !call.policy_arns.is_empty() {
            return Err(StsError::validation("the stand-in does not know the documents of managed policies"));
        }
        let policy = call.policy.as_deref().map(PolicyDocument::identity).transpose();
        let policy = policy.map_err(|error| StsError::validation(format!("stand-in: {error}")))?;
        Ok(policy.map(|policy| vec![policy]))
    }

    /// The gateway's own principal.
    fn caller(&self) -> Caller {
        let settings = lock(&self.settings);
        if settings.chained {
            let role = settings.gateway_role.clone();
            let role = role.unwrap_or_else(|| format!("arn:aws:iam::{GATEWAY_ACCOUNT}:role/BedrockGateway"));
            Caller::session(&role, "i-0123456789abcdef0")
        } else {
            Caller::user(&format!("arn:aws:iam::{GATEWAY_ACCOUNT}:user/bedrock-gateway"))
        }
    }
}

enum Action {
    AssumeRole(Box<StsCall>),
    GetCallerIdentity,
}

/// The effect of an injected fault on a call.
enum Effect {
    None,
    Malformed,
    Error(StsError),
}

fn issue(call: &StsCall, session_token: String, lifetime: Duration) -> IssuedSession {
    let partition = call.role_arn.split(':').nth(1).unwrap_or_default();
    let account = roles::account(&call.role_arn).unwrap_or_default();
    let role_name = call.role_arn.rsplit('/').next().unwrap_or_default();
    IssuedSession {
        access_key_id: credentials::access_key_id("ASIA"),
        secret: credentials::secret_access_key(),
        session_token,
        role_arn: call.role_arn.clone(),
        principal: format!("arn:{partition}:sts::{account}:assumed-role/{role_name}/{}", call.session_name),
        account: account.to_owned(),
        session_name: call.session_name.clone(),
        tags: call.tags.clone(),
        transitive: call.transitive.clone(),
        source_identity: call.source_identity.clone(),
        issued: clock::now(),
        expires: whole_second(clock::now() + lifetime),
        revoked: false,
    }
}

fn session_token(packed_bytes: usize) -> Result<String, StsError> {
    let mut bytes = vec![0; BARE_TOKEN_BYTES + packed_bytes];
    let chars = bytes.len().div_ceil(3) * 4;
    if chars > MAX_TOKEN_CHARS {
        return Err(StsError::packed_policy_too_large(percent_of_token(chars)));
    }
    aws_lc_rs::rand::fill(&mut bytes).expect("the system has randomness");
    bytes[..TOKEN_PREFIX.len()].copy_from_slice(TOKEN_PREFIX);
    Ok(STANDARD.encode(bytes))
}

fn percent_of_token(chars: usize) -> usize {
    (chars * 100).div_ceil(MAX_TOKEN_CHARS)
}

fn whole_second(at: SystemTime) -> SystemTime {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    UNIX_EPOCH + Duration::from_secs(since.as_secs())
}

fn respond(status: StatusCode, xml: String, request_id: &str) -> Response<Body> {
    let mut response = Response::new(server::full(xml));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert("content-type", HeaderValue::from_static("text/xml"));
    let id = request_id.parse().expect("letters are a header value");
    headers.insert("x-amzn-requestid", id);
    response
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
