//! Signed calls of the few AWS services for which the gateway has no client: those that speak AWS's JSON protocol 1.1
//! (botocore's service models `ce` and `bcm-data-exports`), and the read-only calls of Bedrock's control plane, which are
//! GET requests with a JSON answer (service model `bedrock`).

use std::fmt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header};
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
use crate::clock;
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
    /// The answer is not one of this service.
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

/// An HTTP client for AWS, which trusts the CAs of this machine and those of the configuration.
pub(super) struct HttpClient {
    client: Client<HttpsConnector<ProxyConnector<GaiResolver>>, Full<Bytes>>,
    proxy: Proxy,
}

impl HttpClient {
    /// # Errors
    /// When TLS cannot be set up, in words.
    pub(super) fn new(proxy: &Proxy, ca_files: &[&Path]) -> Result<Self, String> {
        let roots = trust::machine_and(ca_files.iter().copied()).map_err(|error| error.to_string())?;
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
        Ok(Self { client, proxy: proxy.clone() })
    }

    /// The `Date` of the answer to an unsigned request. `None`: it has none.
    ///
    /// # Errors
    /// [`CallError::NoAnswer`].
    pub(super) async fn date(&self, url: &str) -> Result<Option<SystemTime>, CallError> {
        let request = Request::get(url).body(Full::default());
        let request =
            request.map_err(|error| CallError::NoAnswer(format!("{url} is not usable: {error}")))?;
        let (_, headers, _) = self.send(request, url).await?;
        let date = headers.get(header::DATE).and_then(|date| date.to_str().ok());
        Ok(date.and_then(|date| httpdate::parse_http_date(date).ok()))
    }

    async fn send(
        &self,
        request: Request<Full<Bytes>>,
        url: &str,
    ) -> Result<(StatusCode, HeaderMap, Bytes), CallError> {
        let no_answer = |why: &str| {
            let via = self.proxy.hint(&url.parse().unwrap_or_default());
            CallError::NoAnswer(format!("no answer from {url}: {why}{via}"))
        };
        let exchange = async {
            let answer = self.client.request(request).await.map_err(|error| {
                let fault = self.proxy.fault(&error);
                no_answer(&fault.unwrap_or_else(|| causes::of_connection(&error, "aws.endpoints.ca")))
            })?;
            let (head, body) = answer.into_parts();
            #[expect(clippy::disallowed_methods, reason = "limited in the same expression")]
            let body = Limited::new(body, LARGEST).collect().await;
            let body = body.map_err(|error| no_answer(&error.to_string()))?.to_bytes();
            Ok((head.status, head.headers, body))
        };
        let waited = timeout(DEADLINE, exchange).await;
        waited.unwrap_or_else(|_elapsed| Err(no_answer("it did not come within ten seconds")))
    }
}

/// A caller with credentials of its own.
pub(super) struct SignedCaller {
    http: HttpClient,
    credentials: Credentials,
}

impl fmt::Debug for SignedCaller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignedCaller").finish_non_exhaustive()
    }
}

/// The parts of a request before it is signed.
struct Unsigned<'a> {
    method: Method,
    url: &'a str,
    headers: Vec<(&'static str, &'a str)>,
    body: String,
}

impl SignedCaller {
    /// # Errors
    /// When TLS cannot be set up, in words.
    pub(super) fn new(credentials: Credentials, proxy: &Proxy, ca_files: &[&Path]) -> Result<Self, String> {
        Ok(Self { http: HttpClient::new(proxy, ca_files)?, credentials })
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
        let target = format!("{}.{operation}", service.target);
        let headers = vec![("content-type", "application/x-amz-json-1.1"), ("x-amz-target", &*target)];
        let request = Unsigned { method: Method::POST, url: &url, headers, body: input.to_string() };
        self.exchange(request, service.signing_name, region).await
    }

