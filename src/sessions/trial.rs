//! One session outside the cache, for `doctor`: what STS grants now, without the sessions of callers.

use std::sync::Arc;

use tokio::time::timeout;

use super::SessionError;
use super::rate::Rate;
use super::sts::{AssumeRole as _, Issued, StsClient, StsError};
use crate::identity::SessionIdentity;

/// The most `AssumeRole` calls per second of the trials.
const RATE: u32 = 5;

/// Requests sessions one by one, each at most for `aws.sts_timeout`.
#[derive(Debug)]
pub struct Trial {
    sts: StsClient,
    rate: Rate,
}

impl Trial {
    pub fn of(sts: StsClient) -> Self {
        Self { sts, rate: Rate::new(RATE) }
    }

    /// The session that STS grants for these parameters.
    ///
    /// # Errors
    /// As for the session of a caller.
    pub async fn session(&self, id: &Arc<SessionIdentity>) -> Result<Issued, SessionError> {
        let limit = self.sts.deadline();
        let call = timeout(limit, self.sts.assume_role(Arc::clone(id), &self.rate));
        let outcome = call.await.unwrap_or_else(|_elapsed| Err(StsError::deadline(limit)));
        outcome.map_err(SessionError::from)
    }
}
