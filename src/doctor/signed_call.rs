//! Signed calls of the few AWS services for which the gateway has no client: those that speak AWS's JSON protocol 1.1
//! (botocore's service models `ce` and `bcm-data-exports`).

use std::fmt;
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use bytes::Bytes;
use http::{HeaderValue, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::GaiResolver;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use tokio::time::timeout;
use url::Url;

use crate::causes;
use crate::proxy::{Proxy, ProxyConnector};
use crate::trust;

/// The longest wait for an answer.
const DEADLINE: Duration = Duration::from_secs(10);
/// The largest answer that is read, bytes.
const LARGEST: usize = 4 * 1024 * 1024;
/// The most characters of an error message that are shown.
const LONGEST_MESSAGE: usize = 300;

/// A service of AWS, as its service model describes it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Service {
    pub(super) signing_name: &'static str,
    /// The part of `X-Amz-Target` before the operation.
    pub(super) target: &'static str,
    /// The environment variable with another address, which every AWS SDK reads.
    pub(super) variable: &'static str,
}

/// Why a call failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum CallError {
    /// There is no connection, or no answer.
    NoAnswer(String),
    /// The service refused the call.
    Refused { code: String, message: String },
    /// What answers is not this service.
    Garbage(String),
}

impl CallError {
    /// Whether the credentials lack the permission.
    pub(super) fn is_denied(&self) -> bool {
        matches!(self, Self::Refused { code, .. } if code.starts_with("AccessDenied"))
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoAnswer(why) => f.write_str(why),
            Self::Refused { code, message } if message.is_empty() => f.write_str(code),
            Self::Refused { code, message } => write!(f, "{code}: {message}"),
            Self::Garbage(what) => write!(f, "it is not an answer of AWS: {what}"),
        }
    }
}

/// A caller with credentials of its own.
pub(super) struct SignedCaller {
    client: Client<HttpsConnector<ProxyConnector<GaiResolver>>, Full<Bytes>>,
    proxy: Proxy,
    credentials: Credentials,
}

impl fmt::Debug for SignedCaller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignedCaller").finish_non_exhaustive()
    }
}

impl SignedCaller {
    /// # Errors
    /// When TLS cannot be set up, in words.
    pub(super) fn new(credentials: Credentials, proxy: &Proxy) -> Result<Self, String> {
        let roots = trust::machine_and(None).map_err(|error| error.to_string())?;
        let tls = trust::client(roots).map_err(|error| error.to_string())?;
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_connect_timeout(Some(DEADLINE));
        let tcp = ProxyConnector::new(tcp, HttpConnector::new(), tls.clone(), proxy.clone());
        let https = hyper_rustls::HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        let client = Client::builder(TokioExecutor::new()).build(https);
        Ok(Self { client, proxy: proxy.clone(), credentials })
    }

    /// Calls `operation` in `region`, whose address is `url` unless the service's variable names another one.
    ///
    /// # Errors
    /// When there is no answer within ten seconds, or it is not a success.
    pub(super) async fn call(
        &self,
        service: Service,
        (region, url): (&str, &str),
        operation: &str,
        input: &Value,
    ) -> Result<Value, CallError> {
        let url = std::env::var(service.variable).unwrap_or_else(|_| url.to_owned());
        let request = self.signed(service, region, &url, operation, input)?;
        let no_answer = |why: &str| {
            let via = self.proxy.hint(&url.parse().unwrap_or_default());
            CallError::NoAnswer(format!("no answer from {url}: {why}{via}"))
        };
        let exchange = async {
            let answer = self.client.request(request).await.map_err(|error| {
                let fault = self.proxy.fault(&error);
                no_answer(&fault.unwrap_or_else(|| causes::in_one_line(&error)))
            })?;
            let status = answer.status();
            #[expect(clippy::disallowed_methods, reason = "limited in the same expression")]
            let body = Limited::new(answer.into_body(), LARGEST).collect().await;
            let body = body.map_err(|error| no_answer(&error.to_string()))?.to_bytes();
            Ok((status, body))
        };
        let waited = timeout(DEADLINE, exchange).await;
        let (status, body) =
            waited.unwrap_or_else(|_elapsed| Err(no_answer("it did not come within ten seconds")))?;
        read(status, &body)
    }

