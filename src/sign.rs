//! `SigV4` over an explicit list of headers: a pure function of call, session, endpoint and time.
//!
//! What is signed is what is sent: the target's bytes are the caller's, the query was re-encoded when
//! it was parsed, and the body is hashed as it stands.

use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    PayloadChecksumKind, PercentEncodingMode, SessionTokenMode, SignableBody, SignableRequest,
    SigningInstructions, SigningSettings, UriPathNormalizationMode, sign as sign_v4,
};
use aws_sigv4::sign::v4;
use bytes::Bytes;
use http::{Request, Uri, header};
use http_body_util::Full;

use crate::authorize::Authorized;
use crate::sessions::Session;
use crate::upstream::endpoint::Endpoint;
use crate::upstream::headers;

/// A request that bears its caller's signature. Made only here; the only thing that is ever sent.
pub struct Signed {
    request: Request<Full<Bytes>>,
    at: SystemTime,
}

impl std::fmt::Debug for Signed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signed").field("uri", self.request.uri()).finish_non_exhaustive()
    }
}

impl Signed {
    /// The time that the signature bears.
    pub fn at(&self) -> SystemTime {
        self.at
    }

    /// The request to write.
    pub fn into_request(self) -> Request<Full<Bytes>> {
        self.request
    }
}

/// Why a request was not signed.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    #[error("the session is not one of the call's identity")]
    WrongSession,
    #[error("the request cannot be signed: {0}")]
    Unsignable(String),
}

/// Signs `call` with the credentials of `session` for `endpoint`, as of `now`.
///
/// # Errors
/// When the session belongs to another identity, or the signer refuses the request.
pub fn sign(
    call: &Authorized,
    session: &Session,
    endpoint: &Endpoint,
    now: SystemTime,
) -> Result<Signed, SignError> {
    if **session.identity() != **call.identity().session() {
        return Err(SignError::WrongSession);
    }
    let unsignable = |error: &dyn std::fmt::Display| SignError::Unsignable(error.to_string());
    let uri = Uri::builder()
        .scheme(endpoint.scheme.clone())
        .authority(endpoint.authority.clone())
        .path_and_query(call.call().target().clone())
        .build()
        .map_err(|error| unsignable(&error))?;
    let mut request = Request::builder()
        .method(call.call().method().clone())
        .uri(uri)
        .body(Full::new(call.body().clone()))
        .map_err(|error| unsignable(&error))?;
    *request.headers_mut() = call.headers().clone();

    let signed_headers = call
        .headers()
        .iter()
        .filter(|(name, _)| headers::is_signed(name))
        .filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
    let target = request.uri().to_string();
    let signable = SignableRequest::new(
        call.call().method().as_str(),
        target,
        signed_headers,
        SignableBody::Bytes(call.body()),
    )
    .map_err(|error| unsignable(&error))?;
    let credentials = session.credentials().clone();
    instructions(signable, credentials, &endpoint.region, endpoint.service, now)?
        .apply_to_request_http1x(&mut request);
    for secret in [header::AUTHORIZATION, header::HeaderName::from_static("x-amz-security-token")] {
        if let Some(value) = request.headers_mut().get_mut(secret) {
            value.set_sensitive(true);
        }
    }
    Ok(Signed { request, at: now })
}

/// What to add to a request so that it is signed.
fn instructions(
    request: SignableRequest<'_>,
    credentials: Credentials,
    region: &str,
    service: &str,
    now: SystemTime,
) -> Result<SigningInstructions, SignError> {
    let unsignable = |error: &dyn std::fmt::Display| SignError::Unsignable(error.to_string());
    let identity = credentials.into();
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region(region)
        .name(service)
        .time(now)
        .settings(settings())
        .build()
        .map_err(|error| unsignable(&error))?
        .into();
    let (instructions, _signature) =
        sign_v4(request, &params).map_err(|error| unsignable(&error))?.into_parts();
    Ok(instructions)
}

/// The settings that AWS's own SDK signs Bedrock calls with: path encoded twice, no
/// `x-amz-content-sha256` header, the session token among the signed headers.
fn settings() -> SigningSettings {
    let mut settings = SigningSettings::default();
    settings.percent_encoding_mode = PercentEncodingMode::Double;
    settings.uri_path_normalization_mode = UriPathNormalizationMode::Enabled;
    settings.payload_checksum_kind = PayloadChecksumKind::NoHeader;
    settings.session_token_mode = SessionTokenMode::Include;
    settings
}

#[cfg(test)]
mod tests;
