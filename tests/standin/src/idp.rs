//! An OIDC issuer: discovery, keys that rotate, and a mint for valid and hostile tokens.

mod claims;
mod hostile;
mod keyring;
mod keys;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use rustls::ServerConfig;
use serde_json::{Value, json};

pub use claims::{AUDIENCE, Claims};
pub use hostile::Hostile;
pub use keys::{Algorithm, KeyKind};

use crate::faults::Faults;
use crate::server::{self, Body, Reset, Server};
use keyring::Keyring;

const DISCOVERY: &str = "/.well-known/openid-configuration";
const JWKS: &str = "/jwks";
/// The target of redirects. Its documents are valid, so a client that follows a redirect would succeed.
const MOVED: &str = "/moved";
/// The target of `jku` and `x5u` in hostile tokens. It has the attacker's key.
const EVIL_JWKS: &str = "/evil/jwks";

/// Twice the size that a client should accept.
const OVERSIZED_BYTES: usize = 2 * 1024 * 1024;

/// A fault in the answer to a request for a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DocumentFault {
    /// A correct answer, but late.
    Late(Duration),
    /// No answer, ever.
    Hang,
    Reset,
    /// An error status, for example 503.
    Status(u16),
    /// 302 to an address that has the document.
    Redirect,
    /// Valid JSON with the right members and two mebibytes of padding.
    Oversized,
    /// Not JSON.
    Malformed,
}

/// The issuer. Everything about it can be changed while it runs.
#[derive(Debug)]
pub struct Idp {
    server: Server,
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    keyring: Mutex<Keyring>,
    settings: Mutex<Settings>,
    discovery: Document,
    jwks: Document,
    redirects_followed: AtomicU64,
    evil_fetches: AtomicU64,
}

#[derive(Debug, Default)]
struct Document {
    faults: Faults<DocumentFault>,
    fetches: AtomicU64,
}

#[derive(Debug, Default)]
struct Settings {
    max_age: Option<Duration>,
    discovered_issuer: Option<String>,
    discovered_jwks_uri: Option<String>,
}

impl Idp {
    /// Must be called within a tokio runtime.
    pub fn start(tls: Option<Arc<ServerConfig>>) -> Self {
        let scheme = if tls.is_some() { "https" } else { "http" };
        let state = Arc::new(State {
            keyring: Mutex::new(Keyring::new()),
            settings: Mutex::default(),
            discovery: Document::default(),
            jwks: Document::default(),
            redirects_followed: AtomicU64::new(0),
            evil_fetches: AtomicU64::new(0),
        });
        let serving = Arc::clone(&state);
        let server = Server::start(tls, move |request| {
            let state = Arc::clone(&serving);
            async move { state.answer(&request, scheme).await }
        });
        Self { server, state }
    }

    /// The `iss` of its tokens, and the base address of discovery.
    pub fn issuer(&self) -> String {
        self.server.url()
    }

    pub fn jwks_url(&self) -> String {
        format!("{}{JWKS}", self.issuer())
    }

    /// The key set as published now. A test can also write it to a file.
    pub fn jwks(&self) -> Value {
        self.state.keyring().jwks()
    }

    /// Mints a token with these claims.
    #[expect(clippy::needless_pass_by_value, reason = "tests write the claims as the argument")]
    pub fn mint(&self, claims: Claims) -> String {
        let keyring = self.keyring();
        let signer = keyring.signer(claims.algorithm);
        let named = claims.kid.as_deref().and_then(|kid| keyring.named(kid));
        let key = named.unwrap_or(signer);
        let kid = claims.kid.as_deref().unwrap_or(&key.kid);
        claims.sign(&self.issuer(), key, kid)
    }

    /// Replaces all keys at once by a new key of each kind.
    pub fn rotate(&self) {
        self.state.keyring().rotate();
    }

    /// Adds a key, which signs from now on. Returns its `kid`.
    pub fn add_key(&self, kind: KeyKind) -> String {
        self.state.keyring().add(kind)
    }

    /// Publishes any JSON as a key.
    pub fn add_foreign_key(&self, jwk: Value) {
        self.state.keyring().add_foreign(jwk);
    }

    /// Removes a key from the set. A test can still mint tokens with it by its `kid`.
    pub fn remove_key(&self, kid: &str) {
        self.state.keyring().remove(kid);
    }

    /// The `kid` of the present signing key for this algorithm.
    pub fn kid(&self, algorithm: Algorithm) -> String {
        self.keyring().signer(algorithm).kid.clone()
    }

    /// Sets `Cache-Control: max-age` of the documents. The default is none.
    pub fn set_max_age(&self, max_age: Option<Duration>) {
        self.state.settings().max_age = max_age;
    }

    /// Sets `issuer` in the discovery document. The default is the true one.
    pub fn set_discovered_issuer(&self, issuer: Option<&str>) {
        self.state.settings().discovered_issuer = issuer.map(str::to_owned);
    }

    /// Sets `jwks_uri` in the discovery document. The default is the true one.
    pub fn set_discovered_jwks_uri(&self, uri: Option<&str>) {
        self.state.settings().discovered_jwks_uri = uri.map(str::to_owned);
    }

