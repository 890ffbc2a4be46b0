//! Whether STS serves the gateway: the last failure that is not over yet, from callers' requests and from the
//! gateway's own checks.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::failure_text::FailureText;
use super::sts::NO_CREDENTIALS;
use super::{SessionError, StsFailure};
use crate::proxy::Obstacle;

/// How long a failed request for a session counts as a problem, if no other one succeeds. The gateway's own check is
/// another operation: its success does not show that `AssumeRole` works.
pub const SESSION_FAILED_FOR: Duration = Duration::from_secs(60);

/// The state of STS as this process has met it.
#[derive(Debug, Default)]
pub struct StsHealth {
    /// Whether there is a failure, so that a success costs one load.
    failing: AtomicBool,
    failures: Mutex<Failures>,
}

/// The last failures that are not over yet.
#[derive(Debug, Default)]
struct Failures {
    check: Option<FailureText>,
    session: Option<OfSession>,
}

#[derive(Debug)]
struct OfSession {
    text: FailureText,
    at: Instant,
    /// It concerns every operation, so a check can end it.
    of_every_call: bool,
}

impl StsHealth {
    /// The failure of STS and the next step, for the operator.
    pub fn failure(&self) -> Option<FailureText> {
        if !self.failing.load(Ordering::Relaxed) {
            return None;
        }
        let mut failures = self.failures.lock();
        failures.session.take_if(|failure| failure.at.elapsed() >= SESSION_FAILED_FOR);
        self.update(&failures);
        let of_session = failures.session.as_ref().map(|failure| &failure.text);
        failures.check.as_ref().or(of_session).cloned()
    }

    /// Notes how a request for a session ended.
    pub(super) fn session<T>(&self, outcome: &Result<T, SessionError>) {
        match outcome {
            Ok(_) | Err(SessionError::Denied { .. }) => {
                if self.failing.load(Ordering::Relaxed) {
                    let mut failures = self.failures.lock();
                    *failures = Failures::default();
                    self.update(&failures);
                }
            }
            Err(error) => {
                let Some(text) = words(error) else { return };
                let of_every_call = matches!(
                    error,
                    SessionError::GatewayRefused { .. }
                        | SessionError::Unavailable { failure: StsFailure::Unreachable(_), .. }
                );
                let mut failures = self.failures.lock();
                failures.session = Some(OfSession { text, at: Instant::now(), of_every_call });
                self.update(&failures);
            }
        }
    }

    /// Notes how one of the gateway's own checks ended.
    pub fn check<T>(&self, outcome: &Result<T, SessionError>) {
        let mut failures = self.failures.lock();
        match outcome {
            Ok(_) => {
                failures.check = None;
                failures.session.take_if(|failure| failure.of_every_call);
            }
            Err(error) => {
                let Some(text) = words(error) else { return };
                failures.check = Some(text);
            }
        }
        self.update(&failures);
    }

    fn update(&self, failures: &Failures) {
        let failing = failures.check.is_some() || failures.session.is_some();
        self.failing.store(failing, Ordering::Relaxed);
    }
}

/// The failure of STS and the next step. `None`: the error does not concern STS.
fn words(error: &SessionError) -> Option<FailureText> {
    match error {
        // Without credentials the gateway does not call STS.
        SessionError::GatewayRefused { code, .. } if code == NO_CREDENTIALS => None,
        SessionError::GatewayRefused { code, message } => Some(FailureText::public(refusal(code, message))),
        SessionError::Unavailable { failure, message } => unavailable(*failure, message),
        SessionError::Denied { .. }
        | SessionError::TooManySessions
        | SessionError::WrongClearance
        | SessionError::Overloaded => None,
    }
}

fn unavailable(failure: StsFailure, message: &str) -> Option<FailureText> {
    Some(match failure {
        StsFailure::NoTurn => return None,
        StsFailure::Throttled => FailureText::public(
            "it throttles this account's calls; lower sessions.max_sts_rate, or find what else calls STS in this \
             account and region",
        ),
        StsFailure::TimedOut => FailureText::public(format!(
            "it did not answer in time; check the network path to it, and its status at AWS: {message}"
        )),
        StsFailure::Unreachable(Obstacle::Proxy) => {
            FailureText::public(format!("the gateway cannot connect to it: {message}"))
        }
        StsFailure::Unreachable(Obstacle::HostName) => FailureText::public(
            "its host name does not resolve; check the spelling of aws.region and aws.endpoints.sts, and DNS",
        ),
        StsFailure::Unreachable(Obstacle::Other) => FailureText::public(format!(
            "the gateway cannot connect to it; check egress, the VPC endpoint, a proxy and aws.endpoints: {message}"
        )),
        StsFailure::Failed => {
            FailureText::with_cause("it gave no usable answer; see its status at AWS", message)
        }
    })
}

/// Why STS refuses the gateway itself. The message of STS is not quoted: for a wrong signature it contains the signed
/// headers, with the session token.
fn refusal(code: &str, message: &str) -> String {
    let why = match code.strip_suffix("Exception").unwrap_or(code) {
        "ExpiredToken" => "the gateway's own AWS credentials have expired; renew them",
        "RequestExpired" => CLOCK,
        "RegionDisabled" | "OptInRequired" => {
            "STS is not active in this region for the gateway's account; activate it in IAM's account settings, or \
             use another aws.region"
        }
        "SignatureDoesNotMatch" if message.contains("earlier than") || message.contains("later than") => {
            CLOCK
        }
        "SignatureDoesNotMatch" if message.contains("scoped") || message.contains("region") => {
            "the signature is for another region than the endpoint's; check aws.region and aws.endpoints.sts"
        }
        "SignatureDoesNotMatch" | "IncompleteSignature" => {
            "the gateway's own secret access key does not belong to its access key id; correct the own credentials"
        }
        _ => {
            "it does not know the gateway's own access key, or the key is inactive; correct the own credentials, and \
             check that they belong to this AWS partition"
        }
    };
    format!("it refuses the gateway itself ({code}): {why}")
}

