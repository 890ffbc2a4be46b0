//! `SigV4` over an explicit list of headers: a pure function of call, session, endpoint and time.
//!
//! The gateway sends exactly the bytes that it signs: the caller's path, the query as it was encoded again when it
//! was parsed, and the body unchanged. `aws-sigv4` derives the keys. This module writes the canonical request itself,
//! in one piece: that crate takes three times as long for it, and derives the key again each time. Tests compare the
//! signatures with those of that crate.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use aws_credential_types::Credentials;
use aws_sigv4::sign::v4::generate_signing_key;
use http::header::{self, HeaderMap, HeaderName, HeaderValue, InvalidHeaderValue};
use http::{Request, Uri};

use crate::body::sent::SentBody;
use crate::endpoint::Endpoint;
use crate::revoke::Clearance;
use crate::sessions::{Ready, Scope, SigningKey};
use crate::sign::canonical::{Canonical, Stamp};

mod canonical;

/// A request that is signed with its caller's session. Only this module makes it, and the gateway sends nothing else to
/// Bedrock.
///
/// Code outside this crate can send it, but cannot open or change it:
///
/// ```
/// # use bedrock_gateway::sign::Signed;
/// # use bedrock_gateway::upstream::Upstream;
/// async fn is_sent_as_it_is(upstream: &Upstream, signed: Signed) {
///     let _answer = upstream.send(signed).await;
/// }
/// ```
/// ```compile_fail,E0624
/// # use bedrock_gateway::sign::Signed;
/// # use bedrock_gateway::upstream::Upstream;
/// async fn is_sent_as_it_is(upstream: &Upstream, signed: Signed) {
///     let _answer = signed.into_parts();
/// }
/// ```
pub struct Signed {
    request: Request<SentBody>,
    endpoint: Arc<Endpoint>,
    at: SystemTime,
}

impl std::fmt::Debug for Signed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signed").field("uri", self.request.uri()).finish_non_exhaustive()
    }
}

impl Signed {
    /// The time in the signature.
    pub fn at(&self) -> SystemTime {
        self.at
    }

    /// The request, and the endpoint to send it to.
    pub(crate) fn into_parts(self) -> (Request<SentBody>, Arc<Endpoint>) {
        (self.request, self.endpoint)
    }
}

/// Why a request was not signed.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    #[error("the session or the clearance belongs to another identity than the call's")]
    WrongSession,
    #[error("cannot sign the request: {0}")]
    Unsignable(#[from] InvalidHeaderValue),
}

static DATE: HeaderName = HeaderName::from_static("x-amz-date");
static SECURITY_TOKEN: HeaderName = HeaderName::from_static("x-amz-security-token");

/// Signs the call of `ready` with the session that was fetched for it, for its endpoint, as of `now`: path encoded
/// twice, no `x-amz-content-sha256` header, the session token among the signed headers, as AWS's own SDK signs
/// Bedrock calls.
///
/// A call and its session are one value, so no code can sign a call with the session of another caller:
///
/// ```
/// # use std::time::SystemTime;
/// # use bedrock_gateway::{authorize::Authorized, revoke::Clearance, sign::sign};
/// # use bedrock_gateway::sessions::{Ready, Session};
/// fn by_its_own(cleared: Clearance, ready: &Ready, call: Authorized, other: Session, now: SystemTime) {
///     let _signed = sign(cleared, ready, now);
/// }
/// ```
/// ```compile_fail,E0624
/// # use std::time::SystemTime;
/// # use bedrock_gateway::{authorize::Authorized, revoke::Clearance, sign::sign};
/// # use bedrock_gateway::sessions::{Ready, Session};
/// fn by_its_own(cleared: Clearance, ready: &Ready, call: Authorized, other: Session, now: SystemTime) {
///     let _signed = sign(cleared, &Ready::new(call, other), now);
/// }
/// ```
///
/// # Errors
/// When the session or the clearance belongs to another identity, or a part of the request is not valid HTTP.
// Assumption A17.
pub fn sign(cleared: Clearance, ready: &Ready, now: SystemTime) -> Result<Signed, SignError> {
    let (call, session) = (ready.call(), ready.session());
    let endpoint = call.endpoint();
    let (owner, expected) = (session.identity(), call.identity().session());
    // The types exclude the session of another caller. They do not exclude a clearance of another caller.
    let same_session = Arc::ptr_eq(owner, expected) || owner == expected;
    if !same_session || !cleared.is_of(call.identity()) {
        return Err(SignError::WrongSession);
    }
    drop(cleared);
    let (method, target) = (call.call().method(), call.call().target());
    let (token, stamp) = (session.token(), Stamp::of(now));
    let scope = Scope { day: day(now), region: endpoint.region.clone(), service: endpoint.service };
    let key = session.signing_key(&scope, |credentials| derive(credentials, now, &scope));

    let mut signed = Vec::with_capacity(call.headers().len() + 3);
    for (name, value) in call.headers().iter().filter(|(name, _)| is_signed(name)) {
        signed.push((name.as_str(), value.as_bytes()));
    }
    signed.push((header::HOST.as_str(), endpoint.host.as_bytes()));
    signed.push((DATE.as_str(), stamp.as_str().as_bytes()));
    signed.push((SECURITY_TOKEN.as_str(), token.as_bytes()));
    let canonical = Canonical { method, target, headers: signed, body: call.body().digest() };
    let authorization = canonical.authorization(session.access_key_id(), key, &stamp, &scope);

    let mut request = Request::new(SentBody::new(Arc::clone(call.body())));
    *request.method_mut() = method.clone();
    *request.uri_mut() = Uri::from(target.clone());
    // A clone would have no room for the headers of the signature.
    let mut headers = HeaderMap::with_capacity(call.headers().len() + 4);
    headers.extend(call.headers().iter().map(|(name, value)| (name.clone(), value.clone())));
    headers.insert(header::HOST, endpoint.host.clone());
    headers.insert(&DATE, HeaderValue::from_str(stamp.as_str())?);
    headers.insert(header::AUTHORIZATION, secret(HeaderValue::try_from(authorization)?));
    headers.insert(&SECURITY_TOKEN, token.clone());
    *request.headers_mut() = headers;
    Ok(Signed { request, endpoint: Arc::clone(endpoint), at: now })
}

/// Whether the signature covers a header: those that AWS requires, and those that change the call.
// Assumption A17.
fn is_signed(name: &HeaderName) -> bool {
    *name == header::CONTENT_TYPE || *name == header::ACCEPT || name.as_str().starts_with("x-amz")
}

/// The number of days since 1970. A signing key depends on the day and on no smaller unit of time.
fn day(at: SystemTime) -> u64 {
    at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() / (24 * 60 * 60)
}

fn derive(credentials: &Credentials, now: SystemTime, scope: &Scope) -> SigningKey {
    let key = generate_signing_key(credentials.secret_access_key(), now, &scope.region, scope.service);
    let mut bytes = [0; 32];
    bytes.copy_from_slice(key.as_ref());
    SigningKey::new(&bytes)
}

/// Marks a value as sensitive, so that the HTTP libraries do not print it.
fn secret(mut value: HeaderValue) -> HeaderValue {
    value.set_sensitive(true);
    value
}

#[cfg(test)]
mod tests;