    pub fn discovery_faults(&self) -> &Faults<DocumentFault> {
        &self.state.discovery.faults
    }

    pub fn jwks_faults(&self) -> &Faults<DocumentFault> {
        &self.state.jwks.faults
    }

    /// The number of requests for the discovery document, including failed ones.
    pub fn discovery_fetches(&self) -> u64 {
        self.state.discovery.fetches.load(Ordering::SeqCst)
    }

    /// The number of requests for the key set, including failed ones.
    pub fn jwks_fetches(&self) -> u64 {
        self.state.jwks.fetches.load(Ordering::SeqCst)
    }

    /// The number of redirects that clients have followed.
    pub fn redirects_followed(&self) -> u64 {
        self.state.redirects_followed.load(Ordering::SeqCst)
    }

    /// The number of requests to the address in `jku` or `x5u` of a hostile token.
    pub fn evil_fetches(&self) -> u64 {
        self.state.evil_fetches.load(Ordering::SeqCst)
    }

    /// The server, for stopping and restarting it, and for counting connections.
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// A copy for signing, so that no lock is held meanwhile.
    fn keyring(&self) -> Keyring {
        self.state.keyring().clone()
    }
}

impl State {
    async fn answer(&self, request: &Request<Incoming>, scheme: &str) -> Result<Response<Body>, Reset> {
        let host = request.uri().authority().map_or_else(
            || request.headers().get("host").and_then(|host| host.to_str().ok()),
            |authority| Some(authority.as_str()),
        );
        let base = format!("{scheme}://{}", host.unwrap_or_default());
        let path = request.uri().path();
        if let Some(path) = path.strip_prefix(MOVED) {
            self.redirects_followed.fetch_add(1, Ordering::SeqCst);
            return Ok(match path {
                DISCOVERY => self.json(&self.discovery_document(&base)),
                _ => self.json(&self.keyring().jwks()),
            });
        }
        match path {
            DISCOVERY => {
                let document = || self.discovery_document(&base);
                self.serve(&self.discovery, path, document).await
            }
            JWKS => {
                let document = || self.keyring().jwks();
                self.serve(&self.jwks, path, document).await
            }
            EVIL_JWKS => {
                self.evil_fetches.fetch_add(1, Ordering::SeqCst);
                let keys = json!({ "keys": [keyring::evil_key().jwk()] });
                Ok(self.json(&keys))
            }
            _ => Ok(status(StatusCode::NOT_FOUND)),
        }
    }

    async fn serve(
        &self,
        document: &Document,
        path: &str,
        content: impl Fn() -> Value,
    ) -> Result<Response<Body>, Reset> {
        document.fetches.fetch_add(1, Ordering::SeqCst);
        let Some(fault) = document.faults.take() else {
            return Ok(self.json(&content()));
        };
        Ok(match fault {
            DocumentFault::Late(by) => {
                tokio::time::sleep(by).await;
                self.json(&content())
            }
            DocumentFault::Hang => std::future::pending().await,
            DocumentFault::Reset => return Err(Reset),
            DocumentFault::Status(code) => {
                status(StatusCode::from_u16(code).expect("the test names a status that HTTP knows"))
            }
            DocumentFault::Redirect => {
                let mut response = status(StatusCode::FOUND);
                let target = format!("{MOVED}{path}");
                let target = target.parse().expect("a path is a header value");
                response.headers_mut().insert("location", target);
                response
            }
            DocumentFault::Oversized => {
                let mut oversized = content();
                oversized["padding"] = json!("x".repeat(OVERSIZED_BYTES));
                self.json(&oversized)
            }
            DocumentFault::Malformed => Response::new(server::full("<html>Sign in</html>")),
        })
    }

    fn discovery_document(&self, base: &str) -> Value {
        let settings = self.settings();
        let issuer = settings.discovered_issuer.as_deref().unwrap_or(base);
        let jwks_uri = settings.discovered_jwks_uri.clone().unwrap_or_else(|| format!("{base}{JWKS}"));
        json!({
            "issuer": issuer,
            "jwks_uri": jwks_uri,
            "authorization_endpoint": format!("{base}/authorize"),
            "token_endpoint": format!("{base}/token"),
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": Algorithm::ALL.map(Algorithm::as_str),
        })
    }

    fn json(&self, document: &Value) -> Response<Body> {
        let mut response = Response::new(server::full(document.to_string()));
        let headers = response.headers_mut();
        headers.insert("content-type", http::HeaderValue::from_static("application/json"));
        if let Some(max_age) = self.settings().max_age {
            let value = format!("public, max-age={}", max_age.as_secs());
            let value = value.parse().expect("digits are a header value");
            headers.insert("cache-control", value);
        }
        response
    }

    fn keyring(&self) -> MutexGuard<'_, Keyring> {
        self.keyring.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn settings(&self) -> MutexGuard<'_, Settings> {
        self.settings.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn status(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(server::empty());
    *response.status_mut() = status;
    response
}

#[cfg(test)]
mod tests;
