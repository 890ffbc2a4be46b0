//! The `GetCallerIdentity` call, which shows whether STS accepts the gateway's own credentials. It needs no permission,
//! and no policy can deny it.

use std::time::Duration;

use aws_sdk_sts::Client;
use tokio::time::timeout;

use super::SessionError;
use super::own_credentials::OwnCredentials;
use super::sts::{AssumeRole as _, StsClient, StsError, failed};
use super::transport::StsRoute;

/// Checks of the gateway's own credentials.
#[derive(Debug, Clone)]
pub struct CallerIdentity {
    client: Client,
    source: OwnCredentials,
    deadline: Duration,
    route: StsRoute,
}

impl CallerIdentity {
    /// Over the connections of `sts`, with the same credentials.
    pub fn over(sts: &StsClient) -> Self {
        Self { client: sts.client(), source: sts.source(), deadline: sts.deadline(), route: sts.route() }
    }

    /// The ARN that AWS knows the gateway by. It takes at most `aws.sts_timeout`.
    ///
    /// # Errors
    /// [`SessionError::GatewayRefused`] when STS refuses the credentials or there are none, otherwise
    /// [`SessionError::Unavailable`].
    pub async fn arn(&self) -> Result<String, SessionError> {
        let call = timeout(self.deadline, self.client.get_caller_identity().send());
        let answer = call.await.map_err(|_elapsed| StsError::deadline(self.deadline))?;
        let identity = answer.map_err(|error| failed(&error, &self.route, &self.source))?;
        Ok(identity.arn().unwrap_or_default().to_owned())
    }
}
