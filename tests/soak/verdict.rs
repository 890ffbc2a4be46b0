//! The check of the run: each call against the faults that it met, the bill against the calls, and the calls to STS
//! against the sessions that it granted.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, SystemTime};

use bedrock_standin::credentials::IssuedSession;

use crate::gateway::AccessLog;
use crate::journal::{Entry, Fate, Journal, Moment, Outcome, prompt};
use crate::trouble::{Cause, Window};
use crate::users::User;
use crate::world::World;

/// Milliseconds after trouble at STS in which a caller without a session may still see an error: the longest pause
/// after a failure, and some time for the answer.
const STS_ECHO: Moment = 6_000;
/// Milliseconds after a window in which its effects may still arrive.
const ECHO: Moment = 500;

/// `AssumeRole` calls within a second: the gateway's default for `max_sts_rate`, and the same number saved up
/// while it was idle.
pub(crate) const MOST_IN_A_SECOND: usize = 2 * 100;

/// The causes that leave callers without a session.
const STS_TROUBLE: [Cause; 3] = [Cause::StsThrottles, Cause::StsFails, Cause::StsIsDown];

/// A principal with its tags. Each such pair has one session.
type Who = (String, BTreeMap<String, String>);

pub(crate) struct Verdict<'a> {
    world: &'a World,
    journal: &'a Journal,
    log: &'a AccessLog,
    windows: &'a [Window],
    calls: &'a [Entry],
    /// Sessions in the order in which STS granted them.
    sessions: HashMap<Who, Vec<IssuedSession>>,
    /// The moments at which Bedrock refused sessions.
    refused: HashMap<Who, Vec<Moment>>,
}

impl<'a> Verdict<'a> {
    pub(crate) fn new(
        world: &'a World,
        journal: &'a Journal,
        log: &'a AccessLog,
        windows: &'a [Window],
        calls: &'a [Entry],
    ) -> Self {
        let mut sessions: HashMap<Who, Vec<IssuedSession>> = HashMap::new();
        for session in world.bed.standin.credentials.sessions() {
            sessions.entry((session.principal.clone(), session.tags.clone())).or_default().push(session);
        }
        let mut refused: HashMap<Who, Vec<Moment>> = HashMap::new();
        for call in calls.iter().filter(|call| call.fates.contains(&Fate::CredentialsRefused)) {
            refused.entry(who(&world.users[call.user], call.project)).or_default().push(call.arrived);
        }
        for (access_key_id, at) in world.bed.standin.bedrock.session_refusals() {
            if let Some(session) = world.bed.standin.credentials.session(&access_key_id) {
                refused.entry((session.principal, session.tags)).or_default().push(journal.moment(at));
            }
        }
        Self { world, journal, log, windows, calls, sessions, refused }
    }

    /// All violations of the run.
    pub(crate) fn violations(&self) -> Vec<String> {
        let mut found = self.journal.strangers();
        found.extend(self.world.bed.standin.bedrock.violations());
        found.extend(self.log.faults());
        for (number, call) in self.calls.iter().enumerate() {
            if let Err(what) = self.judge(call) {
                let user = &self.world.users[call.user].principal;
                let (began, ended, fates) = (call.began, call.ended, &call.fates);
                found.push(format!(
                    "call {number} of {user} by {}, {began} to {ended} ms, at Bedrock {fates:?}: {what}",
                    call.client
                ));
            }
        }
        found.extend(self.lines());
        found.extend(self.bill());
        found.extend(self.sts());
        found
    }

    /// Whether one of these causes was active while the call was in flight, or at most `echo` before it.
    fn during(&self, call: &Entry, echo: Moment, causes: &[Cause]) -> bool {
        let meets = |window: &&Window| call.began <= window.to + echo && call.ended + ECHO >= window.from;
        self.windows.iter().filter(meets).any(|window| causes.contains(&window.cause))
    }

