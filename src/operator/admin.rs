//! The admin port: lists cached sessions and revocations, shows requests and accepts revocations. It shows no secrets,
//! but it names callers, so it listens on loopback only, or requires a token.

use std::io::{self, ErrorKind};
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use http::uri::Authority;
use http::{Method, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use serde_json::json;
use subtle::ConstantTimeEq as _;

use crate::operator::answer::{Page, PageLimit, json_answer};
use crate::server::{Handler, Peer};
use crate::state::Gateway;

mod requests;
mod revocations;
mod revoke;
mod sessions;

/// Answers `/sessions`, `/revocations` and `/sessions/revoke`.
pub struct Admin {
    gateway: Arc<Gateway>,
    token: Option<String>,
    lists: PageLimit,
}

/// Downloads of `/sessions` and `/revocations` in progress at once: a list of 10,000 sessions takes some 5 MB.
const LISTS: usize = 2;

impl std::fmt::Debug for Admin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Admin").field("token", &self.token.is_some()).finish_non_exhaustive()
    }
}

impl Admin {
    /// `token_file` contains the token that clients must send as a bearer token, without the white space around it.
    ///
    /// # Errors
    /// When the file cannot be read or is empty.
    pub fn new(gateway: Arc<Gateway>, token_file: Option<&Path>) -> io::Result<Self> {
        let read = |path: &Path| {
            let named = |error: io::Error| {
                io::Error::new(error.kind(), format!("listen.admin_token_file: {}: {error}", path.display()))
            };
            read_token(path).map_err(named)
        };
        let token = token_file.map(read).transpose()?;
        Ok(Self { gateway, token, lists: PageLimit::new(LISTS) })
    }

    fn admits(&self, request: &Request<Incoming>) -> bool {
        let Some(token) = &self.token else { return true };
        let sent = request
            .headers()
            .get(header::AUTHORIZATION)
            .and_then(|value| value.as_bytes().split_first_chunk::<7>())
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case(b"bearer "))
            .map(|(_, token)| token);
        sent.is_some_and(|sent| sent.ct_eq(token.as_bytes()).into())
    }
}

/// Reads the token that clients of the admin port must send, without the white space around it.
///
/// # Errors
/// When the file cannot be read; of kind `InvalidData` if it is not a text or empty.
pub fn read_token(path: &Path) -> io::Result<String> {
    let token = std::fs::read_to_string(path)?.trim().to_owned();
    if token.is_empty() {
        Err(io::Error::new(ErrorKind::InvalidData, "the file is empty"))
    } else {
        Ok(token)
    }
}

impl Handler for Admin {
    type Body = Page;

    async fn call(self: Arc<Self>, request: Request<Incoming>, _peer: Peer) -> Response<Page> {
        if !self.admits(&request) {
            let mut answer = json_answer(
                StatusCode::UNAUTHORIZED,
                &json!({ "message": "send the admin token as a bearer token" }),
            );
            answer.headers_mut().insert(header::WWW_AUTHENTICATE, header::HeaderValue::from_static("Bearer"));
            return answer;
        }
        if self.token.is_none() && !names_an_address(&request) {
            let message =
                "without listen.admin_token_file, the Host header must be an IP address or localhost";
            return json_answer(StatusCode::FORBIDDEN, &json!({ "message": message }));
        }
        if let (&Method::GET, Some(id)) = (request.method(), request.uri().path().strip_prefix("/requests/"))
        {
            return requests::answer(&self.gateway, id);
        }
        match (request.method(), request.uri().path()) {
            (&Method::GET, "/sessions") => {
                let gateway = Arc::clone(&self.gateway);
                self.lists.answer(move || sessions::answer(&gateway, request.uri().query())).await
            }
            (&Method::GET, "/revocations") => {
                let gateway = Arc::clone(&self.gateway);
                self.lists.answer(move || revocations::answer(&gateway)).await
            }
            (&Method::POST, "/sessions/revoke") => revoke::answer(Arc::clone(&self.gateway), request).await,
            _ => {
                let message = "no such page; this port has GET /sessions, /revocations and /requests/ID, and POST /sessions/revoke";
                json_answer(StatusCode::NOT_FOUND, &json!({ "message": message }))
            }
        }
    }
}

/// Whether the request's Host is an IP address or localhost. Without a token the gateway trusts every client that
/// can connect. A web page in a browser on this machine could be one, if its own host name resolves to this machine
/// (DNS rebinding); its Host is that name.
fn names_an_address(request: &Request<Incoming>) -> bool {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    let authority = host.and_then(|host| host.parse::<Authority>().ok());
    let Some(authority) = request.uri().authority().or(authority.as_ref()) else { return false };
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok()
}
