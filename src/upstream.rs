//! A signed request's way to Bedrock and the head of its answer back.
//!
//! One rule about sending twice: a request that Bedrock may have read is never written again, since a
//! generation would be billed twice. One that was provably never written, because a connection that was
//! kept had been closed, goes to another.

use std::sync::Arc;
use std::time::Duration;

use http::Response;

use crate::causes;
use crate::endpoint::Endpoint;
use crate::endpoint::idle::Connection;
use crate::sign::Signed;
use crate::upstream::pool::{Connector, PooledBody};

pub mod pool;
pub mod retry;
pub mod skew;

/// Longest wait for the head of an answer: some models think for up to an hour (Bedrock user guide,
/// Claude inference time-out).
pub const FIRST_BYTE: Duration = Duration::from_secs(60 * 60);

/// How often it is looked for connections that have been idle for long.
const SWEEP: Duration = Duration::from_secs(5);

/// The way to Bedrock.
#[derive(Debug, Clone)]
pub struct Upstream {
    connector: Connector,
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
    pub fn new(connector: Connector) -> Self {
        Self { connector }
    }

    /// Writes `signed` and waits for the head of the answer. Dropping the future drops the connection.
    ///
    /// # Errors
    /// [`UpstreamError::Connect`] only when Bedrock cannot have read the request.
    pub async fn send(&self, signed: Signed) -> Result<Response<PooledBody>, UpstreamError> {
        let (mut request, endpoint) = signed.into_parts();
        // Ends with the first new connection at the latest.
        loop {
            let kept = endpoint.idle.take();
            let was_kept = kept.is_some();
            let mut connection = match kept {
                Some(connection) => connection,
                // In a box of its own: it is seldom wanted, and larger than all the rest.
                None => Box::pin(self.connect(&endpoint)).await?,
            };
            let answer = tokio::time::timeout(FIRST_BYTE, connection.try_send_request(request)).await;
            let mut failed = match answer {
                Ok(Ok(response)) => {
                    return Ok(response.map(|body| PooledBody::new(body, connection, endpoint)));
                }
                Ok(Err(failed)) => failed,
                Err(_elapsed) => {
                    return Err(UpstreamError::NotAnswered("no answer within the hour".to_owned()));
                }
            };
            match failed.take_message() {
                Some(unwritten) if was_kept => request = unwritten,
                Some(_unwritten) => return Err(UpstreamError::Connect(causes::in_one_line(failed.error()))),
                None => return Err(UpstreamError::NotAnswered(causes::in_one_line(failed.error()))),
            }
        }
    }

    async fn connect(&self, endpoint: &Endpoint) -> Result<Connection, UpstreamError> {
        self.connector
            .connect(endpoint)
            .await
            .map_err(|error| UpstreamError::Connect(causes::in_one_line(&*error)))
    }
}

/// Closes connections to `endpoint` that have been idle for long, for as long as there is one.
pub fn keep_swept(endpoint: &Arc<Endpoint>) {
    let endpoint = Arc::downgrade(endpoint);
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(SWEEP).await;
            let Some(endpoint) = endpoint.upgrade() else { return };
            endpoint.idle.sweep();
        }
    });
}