    fn judge(&self, call: &Entry) -> Result<(), String> {
        use Cause as C;
        let closed = || self.during(call, ECHO, &[C::BedrockIsDown, C::ConnectionsAreClosed]);
        let refused_first = call.fates.first() == Some(&Fate::CredentialsRefused);
        if call.fates.len() > 1 + usize::from(refused_first) {
            return Err("the gateway sent it to Bedrock again without a reason".to_owned());
        }
        let fate = call.fates.last().copied();
        let explained = match &call.outcome {
            Outcome::HungUp => true,
            Outcome::Right => matches!(fate, Some(Fate::Answered | Fate::EndedInException)),
            Outcome::Exception if fate == Some(Fate::EndedInException) => true,
            // If an answer breaks off, the gateway ends it with an exception, provided that the format has one.
            Outcome::Exception | Outcome::Broken => {
                matches!(fate, Some(Fate::ResetAtFirstByte | Fate::ResetLater)) || closed()
            }
            Outcome::Error { status, kind, request_id } => {
                let reason = self.log.reason(request_id).unwrap_or_default();
                match (*status, kind.as_ref(), reason.as_str()) {
                    (429, "ThrottlingException", "upstream_error") => fate == Some(Fate::Throttled),
                    (500, "InternalServerException", "upstream_error") => fate == Some(Fate::Failed),
                    (403, "ExpiredTokenException" | "InvalidToken", "upstream_error") => {
                        fate == Some(Fate::CredentialsRefused) && self.could_not_be_replaced(call)
                    }
                    // Bedrock refused the second and last attempt, because its clock had changed since the first.
                    (403, "InvalidSignatureException", "upstream_error") => {
                        fate == Some(Fate::CredentialsRefused) && self.during(call, ECHO, &[C::ClockIsOff])
                    }
                    (408, "ModelTimeoutException", "upstream_not_answered") => {
                        matches!(fate, Some(Fate::ResetBeforeFirstByte | Fate::ResetAtFirstByte)) || closed()
                    }
                    (503, "ServiceUnavailableException", "upstream_connect") => closed(),
                    (503, "ServiceUnavailableException", reason) if reason.starts_with("sts_") => {
                        self.excused_by_sts(call)?
                    }
                    _ => return Err(format!("{}, for {reason:?}", call.outcome)),
                }
            }
            Outcome::Wrong(what) => return Err(what.to_string()),
            Outcome::InFlight => false,
        };
        if explained { Ok(()) } else { Err(format!("{} without a cause", call.outcome)) }
    }

    /// Whether the gateway could not replace the refused session of a call. Either STS granted no other, or the gateway
    /// had replaced the session within the minute, or it had already signed the call again because of the clock.
    fn could_not_be_replaced(&self, call: &Entry) -> bool {
        let minute = call.arrived.saturating_sub(61_000)..=call.ended;
        let refused = self.refused.get(&self.who(call)).map(Vec::as_slice).unwrap_or_default();
        let within_it = refused.iter().filter(|moment| minute.contains(moment)).count();
        within_it > 1
            || call.fates.len() > 1
            || self.during(call, STS_ECHO, &STS_TROUBLE)
            || self.during(call, ECHO, &[Cause::ClockIsOff])
    }

    /// Whether trouble at STS excuses an error. It does not if the caller had a session that was valid during the whole
    /// call.
    fn excused_by_sts(&self, call: &Entry) -> Result<bool, String> {
        let (began, ended) = (self.journal.at(call.began), self.journal.at(call.ended));
        let granted = self.sessions.get(&self.who(call));
        let available = |session: &&IssuedSession| {
            session.issued + Duration::from_secs(1) < began && !self.was_lost(session)
        };
        // The gateway replaces a session that Bedrock refused, perhaps with one that expires sooner.
        let latest = granted.and_then(|granted| granted.iter().rfind(available));
        let valid = latest.is_some_and(|session| session.expires > ended + margin(session));
        if valid && call.fates.is_empty() {
            return Err("refused because of STS, although the caller had a valid session".to_owned());
        }
        Ok(self.during(call, STS_ECHO, &STS_TROUBLE))
    }

    /// The access log has one line for each request. A client may hang up before it has sent a request.
    fn lines(&self) -> Option<String> {
        let lines = self.log.lines();
        let hung_up = self.calls.iter().filter(|call| call.outcome == Outcome::HungUp).count();
        let (least, most) = ((self.calls.len() - hung_up) as u64, self.calls.len() as u64);
        let right = (least..=most).contains(&lines);
        (!right).then(|| format!("{lines} lines in the access log, expected {least} to {most}"))
    }

