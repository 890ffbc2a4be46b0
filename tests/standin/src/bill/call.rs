//! The record of a call.

use std::collections::BTreeMap;
use std::fmt;
use std::time::SystemTime;

use bytes::Bytes;
use http::{HeaderMap, Method};

use super::{Operation, Service};

/// A call that a session signed correctly. It may have failed later.
#[derive(Clone)]
pub struct Call {
    /// `arn:aws:sts::ACCOUNT:assumed-role/Role/session`
    pub principal: String,
    pub tags: BTreeMap<String, String>,
    pub service: Service,
    pub operation: Operation,
    /// The model id in the path (decoded) or the body; empty if there is none.
    pub model: String,
    /// Another resource in the path, decoded: a guardrail, a job, a stored response.
    pub subject: Option<String>,
    /// The region in the signature's scope.
    pub region: String,
    pub access_key_id: String,
    pub method: Method,
    /// Path and query, as received.
    pub target: String,
    /// All headers as received, including session token and signature.
    pub headers: HeaderMap,
    pub body: Bytes,
    pub at: SystemTime,
}

impl Call {
    /// [`target`](Self::target) without the query.
    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// The account that pays, and that owns stored responses and jobs.
    pub fn account(&self) -> &str {
        self.principal.split(':').nth(4).unwrap_or_default()
    }

    /// The project or workspace in the headers; Bedrock treats them as the same.
    pub fn project(&self) -> Option<&str> {
        let name = ["openai-project", "anthropic-workspace-id"];
        name.iter().find_map(|name| self.headers.get(*name)?.to_str().ok())
    }
}

/// Headers contain the session token, so neither headers nor body are shown.
impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call")
            .field("principal", &self.principal)
            .field("tags", &self.tags)
            .field("service", &self.service)
            .field("method", &self.method)
            .field("target", &self.target)
            .field("region", &self.region)
            .field("access_key_id", &self.access_key_id)
            .field("body_bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}
