//! Tries a new configuration at STS before it counts: one canary session for each role that it changes.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};
use tracing::warn;

use super::files::Rejected;
use crate::config::counted;
use crate::identity::canary::Canary;
use crate::sessions::diagnosis::{Diagnosis, diagnose};
use crate::sessions::{SessionError, Sessions};

/// The most canary sessions that are requested at once.
const AT_ONCE: usize = 8;
/// The most roles that one message names.
const NAMED: usize = 3;

/// How STS answered.
#[derive(Debug, Default)]
pub(super) struct Tried {
    pub(super) granted: Vec<Canary>,
    denied: Vec<(Canary, Diagnosis)>,
    /// STS is unavailable, throttles, or refuses the gateway itself. None of these is an answer about the role.
    unanswered: Vec<(Canary, String)>,
}

/// Requests all of these sessions, and gives up after `limit`.
pub(super) async fn try_all(sessions: Arc<Sessions>, canaries: Vec<Canary>, limit: Duration) -> Tried {
    let until = Instant::now() + limit;
    let mut tried = Tried::default();
    let mut open = canaries.clone();
    let mut waiting = canaries.into_iter();
    let mut calls = JoinSet::new();
    loop {
        for canary in waiting.by_ref().take(AT_ONCE - calls.len()) {
            let sessions = Arc::clone(&sessions);
            calls.spawn(async move {
                let outcome = sessions.try_canary(&canary).await;
                (canary, outcome)
            });
        }
        let Ok(Some(answered)) = timeout_at(until, calls.join_next()).await else { break };
        let Ok((canary, outcome)) = answered else { continue };
        open.retain(|other| *other != canary);
        match outcome {
            Ok(()) => tried.granted.push(canary),
            Err(SessionError::Denied { code, message }) => {
                let diagnosis = diagnose(&code, &message, canary.session());
                tried.denied.push((canary, diagnosis));
            }
            Err(error) => tried.unanswered.push((canary, error.to_string())),
        }
    }
    let late = format!("no session within {} s (aws.sts_timeout)", limit.as_secs_f64());
    tried.unanswered.extend(open.into_iter().map(|canary| (canary, late.clone())));
    tried.denied.sort_by_key(|(canary, _)| canary.rule());
    tried.unanswered.sort_by_key(|(canary, _)| canary.rule());
    tried
}

impl Tried {
    /// Whether the configuration may count. A role that STS did not answer for is logged.
    ///
    /// # Errors
    /// When STS denied a session.
    pub(super) fn verdict(self) -> Result<(), Rejected> {
        if let Some((first, why)) = self.unanswered.first()
            && self.denied.is_empty()
        {
            let roles = named(self.unanswered.iter().map(|(canary, _)| rule(canary)));
            warn!(
                role_arn = first.session().role_arn().as_str(),
                "STS gave no answer to {}, so the configuration loads although {roles} could not be tried: {why}",
                counted(self.unanswered.len(), "canary session"),
            );
        }
        if self.denied.is_empty() {
            return Ok(());
        }
        let denied = self.denied.iter();
        let short = named(denied.map(|(canary, why)| format!("{} ({})", rule(canary), why.denial.as_str())));
        let short = format!("STS denies the canary session of {short}");
        let details = self.denied.iter().map(|(canary, why)| detail(canary, why)).collect();
        Err(Rejected::ByAws { short, details })
    }
}

fn rule(canary: &Canary) -> String {
    format!("role[{}]", canary.rule())
}

/// The first of the texts, and the number of the others.
fn named(texts: impl ExactSizeIterator<Item = String>) -> String {
    let others = texts.len().saturating_sub(NAMED);
    let named = texts.take(NAMED).collect::<Vec<_>>().join(", ");
    if others > 0 { format!("{named} and {others} more") } else { named }
}

/// The line of the process log.
fn detail(canary: &Canary, why: &Diagnosis) -> String {
    let session = canary.session();
    let (rule, arn, name) = (rule(canary), session.role_arn().as_str(), session.name().as_str());
    let mut why = why.clone();
    if why.denial.is_by_policy() {
        why.causes.push(
            "the role accepts only session names or tag values of callers, and those of a canary are made up: write \
             canary = false in [aws]"
                .to_owned(),
        );
    }
    format!("STS denies the canary session {name} of {rule}, {arn}: {why}")
}