const CLOCK: &str = "the time of the signature is wrong; set this machine's clock";

#[cfg(test)]
mod tests {
    use super::*;

    fn unavailable_by(failure: StsFailure, message: &str) -> Result<(), SessionError> {
        Err(SessionError::Unavailable { failure, message: message.to_owned() })
    }

    fn refused(code: &str, message: &str) -> Result<(), SessionError> {
        Err(SessionError::GatewayRefused { code: code.to_owned(), message: message.to_owned() })
    }

    fn after(outcome: &Result<(), SessionError>) -> Option<String> {
        let health = StsHealth::default();
        health.session(outcome);
        health.failure().map(|failure| failure.full)
    }

    #[test]
    fn each_failure_of_sts_has_words_and_failures_of_others_have_none() {
        for (outcome, words) in [
            (unavailable_by(StsFailure::Throttled, "Rate exceeded"), "throttles"),
            (unavailable_by(StsFailure::TimedOut, "no session within 10 s"), "did not answer in time"),
            (unavailable_by(StsFailure::Unreachable(Obstacle::HostName), "dns error"), "does not resolve"),
            (
                unavailable_by(StsFailure::Unreachable(Obstacle::Proxy), "the proxy http://prxy: dns error"),
                "cannot connect to it: the proxy http://prxy",
            ),
            (unavailable_by(StsFailure::Unreachable(Obstacle::Other), "refused"), "cannot connect"),
            (unavailable_by(StsFailure::Failed, "InternalFailure"), "no usable answer"),
            (refused("InvalidClientTokenId", ""), "does not know the gateway's own access key"),
            (refused("UnrecognizedClientException", ""), "does not know the gateway's own access key"),
            (refused("ExpiredTokenException", ""), "have expired"),
            (refused("RegionDisabledException", ""), "not active in this region"),
            (refused("SignatureDoesNotMatch", "Signature expired: 1 is now earlier than 2"), "clock"),
            (
                refused("SignatureDoesNotMatch", "Credential should be scoped to a valid region."),
                "aws.region",
            ),
            (refused("SignatureDoesNotMatch", "it was calculated otherwise"), "secret access key"),
        ] {
            let failure = after(&outcome).unwrap();
            assert!(failure.contains(words), "{failure}");
        }
        for outcome in [
            unavailable_by(StsFailure::NoTurn, ""),
            refused(NO_CREDENTIALS, ""),
            Err(SessionError::TooManySessions),
            Err(SessionError::Overloaded),
            Err(SessionError::Denied { code: "AccessDenied".to_owned(), message: String::new() }),
            Ok(()),
        ] {
            assert_eq!(after(&outcome), None);
        }
    }

    #[test]
    fn the_signed_headers_in_a_refusal_are_not_quoted() {
        let quoting = "The Canonical String should have been 'POST\n/\nx-amz-security-token:hidden'";
        assert!(!after(&refused("SignatureDoesNotMatch", quoting)).unwrap().contains("hidden"));
    }

    #[tokio::test(start_paused = true)]
    async fn the_next_success_is_the_end_of_a_failure() {
        let denied = Err(SessionError::Denied { code: "AccessDenied".to_owned(), message: String::new() });
        for success in [Ok(()), denied] {
            let health = StsHealth::default();
            health.session(&refused("InvalidClientTokenId", ""));
            health.session(&success);
            assert_eq!(health.failure(), None);
        }
        let health = StsHealth::default();
        health.check(&unavailable_by(StsFailure::Unreachable(Obstacle::Other), ""));
        health.check(&Ok(()));
        assert_eq!(health.failure(), None);
    }

    #[test]
    fn an_answer_of_sts_is_only_for_the_log() {
        let health = StsHealth::default();
        health.session(&unavailable_by(StsFailure::Failed, "InternalFailure: arn:aws:iam::1:role/x"));
        let failure = health.failure().unwrap();
        assert!(failure.full.contains("arn:") && !failure.short.contains("arn:"), "{failure:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_check_does_not_end_a_failure_of_sessions_but_a_session_or_a_minute_does() {
        for failure in [StsFailure::Throttled, StsFailure::TimedOut, StsFailure::Failed] {
            let health = StsHealth::default();
            health.session(&unavailable_by(failure, ""));
            health.check(&unavailable_by(StsFailure::Unreachable(Obstacle::Other), ""));
            health.check(&Ok(()));
            assert!(health.failure().is_some(), "{failure}");
            health.session(&Ok(()));
            assert_eq!(health.failure(), None);
            health.session(&unavailable_by(failure, ""));
            tokio::time::advance(SESSION_FAILED_FOR).await;
            assert_eq!(health.failure(), None);
        }
    }

    /// These are the same for every operation, so no caller is needed to end them.
    #[test]
    fn a_check_ends_a_refusal_of_the_gateway_and_a_failed_connection_of_a_session() {
        for failure in [
            refused("InvalidClientTokenId", ""),
            unavailable_by(StsFailure::Unreachable(Obstacle::Other), ""),
        ] {
            let health = StsHealth::default();
            health.session(&failure);
            health.check(&Ok(()));
            assert_eq!(health.failure(), None);
        }
    }
}