    fn signed(
        &self,
        service: Service,
        region: &str,
        url: &str,
        operation: &str,
        input: &Value,
    ) -> Result<Request<Full<Bytes>>, CallError> {
        let invalid = |error: &dyn fmt::Display| CallError::NoAnswer(format!("{url} is not usable: {error}"));
        let address: Url = url.parse().map_err(|error: url::ParseError| invalid(&error))?;
        let body = input.to_string();
        let target = format!("{}.{operation}", service.target);
        let headers = [("content-type", "application/x-amz-json-1.1"), ("x-amz-target", target.as_str())];
        let identity = self.credentials.clone().into();
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(region)
            .name(service.signing_name)
            .time(SystemTime::now())
            .settings(SigningSettings::default())
            .build()
            .map_err(|error| invalid(&error))?
            .into();
        let signable = SignableRequest::new(
            "POST",
            address.as_str(),
            headers.into_iter(),
            SignableBody::Bytes(body.as_bytes()),
        )
        .map_err(|error| invalid(&error))?;
        let (instructions, _signature) =
            sign(signable, &params).map_err(|error| invalid(&error))?.into_parts();
        let mut request = Request::post(address.as_str());
        for (name, value) in headers {
            request = request.header(name, value);
        }
        for (name, value) in instructions.headers() {
            let mut value = HeaderValue::from_str(value).map_err(|error| invalid(&error))?;
            value.set_sensitive(true);
            request = request.header(name, value);
        }
        request
            .header(header::ACCEPT, "application/json")
            .body(Full::new(body.into()))
            .map_err(|error| invalid(&error))
    }
}

fn read(status: StatusCode, body: &[u8]) -> Result<Value, CallError> {
    let garbage = || {
        let begin: String = String::from_utf8_lossy(body).chars().take(60).collect();
        CallError::Garbage(format!("status {status}, {begin:?}"))
    };
    let document: Value = serde_json::from_slice(body).map_err(|_| garbage())?;
    if status.is_success() {
        return if document.is_object() { Ok(document) } else { Err(garbage()) };
    }
    // `__type` may have a namespace before `#` (Smithy, AWS JSON 1.1 protocol, "operation error serialization").
    let code = document["__type"].as_str().and_then(|code| code.rsplit('#').next());
    let message = document["message"].as_str().or_else(|| document["Message"].as_str());
    Err(CallError::Refused {
        code: code.ok_or_else(garbage)?.to_owned(),
        message: message.unwrap_or_default().chars().take(LONGEST_MESSAGE).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_an_object_or_an_error_with_a_code() {
        let refused = |code: &str, message: &str| {
            Err(CallError::Refused { code: code.to_owned(), message: message.to_owned() })
        };
        let ok = StatusCode::OK;
        assert_eq!(read(ok, br#"{"Exports":[]}"#), Ok(serde_json::json!({ "Exports": [] })));
        for (body, expected) in [
            (
                r#"{"__type":"com.amazon.coral.service#AccessDeniedException","Message":"no"}"#,
                refused("AccessDeniedException", "no"),
            ),
            (r#"{"__type":"ThrottlingException"}"#, refused("ThrottlingException", "")),
        ] {
            assert_eq!(read(StatusCode::BAD_REQUEST, body.as_bytes()), expected);
        }
        for (status, body) in
            [(200, "<html>"), (200, "[]"), (400, "<html>"), (400, "{}"), (502, ""), (500, r#"{"error":1}"#)]
        {
            let status = StatusCode::from_u16(status).unwrap();
            assert!(matches!(read(status, body.as_bytes()), Err(CallError::Garbage(_))), "{status} {body}");
        }
    }
}
