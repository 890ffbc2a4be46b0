//! A call as it arrived.

use std::collections::BTreeMap;
use std::fmt;
use std::time::SystemTime;

use bytes::Bytes;
use http::HeaderMap;

/// A call that was rightly signed by a session, whatever became of it afterwards.
#[derive(Clone)]
pub struct Call {
    /// `arn:aws:sts::ACCOUNT:assumed-role/Role/session`
    pub principal: String,
    pub tags: BTreeMap<String, String>,
    /// The model id of the path, decoded.
    pub model: String,
    pub operation: Operation,
    /// Of the signature's scope.
    pub region: String,
    pub access_key_id: String,
    /// Path and query, as received.
    pub target: String,
    /// All of them, as received: session token and signature too.
    pub headers: HeaderMap,
    pub body: Bytes,
    pub at: SystemTime,
}

/// Headers hold the session token, so neither they nor the body are shown.
impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call")
            .field("principal", &self.principal)
            .field("tags", &self.tags)
            .field("target", &self.target)
            .field("region", &self.region)
            .field("access_key_id", &self.access_key_id)
            .field("body_bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// What can be asked of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    Invoke,
    InvokeStream,
    Converse,
    ConverseStream,
}

impl Operation {
    const ALL: [Self; 4] = [Self::Invoke, Self::InvokeStream, Self::Converse, Self::ConverseStream];

    /// The last segment of its path.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Invoke => "invoke",
            Self::InvokeStream => "invoke-with-response-stream",
            Self::Converse => "converse",
            Self::ConverseStream => "converse-stream",
        }
    }

    pub(crate) fn from_segment(segment: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|operation| operation.as_str() == segment)
    }

    /// The action that IAM knows it by: Converse has none of its own.
    pub(crate) fn iam_action(self) -> &'static str {
        if self.streams() { "bedrock:InvokeModelWithResponseStream" } else { "bedrock:InvokeModel" }
    }

    pub(crate) fn streams(self) -> bool {
        matches!(self, Self::InvokeStream | Self::ConverseStream)
    }
}
