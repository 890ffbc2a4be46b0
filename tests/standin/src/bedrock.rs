//! Amazon Bedrock (runtime, control plane, mantle): recomputes every signature from the raw request, answers in the real
//! formats, has everything charged to whoever signed, and fails on command.

mod catalogue;
mod chat;
mod claude;
mod converse;
mod dialect;
mod fault;
mod kept;
mod page;
mod progress;
mod prompt;
mod refusal;
mod reply;
mod responses;
mod route;
mod settings;
mod state;
mod stream;
mod tell;
mod write;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::ServerConfig;

pub use fault::Fault;

use crate::bill::{Bill, Call, Service};
use crate::credentials::Store;
use crate::faults::Faults;
use crate::server::Server;
use crate::signature::SignatureFault;
use fault::Chooser;
use state::State;

/// How Bedrock is to be started.
#[derive(Debug)]
pub struct Options {
    /// Plain HTTP without it.
    pub tls: Option<Arc<ServerConfig>>,
    /// Those that it serves, all on one socket: the signature's scope tells which is meant. At least one.
    pub regions: Vec<String>,
}

/// One of Bedrock's services, what it was sent, and how it is to behave. What it charges, and the calls themselves, are in
/// the [`Bill`].
///
/// It has every model, but for those whose id begins with `unknown.`.
#[derive(Debug)]
pub struct Bedrock {
    server: Server,
    state: Arc<State>,
}

impl Bedrock {
    /// The runtime. Must be called within a tokio runtime.
    pub fn start(store: Arc<Store>, bill: Arc<Bill>, options: Options) -> Self {
        Self::start_as(Service::Runtime, store, bill, options)
    }

    /// Any of the services. What they keep is each one's own. Must be called within a tokio runtime.
    pub fn start_as(service: Service, store: Arc<Store>, bill: Arc<Bill>, options: Options) -> Self {
        let state = Arc::new(State::new(service, store, bill, options.regions));
        let serving = Arc::clone(&state);
        let server = Server::start(options.tls, move |request| Arc::clone(&serving).serve(request));
        Self { server, state }
    }

    /// Which of the services it is.
    pub fn service(&self) -> Service {
        self.state.service
    }

    pub fn url(&self) -> String {
        self.server.url()
    }

    /// The socket: to stop and restart it, or count connections and requests.
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// Dies: the port refuses connections until [`restart`](Self::restart). Whoever waited for an answer
    /// is not counted as having hung up.
    pub async fn stop(&self) {
        self.state.progress.set_dying(true);
        self.server.stop().await;
        self.state.progress.set_dying(false);
    }

    /// Comes back on its port; does nothing if it never went.
    pub fn restart(&self) {
        self.server.restart();
    }

    /// Closes all connections, as load balancers do with idle ones, and is back at once: what clients
    /// have pooled is stale.
    pub async fn close_connections(&self) {
        self.stop().await;
        self.restart();
    }

    /// What calls suffer.
    pub fn faults(&self) -> &Faults<Fault> {
        &self.state.faults
    }

    /// Has `choose` say what calls suffer that [`faults`](Self::faults) let go, each once, when it stands among the
    /// bill's calls. The first that is set stays.
    pub fn choose_faults(&self, choose: impl Fn(&Call) -> Option<Fault> + Send + Sync + 'static) {
        self.state.chooser.get_or_init(|| Chooser(Box::new(choose)));
    }

    /// What must never reach Bedrock, and did: calls signed as the gateway itself, as somebody else or not
    /// at all, callers' tokens, and headers that are nobody's business. Header values are not shown.
    pub fn violations(&self) -> Vec<String> {
        self.state.violations()
    }

    /// What was wrong with signatures that did not verify, in order of arrival.
    pub fn signature_refusals(&self) -> Vec<SignatureFault> {
        self.state.signature_refusals()
    }

    /// Calls whose session had ended or was revoked: its access key id, and when.
    pub fn session_refusals(&self) -> Vec<(String, SystemTime)> {
        self.state.session_refusals()
    }

    /// IAM forbids everybody the model ids (or ARNs) that match `pattern`, where `*` is any run of
    /// characters: 403 `AccessDeniedException`.
    pub fn forbid_model(&self, pattern: &str) {
        self.state.settings().forbid(pattern);
    }

    /// All models are allowed again.
    pub fn allow_models(&self) {
        self.state.settings().forbidden.clear();
    }

    /// Bedrock's clock is so many seconds ahead of this machine's from now on; negative: behind it.
    /// Signatures are judged by it and answers dated; when sessions end is not.
    pub fn set_clock_offset(&self, seconds: i64) {
        self.state.settings().clock_offset = seconds;
    }

    /// The error type for sessions that were revoked (403; `ExpiredTokenException` if it is never said).
    pub fn set_revoked_kind(&self, kind: &'static str) {
        self.state.settings().revoked_kind = kind;
    }

    /// Answers are of at least so many tokens, each a frame of its own in a stream, with `gap` before
    /// every frame. Streams that have begun go on as they are.
    pub fn pace(&self, tokens: usize, gap: Duration) {
        let mut settings = self.state.settings();
        settings.min_tokens = tokens;
        settings.pace.gap = gap;
    }

    /// Frames of streams that begin from now on leave only as [`release`](Self::release) lets them; heads
    /// do at once.
    pub fn hold(&self) {
        self.state.settings().hold();
    }

    /// Lets so many frames leave, of whichever held streams ask first.
    pub fn release(&self, frames: usize) {
        self.state.settings().release(frames);
    }

    /// Ends [`hold`](Self::hold), for streams that were held too.
    pub fn flow(&self) {
        self.state.settings().flow();
    }

    /// Frames that have left, of all streams.
    pub fn frames_sent(&self) -> usize {
        self.state.progress.counts().frames
    }

    /// Streams that have begun and not ended.
    pub fn streams_open(&self) -> usize {
        self.state.progress.counts().streams
    }

    /// Calls whose client left before the answer's end, whether it had begun or not.
    pub fn hangups(&self) -> usize {
        self.state.progress.counts().hangups
    }

    /// Waits until `holds`. It is asked again whenever a call or a violation is written down, a frame
    /// leaves, or an answer ends.
    pub async fn wait_until(&self, holds: impl Fn(&Self) -> bool) {
        self.state.progress.wait_until(|| holds(self)).await;
    }

    /// Waits until the bill has `count` calls, the last of which this service gets.
    pub async fn wait_for_calls(&self, count: usize) {
        self.wait_until(|bedrock| bedrock.state.bill.call_count() >= count).await;
    }

    /// Waits until so many clients have hung up in all.
    pub async fn wait_for_hangups(&self, count: usize) {
        self.wait_until(|bedrock| bedrock.hangups() >= count).await;
    }
}

#[cfg(test)]
mod tests;
