//! Routing: finds the operation, the upstream service and the model that a method and a raw path name.
//!
//! The path is split on literal `/` before it is percent-decoded, because a model id may be an ARN whose slashes arrive
//! as `%2F`. The table of routes is closed, so the gateway is not an open AWS proxy. This module uses no I/O and no clock,
//! and of the configuration only the regions that it is given.

use std::sync::Arc;

use http::request::Parts;
use http::uri::PathAndQuery;
use http::{Method, Uri, Version};

pub use self::model::{IllegalModelId, ModelId};
pub use self::operation::{Operation, Service, UnknownOperation};
pub use self::table::ModelIn;

mod model;
mod operation;
mod table;
mod target;

/// A request that the table contains.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route {
    /// `GET /` or `HEAD /`, from a client that checks whether the server answers.
    Probe,
    /// A call to Bedrock.
    Call(Call),
}

/// A call to Bedrock, as far as its method and path describe it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    operation: Operation,
    service: Service,
    model_in: ModelIn,
    region: Option<Arc<str>>,
    method: Method,
    target: PathAndQuery,
}

impl Call {
    pub fn operation(&self) -> Operation {
        self.operation
    }

    pub fn service(&self) -> Service {
        self.service
    }

    /// The place in the request that names the model.
    pub fn model_in(&self) -> &ModelIn {
        &self.model_in
    }

    /// The region that the path's first segment names; `None` means the first region of the configuration.
    pub fn region(&self) -> Option<&Arc<str>> {
        self.region.as_ref()
    }

    pub fn method(&self) -> &Method {
        &self.method
    }

    /// The request target to sign and send. Its path has the caller's bytes, without region and `/mantle`. Its query is
    /// encoded again, because the signature covers the parsed pairs and must agree with the bytes that are sent.
    pub fn target(&self) -> &PathAndQuery {
        &self.target
    }
}

/// The API style of a path. Its clients expect errors in this style.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    Aws,
    OpenAi,
    Anthropic,
}

impl Dialect {
    /// The style of a path, whether or not the path is in the table.
    pub fn of(uri: &Uri, regions: &[Arc<str>]) -> Self {
        let mut segments = uri.path().split('/').skip(1).peekable();
        segments.next_if(|first| regions.iter().any(|region| **region == **first));
        let is_mantle = segments.next_if(|first| *first == "mantle").is_some();
        match segments.next() {
            Some("anthropic") => Self::Anthropic,
            Some("openai") => Self::OpenAi,
            Some("v1") if is_mantle => Self::OpenAi,
            _ => Self::Aws,
        }
    }
}

/// Why a request is not in the table.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RouteError {
    /// No row of the table has this method and path.
    #[error("no operation has this method and path")]
    Unknown {
        /// A method and path that the client may have intended.
        instead: Option<&'static str>,
    },
    /// `InvokeModelWithBidirectionalStream`, which needs a signature chain over the caller's own frames.
    #[error("bidirectional streams are not supported")]
    Bidirectional,
    /// The signed form of the target could differ from its sent form.
    #[error("the request is malformed: {0}")]
    Malformed(&'static str),
}

/// Longest request target that is accepted: a 2048-byte id with every byte escaped, and room for the rest.
const MAX_TARGET_BYTES: usize = 16 * 1024;

/// Finds the route of a request's head. `regions` are the ones that the path may begin with.
///
/// The function needs the whole head, so no call can skip the check of `Host` and transfer codings:
///
/// ```
/// # use bedrock_gateway::route::{self, Route, RouteError};
/// fn of_a_whole_head(head: &http::request::Parts) -> Result<Route, RouteError> {
///     route::parse(head, &[])
/// }
/// ```
/// ```compile_fail,E0061
/// # use bedrock_gateway::route::{self, Route, RouteError};
/// fn of_a_whole_head(head: &http::request::Parts) -> Result<Route, RouteError> {
///     route::parse(&head.method, &head.uri, &[])
/// }
/// ```
///
/// # Errors
/// * [`RouteError::Malformed`] for a head that two servers could read differently
/// * [`RouteError::Bidirectional`] for a bidirectional stream
/// * [`RouteError::Unknown`] for any other request that is not in the table
pub fn parse(head: &Parts, regions: &[Arc<str>]) -> Result<Route, RouteError> {
    let Parts { method, uri, .. } = head;
    check_head(head)?;
    let path = uri.path();
    if uri.path_and_query().map_or(0, |target| target.as_str().len()) > MAX_TARGET_BYTES {
        return Err(RouteError::Malformed("the target is longer than 16 KiB"));
    }
    if path == "/" {
        let probes = method == Method::GET || method == Method::HEAD;
        return if probes { Ok(Route::Probe) } else { Err(table::unknown(&[])) };
    }
    let Some(rest) = path.strip_prefix('/') else { return Err(table::unknown(&[])) };
    let segments: Vec<&str> = rest.split('/').collect();
    for segment in &segments {
        target::check_segment(segment)?;
    }
    let region = regions.iter().find(|region| segments.first() == Some(&&***region)).cloned();
    let segments = segments.get(usize::from(region.is_some())..).unwrap_or_default();
    let table::Row { operation, service, model_in } = table::find(method.as_str(), segments)?;
    let sent = if service == Service::Mantle { segments.get(1..).unwrap_or_default() } else { segments };
    let target = target::assemble(sent, uri)?;
    Ok(Route::Call(Call { operation, service, model_in, region, method: method.clone(), target }))
}

/// Refuses a head that another server on the way could have read differently:
///
/// * a target in absolute form, or an HTTP/2 `:authority`, that differs from `Host`
/// * no `Host`, or two of them (RFC 9112, section 3.2)
/// * a transfer coding other than `chunked`, because neither the gateway nor Bedrock would decode it
fn check_head(head: &Parts) -> Result<(), RouteError> {
    let Parts { version, uri, headers, .. } = head;
    let mut codings = headers.get_all(http::header::TRANSFER_ENCODING).iter();
    if codings.next().is_some_and(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"chunked"))
        || codings.next().is_some()
    {
        return Err(RouteError::Malformed("its Transfer-Encoding is not chunked"));
    }
    let mut hosts = headers.get_all(http::header::HOST).iter();
    let host = hosts.next();
    if hosts.next().is_some() {
        return Err(RouteError::Malformed("the Host header appears twice"));
    }
    if host.is_none() && uri.authority().is_none() && *version > Version::HTTP_10 {
        return Err(RouteError::Malformed("the Host header is missing"));
    }
    let (Some(authority), Some(host)) = (uri.authority(), host) else { return Ok(()) };
    // The default port of the scheme may be written or left out (RFC 9110, section 4.2.3).
    let port: &[u8] = if uri.scheme_str() == Some("https") { b":443" } else { b":80" };
    let bare = |host: &'_ [u8]| host.strip_suffix(port).unwrap_or(host).to_ascii_lowercase();
    if bare(host.as_bytes()) == bare(authority.as_str().as_bytes()) {
        Ok(())
    } else {
        Err(RouteError::Malformed("the target and the Host header differ"))
    }
}

/// The head of a request for `uri`, for the tests of this stage and of later ones.
#[cfg(test)]
pub(crate) fn head(method: &Method, uri: Uri) -> Parts {
    let request =
        http::Request::builder().method(method).uri(uri).header("host", "gateway").body(()).unwrap();
    request.into_parts().0
}

#[cfg(test)]
mod tests;
