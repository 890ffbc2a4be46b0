//! The record of each call: what its caller saw, and what Bedrock did. A number in the prompt joins the two.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use bedrock_standin::bill::Call;
use bedrock_standin::clock;
use tokio::time::Instant;

use crate::users::User;

const MARK: &str = "soak call ";

/// Milliseconds since the run began.
pub(crate) type Moment = u64;

#[derive(Debug)]
pub(crate) struct Journal {
    began: Instant,
    /// The start by the wall clock.
    began_at: SystemTime,
    calls: Mutex<Vec<Entry>>,
    strangers: Mutex<Vec<String>>,
}

#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) user: usize,
    pub(crate) project: Option<&'static str>,
    pub(crate) client: &'static str,
    pub(crate) began: Moment,
    pub(crate) ended: Moment,
    /// One entry for each time that the call reached Bedrock with a valid signature.
    pub(crate) fates: Vec<Fate>,
    /// When the call first reached Bedrock.
    pub(crate) arrived: Moment,
    pub(crate) outcome: Outcome,
}

/// Bedrock's treatment of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fate {
    Answered,
    Throttled,
    Failed,
    CredentialsRefused,
    ResetBeforeFirstByte,
    ResetAtFirstByte,
    ResetLater,
    EndedInException,
}

/// The outcome of a call, as its caller saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    InFlight,
    /// The correct answer, complete.
    Right,
    /// A correct beginning, then an exception in the stream's own format.
    Exception,
    /// A typed error.
    Error {
        status: u16,
        kind: Box<str>,
        request_id: Box<str>,
    },
    /// The answer began, then broke off.
    Broken,
    HungUp,
    /// An outcome that must never occur.
    Wrong(Box<str>),
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InFlight => f.write_str("never ended"),
            Self::Right => f.write_str("200"),
            Self::Exception => f.write_str("200, exception in the stream"),
            Self::Error { status, kind, .. } => write!(f, "{status} {kind}"),
            Self::Broken => f.write_str("200, broke off"),
            Self::HungUp => f.write_str("the client hung up"),
            Self::Wrong(_) => f.write_str("wrong"),
        }
    }
}

impl Journal {
    pub(crate) fn new() -> Self {
        let (calls, strangers) = (Mutex::default(), Mutex::default());
        Self { began: Instant::now(), began_at: clock::now(), calls, strangers }
    }

    pub(crate) fn now(&self) -> Moment {
        u64::try_from(self.began.elapsed().as_millis()).unwrap()
    }

    /// A moment of the run, by the wall clock.
    pub(crate) fn at(&self, moment: Moment) -> SystemTime {
        self.began_at + Duration::from_millis(moment)
    }

    pub(crate) fn moment(&self, at: SystemTime) -> Moment {
        u64::try_from(at.duration_since(self.began_at).unwrap_or_default().as_millis()).unwrap()
    }

    /// Records the start of a call. Returns its number.
    pub(crate) fn begin(&self, user: usize, project: Option<&'static str>, client: &'static str) -> usize {
        let began = self.now();
        let mut calls = self.calls.lock().unwrap();
        let (fates, outcome) = (Vec::new(), Outcome::InFlight);
        calls.push(Entry { user, project, client, began, ended: Moment::MAX, fates, arrived: 0, outcome });
        calls.len() - 1
    }

    pub(crate) fn end(&self, number: usize, outcome: Outcome) {
        let now = self.now();
        let call = &mut self.calls.lock().unwrap()[number];
        call.ended = now;
        call.outcome = outcome;
    }

    /// Records that a call reached Bedrock. Bedrock bills the principal that signed it, which must be the call's user.
    pub(crate) fn arrived(&self, call: &Call, users: &[User], fate: Fate) {
        let now = self.now();
        let mut calls = self.calls.lock().unwrap();
        let Some(entry) = number_in(&call.body).and_then(|number| calls.get_mut(number)) else {
            self.strangers.lock().unwrap().push(format!("no user made this call: {call:?}"));
            return;
        };
        let user = &users[entry.user];
        if call.principal != user.principal || call.tags != user.tags(entry.project) {
            let wanted = (&user.principal, user.tags(entry.project));
            self.strangers.lock().unwrap().push(format!("a call of {wanted:?} is billed to {call:?}"));
        }
        if entry.fates.is_empty() {
            entry.arrived = now;
        }
        entry.fates.push(fate);
    }

    /// Every call so far.
    pub(crate) fn calls(&self) -> Vec<Entry> {
        self.calls.lock().unwrap().clone()
    }

    /// Calls that Bedrock bills to a wrong principal, or that no user made.
    pub(crate) fn strangers(&self) -> Vec<String> {
        self.strangers.lock().unwrap().clone()
    }
}

/// The prompt of a call. Its number identifies the call at Bedrock.
pub(crate) fn prompt(number: usize) -> String {
    format!("{MARK}{number}; tell me about it")
}

fn number_in(body: &[u8]) -> Option<usize> {
    let text = std::str::from_utf8(body).ok()?;
    text.split_once(MARK)?.1.split_once(';')?.0.parse().ok()
}

/// Counts equal items.
pub(crate) fn tally<T: Ord>(items: impl Iterator<Item = T>) -> BTreeMap<T, u64> {
    let mut counts = BTreeMap::new();
    for item in items {
        *counts.entry(item).or_default() += 1;
    }
    counts
}