    /// Compares each line of the bill with the tokens that the user's calls used.
    fn bill(&self) -> Vec<String> {
        let mut used: HashMap<Who, u64> = HashMap::new();
        for (number, call) in self.calls.iter().enumerate() {
            let charged = |fate: &&Fate| {
                let free =
                    [Fate::Throttled, Fate::Failed, Fate::CredentialsRefused, Fate::ResetBeforeFirstByte];
                !free.contains(fate)
            };
            let times = call.fates.iter().filter(charged).count() as u64;
            let tokens = prompt(number).len().div_ceil(4) as u64;
            *used.entry(self.who(call)).or_default() += times * tokens;
        }
        let mut billed: HashMap<Who, f64> = HashMap::new();
        for row in self.world.bed.standin.bill.rows() {
            if row.line_item_usage_type.contains("input-tokens") {
                let tags = row
                    .tags
                    .into_iter()
                    .map(|(key, value)| (key.trim_start_matches("iamPrincipal/").to_owned(), value));
                let thousands = row.line_item_usage_amount;
                *billed.entry((row.line_item_iam_principal, tags.collect())).or_default() += thousands;
            }
        }
        let mut found = Vec::new();
        for (who, thousands) in &billed {
            let owed = used.get(who).copied().unwrap_or_default();
            #[expect(clippy::cast_precision_loss, reason = "far below 2^52 tokens")]
            if (thousands * 1e3 - owed as f64).abs() > 0.5 {
                found.push(format!(
                    "{who:?} is billed {thousands} thousand input tokens, but used {owed} input tokens"
                ));
            }
        }
        found.extend(
            used.iter()
                .filter(|(who, tokens)| **tokens > 0 && !billed.contains_key(*who))
                .map(|(who, tokens)| format!("{who:?} used {tokens} input tokens that are not on the bill")),
        );
        found
    }

    /// Checks the `AssumeRole` calls: one for each session and lifetime, and never more than the rate.
    fn sts(&self) -> Vec<String> {
        let mut found = Vec::new();
        for (who, granted) in &self.sessions {
            let early =
                granted.windows(2).filter(|pair| is_early(&pair[0], &pair[1]) && !self.was_lost(&pair[0]));
            let (early, excused) = (early.count(), self.refused.get(who).map_or(0, Vec::len));
            if early > excused {
                found.push(format!(
                    "{who:?}: {early} early renewals, but Bedrock refused only {excused} sessions"
                ));
            }
        }
        let calls: Vec<SystemTime> = self.world.bed.standin.sts.calls().iter().map(|call| call.at).collect();
        let most = most_in_a_second(&calls);
        if most > MOST_IN_A_SECOND {
            found.push(format!("{most} calls to STS within a second, the limit is {MOST_IN_A_SECOND}"));
        }
        found
    }

    /// Whether STS may have gone down after it granted the session and before it answered.
    fn was_lost(&self, session: &IssuedSession) -> bool {
        let downs = self.windows.iter().filter(|window| window.cause == Cause::StsIsDown);
        downs.into_iter().any(|window| {
            let down = self.journal.at(window.from);
            session.issued <= down + Duration::from_millis(ECHO)
                && session.issued + Duration::from_secs(1) >= down
        })
    }

    fn who(&self, call: &Entry) -> Who {
        who(&self.world.users[call.user], call.project)
    }
}

/// The most calls to STS within any second.
pub(crate) fn most_in_a_second(calls: &[SystemTime]) -> usize {
    let mut first = 0;
    let mut most = 0;
    for (last, at) in calls.iter().enumerate() {
        while calls[first] + Duration::from_secs(1) < *at {
            first += 1;
        }
        most = most.max(last + 1 - first);
    }
    most
}

fn who(user: &User, project: Option<&str>) -> Who {
    (user.principal.clone(), user.tags(project))
}

/// Whether a renewal came too early. It may begin in the last fifth of a session's lifetime, as the gateway sees it.
/// One second allows for the fraction that the expiry loses, and for the network.
fn is_early(session: &IssuedSession, next: &IssuedSession) -> bool {
    next.issued + lifetime(session) / 5 + Duration::from_secs(1) < session.expires
}

/// The time before its expiry at which the gateway stops using a session, plus half a second for the network.
fn margin(session: &IssuedSession) -> Duration {
    (lifetime(session) / 20).min(Duration::from_secs(5)) + Duration::from_millis(500)
}

fn lifetime(session: &IssuedSession) -> Duration {
    session.expires.duration_since(session.issued).unwrap_or_default()
}
