//! What is asked: which operation of which upstream family a method and a raw path name, on which model.
//!
//! The path is split on literal `/` before anything is percent-decoded, because a model id may be an
//! ARN whose slashes arrive as `%2F`. The table of routes is closed: the gateway is no open AWS proxy.
//! Pure: no I/O, no clock, no configuration but the regions it is given.

use std::fmt::Write as _;
use std::str::FromStr;

use http::uri::PathAndQuery;
use http::{Method, Uri};
use percent_encoding::percent_decode_str;

/// An operation that a role may allow; `operations` in the configuration names these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    /// `InvokeModel` and `InvokeModelWithResponseStream`.
    Invoke,
    /// `Converse` and `ConverseStream`.
    Converse,
}

impl Operation {
    /// All of them, in the order of the documentation.
    pub const ALL: [Self; 2] = [Self::Invoke, Self::Converse];

    /// The name in configuration, logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Invoke => "invoke",
            Self::Converse => "converse",
        }
    }
}

/// A name that is no operation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no operation of this name")]
pub struct UnknownOperation;

impl FromStr for Operation {
    type Err = UnknownOperation;

    fn from_str(name: &str) -> Result<Self, UnknownOperation> {
        Self::ALL.into_iter().find(|operation| operation.as_str() == name).ok_or(UnknownOperation)
    }
}

/// A model id after its one percent-decoding: 1..2048 bytes of `[A-Za-z0-9._:/-]` (the alphabet of
/// the `modelId` pattern in the Bedrock service model).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ModelId(String);

/// Bytes that no model id has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a legal model id")]
pub struct IllegalModelId;

impl ModelId {
    /// # Errors
    /// When the text is empty, longer than 2048 bytes or has a character outside the alphabet.
    pub fn parse(text: &str) -> Result<Self, IllegalModelId> {
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"._:/-".contains(&byte);
        if (1..=2048).contains(&text.len()) && text.bytes().all(legal) {
            Ok(Self(text.to_owned()))
        } else {
            Err(IllegalModelId)
        }
    }

    /// The id as operators write it in `models`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A request that the table knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route {
    /// `GET /` or `HEAD /`: clients that probe whether something answers.
    Probe,
    /// A call to be made as its caller.
    Call(Call),
}

/// A call to Bedrock, as far as method and path tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    operation: Operation,
    model: ModelId,
    region: Option<String>,
    target: PathAndQuery,
}

impl Call {
    pub fn operation(&self) -> Operation {
        self.operation
    }

    pub fn model(&self) -> &ModelId {
        &self.model
    }

    /// The region that the path's first segment names; `None` is the gateway's first region.
    pub fn region(&self) -> Option<&str> {
        self.region.as_deref()
    }

    /// The request target to sign and send: the caller's path bytes less the region, and the query
    /// re-encoded, because the signature is computed over parsed pairs and both must agree.
    pub fn target(&self) -> &PathAndQuery {
        &self.target
    }
}

/// Why a request is not in the table.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RouteError {
    /// The method and path name nothing that the gateway serves.
    #[error("this method and path name no operation")]
    Unknown,
    /// `InvokeModelWithBidirectionalStream`, which needs a signature chain over the caller's own frames.
    #[error("bidirectional streams are not supported")]
    Bidirectional,
    /// The target is one whose signed form could differ from its sent form.
    #[error("the request target is malformed: {0}")]
    Malformed(&'static str),
}

/// Longest request target taken: a 2048-byte id with every byte escaped, and room for the rest.
const MAX_TARGET_BYTES: usize = 16 * 1024;

/// Names the call that `method` and `uri` ask for. `regions` are those that may stand in front of the path.
///
/// # Errors
/// [`RouteError::Malformed`] for targets that two servers could read differently, else
/// [`RouteError::Unknown`] for what is not in the table.
pub fn parse(method: &Method, uri: &Uri, regions: &[String]) -> Result<Route, RouteError> {
    let path = uri.path();
    if uri.path_and_query().map_or(0, |target| target.as_str().len()) > MAX_TARGET_BYTES {
        return Err(RouteError::Malformed("it is too long"));
    }
    if path == "/" {
        let probes = method == Method::GET || method == Method::HEAD;
        return if probes { Ok(Route::Probe) } else { Err(RouteError::Unknown) };
    }
    let Some(rest) = path.strip_prefix('/') else { return Err(RouteError::Unknown) };
    let segments: Vec<&str> = rest.split('/').collect();
    for segment in &segments {
        check_segment(segment)?;
    }
    let (region, segments) = match segments.split_first() {
        Some((first, rest)) if regions.iter().any(|region| region == first) => (Some(*first), rest),
        _ => (None, segments.as_slice()),
    };
    let &["model", id, action] = segments else { return Err(RouteError::Unknown) };
    let operation = match action {
        "invoke" | "invoke-with-response-stream" => Operation::Invoke,
        "converse" | "converse-stream" => Operation::Converse,
        "invoke-with-bidirectional-stream" if method == Method::POST => {
            return Err(RouteError::Bidirectional);
        }
        _ => return Err(RouteError::Unknown),
    };
    if method != Method::POST {
        return Err(RouteError::Unknown);
    }
    let decoded = decode(id)?;
    let model = ModelId::parse(&decoded)
        .map_err(|_| RouteError::Malformed("the model id has an illegal character"))?;
    let target = target(&segments.join("/"), uri.query())?;
    Ok(Route::Call(Call { operation, model, region: region.map(str::to_owned), target }))
}

