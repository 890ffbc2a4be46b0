//! The exchange with Bedrock: the session, the signature, the request, and the head of the answer.
//!
//! The gateway never sends a request again that Bedrock may have read, with one exception: once, after Bedrock refused
//! the signature and so has not processed the request.

use std::time::SystemTime;

use tracing::{debug, info, warn};

use crate::authorize::Authorized;
use crate::error::Failure;
use crate::record::Record;
use crate::revoke::{Clearance, Revoked};
use crate::sessions::Ready;
use crate::sign::sign;
use crate::state::Gateway;
use crate::upstream::retry::{self, RetryReason, UpstreamResponse};

impl Gateway {
    /// Sends `call` to its endpoint, at most twice.
    pub(super) async fn exchange(
        &self,
        cleared: Clearance,
        call: Authorized,
        record: &mut Record,
    ) -> Result<UpstreamResponse, Failure> {
        let mut ready = self.sessions.get(cleared, call).await?;
        // Assumption A19.
        let mut may_retry = true;
        loop {
            let cleared = self.clear_or_forget(&ready)?;
            record.session(ready.session());
            let signed = sign(cleared, &ready, self.skew.now())?;
            let signed_at = signed.at();
            record.attempted();
            debug!(
                request_id = record.request_id(),
                endpoint = %ready.call().endpoint().address(),
                "sending the request to Bedrock"
            );
            let response = self.upstream.send(signed).await?;
            let (response, reason) = retry::classify(response, signed_at).await;
            let retries = match reason {
                Some(RetryReason::Credentials) if may_retry => self.sessions.replace(&mut ready).await,
                Some(RetryReason::Clock(date)) if may_retry && ready.call().endpoint().is_https() => {
                    self.learn_clock(date)
                }
                Some(_) | None => false,
            };
            if !retries {
                return Ok(response);
            }
            debug!(
                request_id = record.request_id(),
                "Bedrock refused the signature; sending the request once more"
            );
            may_retry = false;
        }
    }

    /// Clears the caller for one signature. STS takes time, so the caller may have been revoked since the last check;
    /// the gateway then drops the session.
    fn clear_or_forget(&self, ready: &Ready) -> Result<Clearance, Revoked> {
        self.revocations.clear(ready.call().caller()).inspect_err(|_revoked| {
            self.sessions.forget_one(ready.session());
        })
    }

    /// Signs with AWS's clock from now on. `false`: the clocks differ by more than a day, and the gateway keeps its
    /// own.
    fn learn_clock(&self, date: SystemTime) -> bool {
        let Some(seconds) = self.skew.learn(date) else {
            warn!(
                "AWS refuses the time of the signatures, and its clock differs by more than a day; set this machine's clock"
            );
            return false;
        };
        info!(
            seconds,
            "AWS refuses the time of the signatures; the gateway now signs with AWS's clock; check this machine's clock"
        );
        self.metrics.clock_skew(seconds);
        true
    }
}
