//! Everything around the proxies: upstreams, identity provider, STS, certificates, users and their requests.

use std::net::SocketAddr;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use bedrock_bed::Bed;
use bedrock_standin::idp::Claims;
use bytes::Bytes;
use http_body_util::Full;
use tokio::runtime::Runtime;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::upstream;

/// Enough callers to keep each below the limit for one caller.
pub(crate) const USERS: usize = 16;

pub(crate) struct World {
    pub(crate) bed: Bed,
    /// Runs the stand-in, on threads of its own.
    runtime: Runtime,
    pub(crate) plain_upstream: SocketAddr,
    pub(crate) tls_upstream: SocketAddr,
    tokens: Vec<String>,
    pub(crate) trusting: TlsConnector,
}

impl World {
    /// Must be called within a `LocalSet`, in which the upstreams stay.
    pub(crate) async fn start() -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let bed = {
            let _entered = runtime.enter();
            Bed::start()
        };
        let (serving, trusting) = (bedrock_bed::serving(bed.folder()), bedrock_bed::trusting(bed.folder()));
        let tokens = (0..USERS).map(|user| token(&bed, user)).collect();
        Self {
            plain_upstream: upstream::start(None).await,
            tls_upstream: upstream::start(Some(TlsAcceptor::from(Arc::new(serving)))).await,
            bed,
            runtime,
            tokens,
            trusting: TlsConnector::from(Arc::new(trusting)),
        }
    }

    /// Must be called outside of every runtime.
    pub(crate) fn end(self) {
        drop(self.bed);
        self.runtime.shutdown_background();
    }

    pub(crate) fn folder(&self) -> &Path {
        self.bed.folder()
    }

    /// One request of each user for `path`, with a body of `size` bytes.
    pub(crate) fn requests(&self, path: &str, size: usize) -> Vec<Bytes> {
        self.tokens.iter().map(|token| request(path, token, size)).collect()
    }

    /// One request of each of these users, whose sessions are new to a proxy except those of the first ones.
    pub(crate) fn requests_of(&self, users: Range<usize>, path: &str, size: usize) -> Vec<Bytes> {
        users.map(|user| request(path, &token(&self.bed, user), size)).collect()
    }

    /// `count` requests of one user, each with another token, signed with RS256.
    pub(crate) fn with_new_tokens(&self, count: usize, path: &str, size: usize) -> Vec<Bytes> {
        let half = |count: usize| {
            (0..count).map(|_| request(path, &token(&self.bed, 0), size)).collect::<Vec<Bytes>>()
        };
        thread::scope(|scope| {
            let first = scope.spawn(|| half(count / 2));
            let mut all = half(count - count / 2);
            all.extend(first.join().unwrap());
            all
        })
    }

    /// Like [`World::requests`], for an HTTP/2 client.
    pub(crate) fn h2_request(
        &self,
        path: &str,
        size: usize,
    ) -> impl Fn() -> http::Request<Full<Bytes>> + Clone + use<> {
        let uri: http::Uri = format!("http://localhost{path}").parse().unwrap();
        let authorization: http::HeaderValue = format!("Bearer {}", self.tokens[0]).parse().unwrap();
        let body = body(size);
        move || {
            http::Request::post(uri.clone())
                .header("authorization", authorization.clone())
                .header("content-type", "application/json")
                .header("accept", "application/json")
                .header("user-agent", USER_AGENT)
                .body(Full::new(body.clone()))
                .unwrap()
        }
    }

    /// A token of the first user, for measuring its check alone.
    pub(crate) fn a_token(&self) -> &str {
        &self.tokens[0]
    }
}

const USER_AGENT: &str =
    "Boto3/1.44.5 md/Botocore#1.44.5 ua/2.1 os/linux#6.1 md/arch#x86_64 lang/python#3.11.7";

/// A token with the claims that an identity provider gives.
fn token(bed: &Bed, user: usize) -> String {
    let email = format!("user{user}@acme.example");
    bed.standin.idp.mint(
        Claims::of(&format!("00u{user:017}"))
            .claim("email", email.as_str())
            .claim("department", format!("department-{}", user % 4))
            .claim("groups", vec!["bedrock-users", "engineering", "everyone"])
            .claim("cid", "0oa1b2c3d4e5f6g7h8i9")
            .claim("scp", vec!["openid", "profile", "email"])
            .expires_in(Duration::from_hours(1)),
    )
}

fn body(size: usize) -> Bytes {
    let around = r#"{"messages":[{"role":"user","content":[{"text":""}]}]}"#;
    let text = "a ".repeat(size.saturating_sub(around.len()) / 2);
    format!(r#"{{"messages":[{{"role":"user","content":[{{"text":"{text}"}}]}}]}}"#).into()
}

/// A request as boto3 sends it.
fn request(path: &str, token: &str, size: usize) -> Bytes {
    let body = body(size);
    let mut bytes = format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nAccept-Encoding: identity\r\n\
         Content-Type: application/json\r\nAccept: application/json\r\nUser-Agent: {USER_AGENT}\r\n\
         Authorization: Bearer {token}\r\namz-sdk-invocation-id: 7d5b8a52-9f3e-4f7c-8b47-2f2b3f6f1f3a\r\n\
         amz-sdk-request: attempt=1\r\nContent-Length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    bytes.extend_from_slice(&body);
    bytes.into()
}
