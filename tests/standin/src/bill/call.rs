//! A call as it arrived.

use std::collections::BTreeMap;
use std::fmt;
use std::time::SystemTime;

use bytes::Bytes;
use http::{HeaderMap, Method};

use super::{Operation, Service};

/// A call that was rightly signed by a session, whatever became of it afterwards.
#[derive(Clone)]
pub struct Call {
    /// `arn:aws:sts::ACCOUNT:assumed-role/Role/session`
    pub principal: String,
    pub tags: BTreeMap<String, String>,
    pub service: Service,
    pub operation: Operation,
    /// The model id, of the path (decoded) or the body; empty if none is named.
    pub model: String,
    /// What else the path names, decoded: a guardrail, a job, a stored response.
    pub subject: Option<String>,
    /// Of the signature's scope.
    pub region: String,
    pub access_key_id: String,
    pub method: Method,
    /// Path and query, as received.
    pub target: String,
    /// All of them, as received: session token and signature too.
    pub headers: HeaderMap,
    pub body: Bytes,
    pub at: SystemTime,
}

impl Call {
    /// [`target`](Self::target) without the query.
    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// The one that pays, and that everything kept belongs to.
    pub fn account(&self) -> &str {
        self.principal.split(':').nth(4).unwrap_or_default()
    }

    /// The project or workspace that the headers name; they are the same thing.
    pub fn project(&self) -> Option<&str> {
        let name = ["openai-project", "anthropic-workspace-id"];
        name.iter().find_map(|name| self.headers.get(*name)?.to_str().ok())
    }
}

/// Headers hold the session token, so neither they nor the body are shown.
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
