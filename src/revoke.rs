//! Who is cut off, whatever their token and the mapping say: entries of the operator's deny file, and those
//! told at the admin port. Checked for every request, after its identity is known.
//!
//! A verdict is remembered beside the identity it is of, under the generation of all entries: as long as
//! none comes or goes, a request costs the comparison of two numbers.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;

use crate::auth::Verified;
use crate::clock;
use crate::identity::arn::is_principal;
use crate::identity::expression::{Expression, ExpressionError};
use crate::identity::{Denied, Facts, Identity};

/// Entries that may be told at the admin port: they stay until they end or the process does.
const MOST_TOLD: usize = 10_000;
/// Those among them that are expressions: each is evaluated for each caller.
const MOST_EXPRESSIONS: usize = 100;
/// How long they stay after their end: a clock that jumped ahead and comes back ends nothing for good.
const KEPT_AFTER_END: Duration = Duration::from_hours(24);

/// Somebody who is cut off.
#[derive(Debug)]
pub struct Entry {
    pub whom: Whom,
    /// From here on it does not count; `None`: for good.
    pub until: Option<SystemTime>,
    /// Whether answers that are on their way are broken off.
    pub cut_streams: bool,
    /// Where it stands, for the log.
    pub origin: Arc<str>,
}

/// Who is meant.
#[derive(Debug, PartialEq)]
pub enum Whom {
    /// By the issuer's configured name and the token's exact `sub`.
    Subject { issuer: String, subject: String },
    /// By the ARN that stands in the bill.
    Principal(String),
    /// Whoever's claims make it true. Those on whose claims it cannot be evaluated are meant as well: an error
    /// lets nobody in.
    Claims(Expression),
}

/// The ways to say who is meant, of which one is used.
#[derive(Debug, Clone, Copy, Default)]
pub struct Words<'a> {
    pub issuer: Option<&'a str>,
    pub subject: Option<&'a str>,
    pub principal: Option<&'a str>,
    pub expression: Option<&'a str>,
}

/// Why it cannot be said who is meant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WhomError {
    #[error("it names nobody, or in more than one way")]
    Unclear,
    #[error("this is no session's ARN")]
    NotAPrincipal,
    #[error("the expression is wrong: {0}")]
    Expression(#[from] ExpressionError),
}

impl WhomError {
    /// What would be right.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Unclear => "give issuer and subject, or principal, or expression",
            Self::NotAPrincipal => {
                "give it as the bill shows it, as in arn:aws:sts::123456789012:assumed-role/BedrockUser/alice@acme.org"
            }
            Self::Expression(_) => "write a CEL expression over claims and issuer.name",
        }
    }
}

/// The caller is cut off.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("revoked by {by}")]
pub struct Revoked {
    by: Arc<str>,
}

/// What telling somebody has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    CutOff,
    /// The entry's end is over, and so is one that meant the same.
    TakenBack,
    /// The entry's end is over, and there was none to take back.
    Nothing,
}

/// No entry more can be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "{MOST_TOLD} entries, or {MOST_EXPRESSIONS} expressions, were told already; write them into the deny file"
)]
pub struct TooMany;

/// All who are cut off.
#[derive(Debug, Default)]
pub struct Revocations {
    /// Of `list`; 0 while there never was an entry.
    generation: AtomicU64,
    list: ArcSwap<List>,
    sources: Mutex<Sources>,
}

/// Never changed once it is seen.
#[derive(Debug, Default)]
struct List {
    generation: u64,
    entries: Vec<Arc<Entry>>,
}

#[derive(Debug, Default)]
struct Sources {
    file: Vec<Arc<Entry>>,
    told: Vec<Arc<Entry>>,
}

impl Whom {
    /// # Errors
    /// When the words say nobody, or more than one, or are wrong.
    pub fn of(words: Words<'_>) -> Result<Self, WhomError> {
        match words {
            Words { issuer: Some(issuer), subject: Some(subject), principal: None, expression: None }
                if !issuer.is_empty() && !subject.is_empty() =>
            {
                Ok(Self::Subject { issuer: issuer.to_owned(), subject: subject.to_owned() })
            }
            Words { issuer: None, subject: None, principal: Some(principal), expression: None } => {
                if !is_principal(principal) {
                    return Err(WhomError::NotAPrincipal);
                }
                Ok(Self::Principal(principal.to_owned()))
            }
            Words { issuer: None, subject: None, principal: None, expression: Some(expression) } => {
                Ok(Self::Claims(Expression::compile(expression, &[])?))
            }
            _ => Err(WhomError::Unclear),
        }
    }
}

impl fmt::Display for Whom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Subject { issuer, subject } => write!(f, "{subject} of {issuer}"),
            Self::Principal(principal) => f.write_str(principal),
            Self::Claims(expression) => f.write_str(expression.source()),
        }
    }
}

impl Entry {
    fn is_in_force(&self, now: SystemTime) -> bool {
        self.until.is_none_or(|until| now < until)
    }
}

impl Revocations {
    /// Whether the caller may go on.
    ///
    /// # Errors
    /// [`Revoked`] when an entry means them.
    pub fn check(&self, caller: &Verified, identity: &Identity) -> Result<(), Revoked> {
        match self.denied(caller, identity) {
            None => Ok(()),
            Some(denied) => Err(Revoked { by: denied.by }),
        }
    }

    /// Whether an answer to this caller that is on its way is to be broken off.
    pub fn cuts(&self, caller: &Verified, identity: &Identity) -> bool {
        self.denied(caller, identity).is_some_and(|denied| denied.cut_streams)
    }

