//! The process log's lines about roles that STS denies: one when a denial begins, not one for each request.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;
use tracing::warn;

use super::diagnosis::{Denial, diagnose};
use crate::attribution::arn::RoleArn;
use crate::identity::SessionIdentity;

/// A denial that returns after this time without one begins again.
const QUIET: Duration = Duration::from_mins(10);

/// The times at which STS last denied each role, by the denied part.
#[derive(Debug, Default)]
pub(super) struct DenialLog(Mutex<HashMap<(RoleArn, Denial), Instant>>);

impl DenialLog {
    /// Notes that STS denied a session. Logs the diagnosis if this role was not denied for the same cause before.
    pub(super) fn note(&self, code: &str, message: &str, id: &SessionIdentity) {
        let diagnosis = diagnose(code, message, id);
        if self.begins(id.role_arn(), diagnosis.denial) {
            warn!(role_arn = id.role_arn().as_str(), "STS denies sessions of this role: {diagnosis}");
        }
    }

    fn begins(&self, role: &RoleArn, denial: Denial) -> bool {
        let mut last = self.0.lock();
        last.retain(|_, at| at.elapsed() < QUIET);
        last.insert((role.clone(), denial), Instant::now()).is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_denial_begins_once_for_each_role_and_cause_and_again_after_a_quiet_time() {
        let log = DenialLog::default();
        let role = |name: &str| RoleArn::parse(&format!("arn:aws:iam::123456789012:role/{name}")).unwrap();
        assert!(log.begins(&role("A"), Denial::AssumeRole));
        assert!(!log.begins(&role("A"), Denial::AssumeRole));
        assert!(log.begins(&role("A"), Denial::TagSession));
        assert!(log.begins(&role("B"), Denial::AssumeRole));
        for _ in 0..3 {
            tokio::time::advance(QUIET / 2).await;
            assert!(!log.begins(&role("A"), Denial::AssumeRole), "it has not ended");
        }
        assert!(log.begins(&role("A"), Denial::TagSession));
        tokio::time::advance(QUIET).await;
        assert!(log.begins(&role("A"), Denial::AssumeRole));
    }
}
