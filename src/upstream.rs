//! Sends a signed request to Bedrock and returns the head of its answer.
//!
//! There is one rule about retries: the gateway never sends a request again that Bedrock may have read, because a
//! generation would be billed twice. If an idle connection turns out to be closed, the request was provably never
//! written; the gateway then sends it over another connection.

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

/// The time between two searches for connections that were idle for too long.
const SWEEP: Duration = Duration::from_secs(5);

/// The client for Bedrock.
#[derive(Debug, Clone)]
pub struct Upstream {
    connector: Connector,
}

/// Why Bedrock gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    /// No connection: Bedrock cannot have read the request.
    #[error("cannot connect to Bedrock: {0}")]
    Connect(String),
    /// The gateway wrote the request, in whole or in part. Bedrock may be processing it.
    #[error("Bedrock did not answer: {0}")]
    NotAnswered(String),
}

/// The purpose of a connection.
#[derive(Debug, Clone, Copy)]
enum Attempt {
    Request,
    Check,
}

impl Upstream {
    pub fn new(connector: Connector) -> Self {
        Self { connector }
    }

    /// Sends `signed` and waits for the head of the answer. Dropping the future closes the connection.
    ///
    /// # Errors
    /// [`UpstreamError::Connect`] only when Bedrock cannot have read the request.
    // Assumption A37.
    pub async fn send(&self, signed: Signed) -> Result<Response<PooledBody>, UpstreamError> {
        let (mut request, endpoint) = signed.into_parts();
        let first_byte = endpoint.timeouts.first_byte;
        // The loop ends with the first new connection at the latest.
        loop {
            let kept = endpoint.idle.take();
            let was_kept = kept.is_some();
            let mut connection = match kept {
                Some(connection) => connection,
                // In a box of its own: it is rarely needed, and larger than all the rest.
                None => Box::pin(self.connect(&endpoint, Attempt::Request)).await?,
            };
            let answer = tokio::time::timeout(first_byte, connection.sender.try_send_request(request)).await;
            let mut failed = match answer {
                Ok(Ok(response)) => {
                    return Ok(response.map(|body| PooledBody::new(body, connection, endpoint)));
                }
                Ok(Err(failed)) => failed,
                Err(_elapsed) => {
                    let seconds = first_byte.as_secs_f64();
                    return Err(UpstreamError::NotAnswered(format!(
                        "no answer within {seconds} s (aws.first_byte_timeout)"
                    )));
                }
            };
            match failed.take_message() {
                Some(unwritten) if was_kept => request = unwritten,
                Some(_unwritten) => return Err(UpstreamError::Connect(causes::in_one_line(failed.error()))),
                None => return Err(UpstreamError::NotAnswered(causes::in_one_line(failed.error()))),
            }
        }
    }

    /// Opens a connection and closes it again. `endpoint.reach` has the outcome.
    pub async fn check(&self, endpoint: &Endpoint) {
        drop(self.connect(endpoint, Attempt::Check).await);
    }

    async fn connect(&self, endpoint: &Endpoint, attempt: Attempt) -> Result<Connection, UpstreamError> {
        match self.connector.connect(endpoint).await {
            Ok(connection) => {
                endpoint.reach.connected();
                Ok(connection)
            }
            Err(error) => {
                let why = self.connector.explain(&*error, endpoint);
                let text = why.text.clone();
                match attempt {
                    Attempt::Request => endpoint.reach.failed(why),
                    Attempt::Check => endpoint.reach.still_failing(why),
                }
                Err(UpstreamError::Connect(text))
            }
        }
    }
}

/// Closes connections to `endpoint` that were idle for too long, in the background, until the endpoint is dropped.
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
