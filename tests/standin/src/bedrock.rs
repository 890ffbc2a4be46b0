//! Amazon Bedrock: runtime, control plane and mantle.
//!
//! It recomputes every signature from the raw request, answers in the real formats, charges the principal that signed,
//! and injects faults that a test sets.

mod catalogue;
mod chat;
mod claude;
mod converse;
mod dialect;
mod fault;
mod kept;
mod page;
mod permission;
mod progress;
mod prompt;
mod refusal;
mod reply;
mod responses;
mod route;
mod settings;
mod state;
mod stream;
mod without_model;
mod write;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::ServerConfig;

pub use fault::Fault;
pub use permission::Use;

use crate::bill::{Bill, Call, Service};
use crate::credentials::Store;
use crate::faults::Faults;
use crate::iam::PolicyDocument;
use crate::server::Server;
use crate::signature::SignatureFault;
use fault::Chooser;
use state::State;

/// The settings of a new [`Bedrock`].
#[derive(Debug)]
pub struct Options {
    /// `None`: plain HTTP.
    pub tls: Option<Arc<ServerConfig>>,
    /// The regions that it serves, at least one. All share one socket; the scope of a signature names the region.
    pub regions: Vec<String>,
}

/// One of Bedrock's services, with its records and settings. The [`Bill`] has the calls and their charges.
///
/// It knows every model id except those that begin with `unknown.`.
#[derive(Debug)]
pub struct Bedrock {
    server: Server,
    state: Arc<State>,
}

impl Bedrock {
    /// Starts `bedrock-runtime`. Must be called within a tokio runtime.
    pub fn start(store: Arc<Store>, bill: Arc<Bill>, options: Options) -> Self {
        Self::start_as(Service::Runtime, store, bill, options)
    }

    /// Starts any of the services. Each has its own stored state. Must be called within a tokio runtime.
    pub fn start_as(service: Service, store: Arc<Store>, bill: Arc<Bill>, options: Options) -> Self {
        let state = Arc::new(State::new(service, store, bill, options.regions));
        let serving = Arc::clone(&state);
        let server = Server::start(options.tls, move |request| Arc::clone(&serving).serve(request));
        Self { server, state }
    }

    /// The service that this is.
    pub fn service(&self) -> Service {
        self.state.service
    }

    pub fn url(&self) -> String {
        self.server.url()
    }

    /// The server, for stopping and restarting it, and for counting connections and requests.
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// Stops: the port refuses connections until [`restart`](Self::restart). A client that was waiting for an answer
    /// does not count as a hangup.
    pub async fn stop(&self) {
        self.state.progress.set_stopping(true);
        self.server.stop().await;
        self.state.progress.set_stopping(false);
    }

    /// Restarts on the same port; does nothing if it is running.
    pub fn restart(&self) {
        self.server.restart();
    }

    /// Closes all connections and restarts at once, so that clients' pooled connections are stale. Load balancers
    /// close idle connections in the same way.
    pub async fn close_connections(&self) {
        self.stop().await;
        self.restart();
    }

    /// The faults that calls get.
    pub fn faults(&self) -> &Faults<Fault> {
        &self.state.faults
    }

    /// Lets `choose` pick a fault for each call to which [`faults`](Self::faults) gave none. It is called once per
    /// call, after the bill has recorded the call. Only the first `choose` that is set has an effect.
    pub fn choose_faults(&self, choose: impl Fn(&Call) -> Option<Fault> + Send + Sync + 'static) {
        self.state.chooser.get_or_init(|| Chooser(Box::new(choose)));
    }

    /// Everything that must never reach Bedrock but did: calls signed with the gateway's own keys or with the session
    /// token of another session, unsigned calls, callers' tokens, and headers that a gateway must not forward. Header
    /// values are not shown.
    pub fn violations(&self) -> Vec<String> {
        self.state.violations()
    }

    /// The faults of signatures that did not verify, in order of arrival.
    pub fn signature_refusals(&self) -> Vec<SignatureFault> {
        self.state.signature_refusals()
    }

    /// The calls whose session had expired or was revoked: the access key id, and the time of the call.
    pub fn session_refusals(&self) -> Vec<(String, SystemTime)> {
        self.state.session_refusals()
    }

    /// Forbids every principal the model ids and ARNs that match `pattern`, in which `*` matches any run of
    /// characters. The answer is 403 `AccessDeniedException`, as from IAM.
    pub fn forbid_model(&self, pattern: &str) {
        self.state.settings().forbid(pattern);
    }

    /// Makes all calls come through a VPC endpoint with this policy, or through none.
    pub fn set_endpoint_policy(&self, policy: Option<PolicyDocument>) {
        self.state.settings().endpoint_policy = policy;
    }

    /// Allows all models again.
    pub fn allow_models(&self) {
        self.state.settings().forbidden.clear();
    }

    /// Sets a member of each answer of `GetFoundationModelAvailability`, for example `entitlementAvailability`.
    pub fn set_availability(&self, member: &str, value: serde_json::Value) {
        self.state.settings().availability.insert(member.to_owned(), value);
    }

    /// Sets Bedrock's clock `seconds` ahead of this machine's; a negative number sets it behind. It applies to
    /// the check of signatures and to the date of answers, but not to the expiry of sessions.
    pub fn set_clock_offset(&self, seconds: i64) {
        self.state.settings().clock_offset = seconds;
    }

    /// Sets the error type for revoked sessions (403). The default is `ExpiredTokenException`.
    pub fn set_revoked_kind(&self, kind: &'static str) {
        self.state.settings().revoked_kind = kind;
    }

    /// Makes answers at least `tokens` long, and waits `gap` before each frame of a stream. Each token is a frame of
    /// its own. Streams that have begun keep their pace.
    pub fn pace(&self, tokens: usize, gap: Duration) {
        let mut settings = self.state.settings();
        settings.min_tokens = tokens;
        settings.pace.gap = gap;
    }

    /// Holds the frames of streams that begin from now on until [`release`](Self::release). Response heads are sent at
    /// once.
    pub fn hold(&self) {
        self.state.settings().hold();
    }

    /// Releases so many frames, first come, first served among the held streams.
    pub fn release(&self, frames: usize) {
        self.state.settings().release(frames);
    }

    /// Ends [`hold`](Self::hold), also for streams that are held now.
    pub fn flow(&self) {
        self.state.settings().flow();
    }

    /// The number of frames that all streams have sent.
    pub fn frames_sent(&self) -> usize {
        self.state.progress.counts().frames
    }

    /// The number of streams that have begun and not ended.
    pub fn streams_open(&self) -> usize {
        self.state.progress.counts().streams
    }

    /// The number of calls whose client left before the end of the answer, also before its beginning.
    pub fn hangups(&self) -> usize {
        self.state.progress.counts().hangups
    }

    /// Waits until `holds` returns true. It is called again whenever a call or a violation is recorded, a frame is
    /// sent, or an answer ends.
    pub async fn wait_until(&self, holds: impl Fn(&Self) -> bool) {
        self.state.progress.wait_until(|| holds(self)).await;
    }

    /// Waits until the bill has `count` calls. The last of them must go to this service.
    pub async fn wait_for_calls(&self, count: usize) {
        self.wait_until(|bedrock| bedrock.state.bill.call_count() >= count).await;
    }

    /// Waits until `count` clients have hung up in total.
    pub async fn wait_for_hangups(&self, count: usize) {
        self.wait_until(|bedrock| bedrock.hangups() >= count).await;
    }
}

#[cfg(test)]
mod tests;
