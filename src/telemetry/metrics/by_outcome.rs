//! Histograms by operation and outcome. A request finds its histogram by two small numbers, without a look-up by text.

use std::sync::OnceLock;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;

use crate::reason::Reason;
use crate::route::Operation;
use crate::telemetry::access::Ended;

/// Upper bounds of the histograms, seconds: a refusal takes a millisecond, a long generation half an hour.
const SECONDS: [f64; 17] =
    [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 1800.0];

/// How a request ended: the value of the label `outcome`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Bedrock answered, and the client has the whole answer.
    Answered,
    /// Bedrock answered with an error.
    UpstreamError,
    /// The gateway refused the request: the caller, or the client, can change that.
    Refused,
    /// The gateway, STS or Bedrock failed, or a limit of the gateway was reached.
    Failed,
    /// The client left before the end.
    ClientLeft,
}

impl Outcome {
    pub const ALL: [Self; 5] =
        [Self::Answered, Self::UpstreamError, Self::Refused, Self::Failed, Self::ClientLeft];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::UpstreamError => "upstream_error",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::ClientLeft => "client_left",
        }
    }

    /// The outcome of a request that ended with this status and reason.
    pub fn of(status: u16, reason: Reason, ended: Ended) -> Self {
        match (ended, reason) {
            (Ended::Client, _) => Self::ClientLeft,
            (Ended::Upstream | Ended::Drain, _) | (Ended::Complete, Reason::UpstreamNotAnswered) => {
                Self::Failed
            }
            (Ended::Complete, Reason::Ok) => Self::Answered,
            (Ended::Complete, Reason::UpstreamError) => Self::UpstreamError,
            (Ended::Complete, _) if status >= 500 => Self::Failed,
            (Ended::Complete | Ended::Revoked, _) => Self::Refused,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct OutcomeLabels {
    operation: &'static str,
    outcome: &'static str,
}

/// The registered histograms.
pub(super) type ByOutcome = Family<OutcomeLabels, Histogram, fn() -> Histogram>;

/// One histogram for each operation and outcome that has occurred.
#[derive(Debug)]
pub(super) struct Histograms {
    family: ByOutcome,
    /// By operation, then by outcome; the last operation is "none".
    resolved: [[OnceLock<Histogram>; Outcome::ALL.len()]; Operation::ALL.len() + 1],
}

impl Histograms {
    /// Histograms of a family that has none yet.
    pub(super) fn family() -> ByOutcome {
        Family::new_with_constructor(|| Histogram::new(SECONDS))
    }

    pub(super) fn new(family: ByOutcome) -> Self {
        Self { family, resolved: Default::default() }
    }

    pub(super) fn observe(&self, operation: Option<Operation>, outcome: Outcome, took: Duration) {
        let row = operation.map_or(Operation::ALL.len(), |operation| operation as usize);
        let Some(histogram) = self.resolved.get(row).and_then(|row| row.get(outcome as usize)) else {
            return;
        };
        let resolve = || {
            let operation = operation.map_or("none", Operation::as_str);
            self.family.get_or_create_owned(&OutcomeLabels { operation, outcome: outcome.as_str() })
        };
        histogram.get_or_init(resolve).observe(took.as_secs_f64());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_and_outcome_has_its_own_place() {
        let mut places: Vec<usize> = Operation::ALL.iter().map(|operation| *operation as usize).collect();
        places.sort_unstable();
        assert_eq!(places, (0..Operation::ALL.len()).collect::<Vec<_>>());
        let places = Outcome::ALL.map(|outcome| outcome as usize);
        assert_eq!(places.to_vec(), (0..Outcome::ALL.len()).collect::<Vec<_>>());
    }

    #[test]
    fn the_outcome_says_whose_it_was() {
        for (status, reason, ended, outcome) in [
            (200, Reason::Ok, Ended::Complete, Outcome::Answered),
            (429, Reason::UpstreamError, Ended::Complete, Outcome::UpstreamError),
            (503, Reason::UpstreamError, Ended::Complete, Outcome::UpstreamError),
            (401, Reason::TokenExpired, Ended::Complete, Outcome::Refused),
            (429, Reason::BusyCaller, Ended::Complete, Outcome::Refused),
            (503, Reason::BusyGateway, Ended::Complete, Outcome::Failed),
            (408, Reason::UpstreamNotAnswered, Ended::Complete, Outcome::Failed),
            (200, Reason::UpstreamAborted, Ended::Upstream, Outcome::Failed),
            (200, Reason::Ok, Ended::Drain, Outcome::Failed),
            (200, Reason::Revoked, Ended::Revoked, Outcome::Refused),
            (200, Reason::Ok, Ended::Client, Outcome::ClientLeft),
            (499, Reason::ClientLeft, Ended::Client, Outcome::ClientLeft),
        ] {
            assert_eq!(Outcome::of(status, reason, ended), outcome, "{status} {reason:?} {ended:?}");
        }
    }
}
