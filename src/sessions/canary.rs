//! Canary sessions: `AssumeRole` calls that show whether STS grants what a new configuration will ask for.

use super::{SessionError, Sessions};
use crate::identity::canary::Canary;

impl Sessions {
    /// Requests a canary session, and drops its credentials at once. It takes only turns of the rate that no session
    /// of a caller needs, and waits for one as long as the caller of this function does.
    ///
    /// # Errors
    /// As for every session; [`SessionError::Denied`] when STS denies this one.
    pub async fn try_canary(&self, canary: &Canary) -> Result<(), SessionError> {
        self.rate.spare_turn().await;
        self.request(canary.session()).await.map(drop)
    }
}
