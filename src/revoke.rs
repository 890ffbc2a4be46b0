//! Who is cut off, whatever their token and the mapping say: entries of the operator's deny file, and those
//! told at the admin port. Checked for every request, after its identity is known.
//!
//! A verdict is remembered beside the identity it is of, under the generation of all entries: as long as
//! none comes or goes, a request costs the comparison of two numbers.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use arc_swap::ArcSwap;

use crate::auth::Verified;
use crate::clock;
use crate::identity::arn::is_principal;
use crate::identity::expression::{Expression, ExpressionError};
use crate::identity::{Denied, Facts, Identity};

/// Entries that may be told at the admin port: they stay until they end or the process does.
const MOST_TOLD: usize = 10_000;

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

/// No entry more can be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{MOST_TOLD} entries were told already; write them into the deny file")]
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

    /// How many entries are in force.
    pub fn len(&self) -> usize {
        let now = clock::now();
        self.list.load().entries.iter().filter(|entry| entry.is_in_force(now)).count()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// These are the entries of the deny file from now on.
    pub fn of_file(&self, entries: Vec<Entry>) {
        let mut sources = self.sources();
        if entries.is_empty() && sources.file.is_empty() {
            return;
        }
        sources.file = entries.into_iter().map(Arc::new).collect();
        self.publish(&sources);
    }

    /// One more entry, in place of one that means the same; so one that has ended already takes that back.
    ///
    /// # Errors
    /// When there are too many.
    pub fn tell(&self, entry: Entry) -> Result<(), TooMany> {
        let (mut sources, now) = (self.sources(), clock::now());
        sources.told.retain(|known| known.is_in_force(now) && known.whom != entry.whom);
        let full = sources.told.len() >= MOST_TOLD;
        if entry.is_in_force(now) && !full {
            sources.told.push(Arc::new(entry));
        }
        self.publish(&sources);
        if full { Err(TooMany) } else { Ok(()) }
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
        let verdict = list.judge(caller, identity, now);
        standing.note(list.generation, verdict.clone());
        verdict
    }

    fn sources(&self) -> MutexGuard<'_, Sources> {
        self.sources.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl List {
    /// What all entries in force say of somebody together.
    fn judge(&self, caller: &Verified, identity: &Identity, now: SystemTime) -> Option<Denied> {
        // Made for the first expression that needs them.
        let mut facts = None;
        let mut verdict: Option<Denied> = None;
        for entry in self.entries.iter().filter(|entry| entry.is_in_force(now)) {
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
            if !means {
                continue;
            }
            let denied =
                Denied { until: entry.until, cut_streams: entry.cut_streams, by: Arc::clone(&entry.origin) };
            verdict = Some(match verdict {
                None => denied,
                Some(known) => known.and(&denied),
            });
        }
        verdict
    }
}

#[cfg(test)]
mod tests;