/// Refuses what a URI normaliser would rewrite (the canonical request is normalised, the sent one
/// would not be) and what some servers cut off or choke on.
fn check_segment(raw: &str) -> Result<(), RouteError> {
    if raw.is_empty() {
        return Err(RouteError::Malformed("it has an empty path segment"));
    }
    let decoded = decode(raw)?;
    if decoded == "." || decoded == ".." {
        return Err(RouteError::Malformed("it has a dot segment"));
    }
    if decoded.contains(';') {
        return Err(RouteError::Malformed("it has a `;`"));
    }
    if decoded.chars().any(char::is_control) {
        return Err(RouteError::Malformed("it has a control character"));
    }
    // An id holds slashes only as separators within an ARN: its parts obey the same rules, in
    // case the far side decodes before it splits.
    if decoded.contains('/') && decoded.split('/').any(|part| part.is_empty() || part == "." || part == "..")
    {
        return Err(RouteError::Malformed("it has an escaped dot segment or an escaped `//`"));
    }
    Ok(())
}

/// Decodes once; refuses truncated escapes and bytes that are not UTF-8.
fn decode(raw: &str) -> Result<String, RouteError> {
    let mut bytes = raw.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let hex = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_hexdigit());
            if !hex(bytes.next()) || !hex(bytes.next()) {
                return Err(RouteError::Malformed("it has a broken percent-escape"));
            }
        }
    }
    percent_decode_str(raw)
        .decode_utf8()
        .map(std::borrow::Cow::into_owned)
        .map_err(|_| RouteError::Malformed("it is not UTF-8"))
}

fn target(path: &str, query: Option<&str>) -> Result<PathAndQuery, RouteError> {
    let mut target = format!("/{path}");
    for (index, (name, value)) in url::form_urlencoded::parse(query.unwrap_or("").as_bytes()).enumerate() {
        if name.to_ascii_lowercase().starts_with("x-amz-") {
            return Err(RouteError::Malformed("X-Amz-* query parameters are not taken from callers"));
        }
        target.push(if index == 0 { '?' } else { '&' });
        // Writing to a String cannot fail.
        let _ok = write!(target, "{}={}", encode(&name), encode(&value));
    }
    PathAndQuery::from_str(&target).map_err(|_| RouteError::Malformed("it is not a legal request target"))
}

/// Percent-encodes all but RFC 3986's unreserved characters, as `SigV4`'s canonical query does.
fn encode(text: &str) -> impl std::fmt::Display + '_ {
    const RESERVED: &percent_encoding::AsciiSet =
        &percent_encoding::NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
    percent_encoding::utf8_percent_encode(text, RESERVED)
}

/// Refuses a target in absolute form (or an HTTP/2 `:authority`) that is not the request's `Host`: the
/// two would be free to name different places to whoever stands in between.
///
/// # Errors
/// [`RouteError::Malformed`] when they differ, or when `Host` is sent twice.
pub fn check_authority(uri: &Uri, headers: &http::HeaderMap) -> Result<(), RouteError> {
    let mut hosts = headers.get_all(http::header::HOST).iter();
    let host = hosts.next();
    if hosts.next().is_some() {
        return Err(RouteError::Malformed("Host is sent twice"));
    }
    let (Some(authority), Some(host)) = (uri.authority(), host) else { return Ok(()) };
    // A port that is the scheme's own may be written or left out (RFC 9110, section 4.2.3).
    let port: &[u8] = if uri.scheme_str() == Some("https") { b":443" } else { b":80" };
    let bare = |host: &'_ [u8]| host.strip_suffix(port).unwrap_or(host).to_ascii_lowercase();
    if bare(host.as_bytes()) == bare(authority.as_str().as_bytes()) {
        Ok(())
    } else {
        Err(RouteError::Malformed("the target is not the Host"))
    }
}

#[cfg(test)]
mod tests;