    /// Gets a document of a REST service.
    ///
    /// # Errors
    /// As for [`SignedCaller::call`].
    pub(super) async fn get(&self, signing_name: &str, region: &str, url: &str) -> Result<Value, CallError> {
        let request = Unsigned { method: Method::GET, url, headers: Vec::new(), body: String::new() };
        self.exchange(request, signing_name, region).await
    }

    async fn exchange(
        &self,
        request: Unsigned<'_>,
        signing_name: &str,
        region: &str,
    ) -> Result<Value, CallError> {
        let url = request.url;
        let request = self.signed(request, signing_name, region)?;
        let (status, headers, body) = self.http.send(request, url).await?;
        read(status, &headers, &body)
    }

    fn signed(
        &self,
        unsigned: Unsigned<'_>,
        signing_name: &str,
        region: &str,
    ) -> Result<Request<Full<Bytes>>, CallError> {
        let Unsigned { method, url, headers, body } = unsigned;
        let invalid = |error: &dyn fmt::Display| CallError::NoAnswer(format!("{url} is not usable: {error}"));
        let address: Url = url.parse().map_err(|error: url::ParseError| invalid(&error))?;
        let identity = self.credentials.clone().into();
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(region)
            .name(signing_name)
            .time(clock::now())
            .settings(SigningSettings::default())
            .build()
            .map_err(|error| invalid(&error))?
            .into();
        let signable = SignableRequest::new(
            method.as_str(),
            address.as_str(),
            headers.iter().copied(),
            SignableBody::Bytes(body.as_bytes()),
        )
        .map_err(|error| invalid(&error))?;
        let (instructions, _signature) =
            sign(signable, &params).map_err(|error| invalid(&error))?.into_parts();
        let mut request = Request::builder().method(method).uri(address.as_str());
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

fn read(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Result<Value, CallError> {
    let garbage = || {
        let begin: String = String::from_utf8_lossy(body).chars().take(60).collect();
        CallError::Garbage(format!("status {status}, {begin:?}"))
    };
    let document: Value = serde_json::from_slice(body).map_err(|_| garbage())?;
    if status.is_success() {
        return if document.is_object() { Ok(document) } else { Err(garbage()) };
    }
    // REST services name the error in a header, perhaps with a URL behind a colon (Smithy, AWS REST JSON 1.1 protocol).
    // Others have `__type`, perhaps with a namespace before `#` (Smithy, AWS JSON 1.1 protocol).
    let named = headers.get("x-amzn-errortype").and_then(|value| value.to_str().ok());
    let named = named.and_then(|value| value.split(':').next());
    let code = named.or_else(|| document["__type"].as_str()).and_then(|code| code.rsplit('#').next());
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
        let (ok, none) = (StatusCode::OK, HeaderMap::new());
        assert_eq!(read(ok, &none, br#"{"Exports":[]}"#), Ok(serde_json::json!({ "Exports": [] })));
        for (body, expected) in [
            (
                r#"{"__type":"com.amazon.coral.service#AccessDeniedException","Message":"no"}"#,
                refused("AccessDeniedException", "no"),
            ),
            (r#"{"__type":"ThrottlingException"}"#, refused("ThrottlingException", "")),
        ] {
            assert_eq!(read(StatusCode::BAD_REQUEST, &none, body.as_bytes()), expected);
        }
        for (status, body) in
            [(200, "<html>"), (200, "[]"), (400, "<html>"), (400, "{}"), (502, ""), (500, r#"{"error":1}"#)]
        {
            let status = StatusCode::from_u16(status).unwrap();
            assert!(
                matches!(read(status, &none, body.as_bytes()), Err(CallError::Garbage(_))),
                "{status} {body}"
            );
        }
        let named = HeaderMap::from_iter([(
            header::HeaderName::from_static("x-amzn-errortype"),
            HeaderValue::from_static("AccessDeniedException:http://internal.amazon.com/"),
        )]);
        let answer = read(StatusCode::FORBIDDEN, &named, br#"{"message":"no"}"#);
        assert_eq!(answer, refused("AccessDeniedException", "no"));
    }
}