    /// The principals that are cut off by name.
    pub fn principals(&self) -> Vec<Arc<str>> {
        let (list, now) = (self.list.load(), clock::now());
        let named = list.entries.iter().filter(|entry| entry.is_in_force(now));
        named
            .filter_map(|entry| match &entry.whom {
                Whom::Principal(principal) => Some(principal.as_str().into()),
                Whom::Subject { .. } | Whom::Claims(_) => None,
            })
            .collect()
    }

    /// The subjects that are cut off, after their issuers' names, if the deny file has these entries; `None`: those
    /// that it has.
    pub fn subjects(&self, file: Option<&[Arc<Entry>]>) -> BTreeSet<(String, String)> {
        let (sources, now) = (self.sources(), clock::now());
        let entries = file.unwrap_or(&sources.file).iter().chain(&sources.told);
        entries
            .filter(|entry| entry.is_in_force(now))
            .filter_map(|entry| match &entry.whom {
                Whom::Subject { issuer, subject } => Some((issuer.clone(), subject.clone())),
                Whom::Principal(_) | Whom::Claims(_) => None,
            })
            .collect()
    }

    /// How many entries are in force.
    pub fn len(&self) -> usize {
        let now = clock::now();
        self.list.load().entries.iter().filter(|entry| entry.is_in_force(now)).count()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// These are the entries of the deny file from now on.
    pub fn of_file(&self, entries: Vec<Arc<Entry>>) {
        let mut sources = self.sources();
        if entries.is_empty() && sources.file.is_empty() {
            return;
        }
        sources.file = entries;
        self.publish(&sources);
    }

    /// These are entries of the deny file, too: nobody is let back in.
    pub fn also_of_file(&self, entries: &[Arc<Entry>]) {
        let mut sources = self.sources();
        sources.file.extend(entries.iter().cloned());
        self.publish(&sources);
    }

    /// One more entry, in place of one that means the same; so one that has ended already takes that back.
    ///
    /// # Errors
    /// When there are too many.
    pub fn tell(&self, entry: Entry) -> Result<Told, TooMany> {
        let (mut sources, now) = (self.sources(), clock::now());
        let is_over = |known: &Entry| {
            known.until.and_then(|until| until.checked_add(KEPT_AFTER_END)).is_some_and(|gone| gone <= now)
        };
        let in_force = entry.is_in_force(now);
        let is_same = |known: &Arc<Entry>| known.whom == entry.whom;
        let known = sources.told.iter().any(|known| is_same(known) && known.is_in_force(now));
        let others = || sources.told.iter().filter(|known| !is_same(known) && !is_over(known));
        let is_expression = |entry: &Entry| matches!(entry.whom, Whom::Claims(_));
        let expressions = others().filter(|known| is_expression(known)).count();
        let full = others().count() >= MOST_TOLD || is_expression(&entry) && expressions >= MOST_EXPRESSIONS;
        if in_force && full {
            return Err(TooMany);
        }
        sources.told.retain(|known| known.whom != entry.whom && !is_over(known));
        if in_force {
            sources.told.push(Arc::new(entry));
        }
        self.publish(&sources);
        Ok(match (in_force, known) {
            (true, _) => Told::CutOff,
            (false, true) => Told::TakenBack,
            (false, false) => Told::Nothing,
        })
    }

    fn publish(&self, sources: &Sources) {
        let generation = self.generation.load(Ordering::Relaxed) + 1;
        let entries = sources.file.iter().chain(&sources.told).cloned().collect();
        self.list.store(Arc::new(List { generation, entries }));
        // Whoever sees the number sees the list.
        self.generation.store(generation, Ordering::Release);
    }

    fn denied(&self, caller: &Verified, identity: &Identity) -> Option<Denied> {
        let standing = identity.standing();
        if standing.is_cleared(self.generation.load(Ordering::Acquire)) {
            return None;
        }
        let (list, now) = (self.list.load(), clock::now());
        if let Some(denied) = standing.denied(list.generation, now) {
            return Some(denied);
        }
        let Judgement { verdict, for_good } = list.judge(caller, identity, now);
        if verdict.is_some() || for_good {
            standing.note(list.generation, verdict.clone());
        }
        verdict
    }

    fn sources(&self) -> MutexGuard<'_, Sources> {
        self.sources.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What all entries say of somebody together.
struct Judgement {
    verdict: Option<Denied>,
    /// No entry means them, not even one whose end is over: it would count again if the clock went back.
    for_good: bool,
}

impl List {
    fn judge(&self, caller: &Verified, identity: &Identity, now: SystemTime) -> Judgement {
        // Made for the first expression that needs them.
        let mut facts = None;
        let (mut verdict, mut for_good): (Option<Denied>, bool) = (None, true);
        for entry in &self.entries {
            let means = match &entry.whom {
                Whom::Subject { issuer, subject } => {
                    issuer == caller.issuer() && caller.subject() == Some(subject)
                }
                Whom::Principal(principal) => **principal == **identity.principal(),
                Whom::Claims(expression) => {
                    let facts = facts.get_or_insert_with(|| Facts::of(caller));
                    facts.as_ref().map_or(true, |facts| facts.meets(expression).unwrap_or(true))
                }
            };
            for_good &= !means;
            if !means || !entry.is_in_force(now) {
                continue;
            }
            let denied =
                Denied { until: entry.until, cut_streams: entry.cut_streams, by: Arc::clone(&entry.origin) };
            verdict = Some(match verdict {
                None => denied,
                Some(known) => known.and(&denied),
            });
        }
        Judgement { verdict, for_good }
    }
}

#[cfg(test)]
mod tests;
