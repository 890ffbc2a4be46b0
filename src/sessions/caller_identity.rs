//! The `GetCallerIdentity` call, which shows whether STS accepts the gateway's own credentials. It needs no permission,
//! and no policy can deny it.

use aws_sdk_sts::Client;
use tokio::time::timeout;

use super::SessionError;
use super::sts::{STS_DEADLINE, StsClient, StsError, meaning};

/// Checks of the gateway's own credentials.
#[derive(Debug, Clone)]
pub struct CallerIdentity(Client);

impl CallerIdentity {
    /// Over the connections of `sts`, with the same credentials.
    pub fn over(sts: &StsClient) -> Self {
        Self(sts.client())
    }

    /// The ARN that AWS knows the gateway by. At most ten seconds.
    ///
    /// # Errors
    /// [`SessionError::GatewayRefused`] when STS refuses the credentials or there are none, otherwise
    /// [`SessionError::Unavailable`].
    pub async fn arn(&self) -> Result<String, SessionError> {
        let call = timeout(STS_DEADLINE, self.0.get_caller_identity().send());
        let answer = call.await.map_err(|_elapsed| StsError::deadline())?;
        let identity = answer.map_err(|error| meaning(&error))?;
        Ok(identity.arn().unwrap_or_default().to_owned())
    }
}
