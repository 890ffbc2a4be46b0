//! A signed request's way to Bedrock and the head of its answer back.
//!
//! One rule about sending twice: a request that Bedrock may have read is never written again, since a
//! generation would be billed twice. The pool itself moves a request that was provably never written
//! (a stale pooled connection) to a fresh one.

use std::time::Duration;

use bytes::Bytes;
use http::Response;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;

use crate::sign::Signed;
use crate::upstream::pool::Connector;

pub mod endpoint;
pub mod headers;
pub mod pool;
pub mod refusal;
pub mod skew;

/// Longest wait for the head of an answer: some models think for up to an hour (Bedrock user guide,
/// Claude inference time-out).
pub const FIRST_BYTE: Duration = Duration::from_secs(60 * 60);

/// The way to Bedrock: one pool for all endpoints.
#[derive(Debug, Clone)]
pub struct Upstream {
    client: Client<Connector, Full<Bytes>>,
}

/// Why there is no answer from Bedrock.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    /// No connection: Bedrock has not seen the request.
    #[error("no connection to Bedrock: {0}")]
    Connect(String),
    /// The request was written, in whole or in part: Bedrock may be working on it.
    #[error("Bedrock did not answer: {0}")]
    NotAnswered(String),
}

impl Upstream {
    pub fn new(client: Client<Connector, Full<Bytes>>) -> Self {
        Self { client }
    }

    /// Writes `signed` and waits for the head of the answer. Dropping the future drops the connection.
    ///
    /// # Errors
    /// [`UpstreamError::Connect`] only when Bedrock cannot have read the request.
    pub async fn send(&self, signed: Signed) -> Result<Response<Incoming>, UpstreamError> {
        match tokio::time::timeout(FIRST_BYTE, self.client.request(signed.into_request())).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) if error.is_connect() => Err(UpstreamError::Connect(chain(&error))),
            Ok(Err(error)) => Err(UpstreamError::NotAnswered(chain(&error))),
            Err(_elapsed) => Err(UpstreamError::NotAnswered("no answer within the hour".to_owned())),
        }
    }
}

/// An error with its causes; the client's own text is only «client error (Connect)».
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
