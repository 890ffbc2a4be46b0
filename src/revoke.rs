//! Revocation: entries of the deny file and of the admin port that end a caller's access, whatever their token and the
//! mapping allow. Every request is checked after its identity is known.
//!
//! The result of a check is cached in the identity, with the generation of the entries. While the entries do not
//! change, a check compares two numbers.

use std::cell::LazyCell;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use parking_lot::{Mutex, MutexGuard};

use crate::auth::Verified;
use crate::clock;
use crate::expression::Input;
use crate::identity::{Identified, Identity};
use crate::revoke::index::Index;
use crate::verdict::{RefusedRequests, Revocation};

pub use crate::revoke::selector::{Selector, SelectorError, SelectorInput};

mod index;
mod selector;

/// Most entries of the admin port. They stay until they expire or the process ends.
const MOST_OF_ADMIN_PORT: usize = 10_000;
/// Most of them that are expressions, because each expression is evaluated for each caller.
const MOST_EXPRESSIONS: usize = 100;
/// The time that an expired entry of the admin port is kept. If a clock jumps ahead and is set back, the entry applies
/// again.
const KEPT_AFTER_END: Duration = Duration::from_hours(24);

/// One revocation: the callers it matches, and how long it applies.
#[derive(Debug)]
pub struct Entry {
    pub selector: Selector,
    /// The time from which the entry no longer applies; `None` if it never expires.
    pub until: Option<SystemTime>,
    /// Whether open answers to these callers are aborted.
    pub cut_streams: bool,
    /// The source of the entry, for the log.
    pub origin: Arc<str>,
    /// The line of its table in the deny file. `None`: the admin port received it.
    pub line: Option<usize>,
    /// The time from which the entry applies. An entry that a reload of the deny file does not change keeps its time.
    pub since: SystemTime,
    /// The requests that it has refused since then.
    pub refused: RefusedRequests,
}

/// The error for a caller whose access is revoked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("revoked by {by}")]
pub struct Revoked {
    by: Arc<str>,
}

/// Proof that no entry matches a caller at this time. Each step consumes a clearance of its own: authorizing, getting a
/// session, and each signature. The reason is time: a body may take minutes to arrive, and STS may be slow.
///
/// ```
/// # use bedrock_gateway::identity::Identified;
/// # use bedrock_gateway::revoke::{Clearance, Revocations, Revoked};
/// # fn authorize(_: Clearance) {}
/// # fn sign(_: Clearance) {}
/// fn each_step_asks(revocations: &Revocations, caller: &Identified) -> Result<(), Revoked> {
///     let cleared = revocations.clear(caller)?;
///     authorize(revocations.clear(caller)?);
///     sign(cleared);
///     Ok(())
/// }
/// ```
/// ```compile_fail,E0599
/// # use bedrock_gateway::identity::Identified;
/// # use bedrock_gateway::revoke::{Clearance, Revocations, Revoked};
/// # fn authorize(_: Clearance) {}
/// # fn sign(_: Clearance) {}
/// fn each_step_asks(revocations: &Revocations, caller: &Identified) -> Result<(), Revoked> {
///     let cleared = revocations.clear(caller)?;
///     authorize(cleared.clone());
///     sign(cleared);
///     Ok(())
/// }
/// ```
#[derive(Debug)]
#[must_use = "a clearance that no step consumes clears nothing"]
pub struct Clearance {
    caller: Identified,
}

impl Clearance {
    /// The caller it clears.
    pub fn caller(&self) -> &Identified {
        &self.caller
    }

    /// The caller, for the result of the step.
    pub fn into_caller(self) -> Identified {
        self.caller
    }

    /// Whether the cleared caller has this identity.
    pub fn is_of(&self, identity: &Arc<Identity>) -> bool {
        Arc::ptr_eq(self.caller.identity(), identity)
    }
}

/// The effect of an entry that the admin port received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RevokeOutcome {
    /// The entry applies from now on.
    Revoked,
    /// The entry has a past `until`. It has removed an entry with the same selector.
    Removed,
    /// The entry has a past `until`, and there was no entry with the same selector.
    NothingToRemove,
}

/// The error for an entry over the limits of the admin port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the admin port accepts at most {MOST_OF_ADMIN_PORT} entries, {MOST_EXPRESSIONS} of them expressions; \
     write this one into the deny file"
)]
pub struct TooMany;

/// All entries, of the deny file and of the admin port.
#[derive(Debug, Default)]
pub struct Revocations {
    /// The generation of `list`; 0 until there is a first entry.
    generation: AtomicU64,
    list: ArcSwap<List>,
    sources: Mutex<Sources>,
}

/// All entries of one generation. A published list never changes.
#[derive(Debug, Default)]
struct List {
    generation: u64,
    entries: Vec<Arc<Entry>>,
    index: Index,
}

#[derive(Debug, Default)]
struct Sources {
    file: Vec<Arc<Entry>>,
    admin_port: Vec<Arc<Entry>>,
}

/// The parts of an entry that make two entries equal.
type Terms<'e> = (SelectorInput<'e>, Option<SystemTime>, bool);

impl Entry {
    fn terms(&self) -> Terms<'_> {
        (self.selector.input(), self.until, self.cut_streams)
    }

    fn is_in_force(&self, now: SystemTime) -> bool {
        self.until.is_none_or(|until| now < until)
    }
}

impl Revocations {
    /// Clears the caller for one step, if no entry matches.
    ///
    /// # Errors
    /// [`Revoked`], when an entry matches.
    pub fn clear(&self, caller: &Identified) -> Result<Clearance, Revoked> {
        match self.denied(caller.caller().verified(), caller.identity()) {
            None => Ok(Clearance { caller: caller.clone() }),
            Some(denied) => {
                denied.refused.add_one();
                Err(Revoked { by: denied.by })
            }
        }
    }

    /// Whether an entry matches a caller.
    pub fn is_revoked(&self, caller: &Verified, identity: &Identity) -> bool {
        self.denied(caller, identity).is_some()
    }

    /// Whether an open answer to this caller must be aborted.
    pub fn cuts(&self, caller: &Verified, identity: &Identity) -> bool {
        self.denied(caller, identity).is_some_and(|denied| denied.cut_streams)
    }

    /// The principals that entries name.
    pub fn principals(&self) -> Vec<Arc<str>> {
        let (list, now) = (self.list.load(), clock::now());
        let named = list.entries.iter().filter(|entry| entry.is_in_force(now));
        named
            .filter_map(|entry| match &entry.selector {
                Selector::Principal(principal) => Some(principal.as_str().into()),
                Selector::Subject { .. } | Selector::Claims(_) => None,
            })
            .collect()
    }

    /// The issuers and subjects that entries name. `file` replaces the present entries of the deny file.
    pub fn subjects(&self, file: Option<&[Arc<Entry>]>) -> BTreeSet<(String, String)> {
        let (sources, now) = (self.sources(), clock::now());
        let entries = file.unwrap_or(&sources.file).iter().chain(&sources.admin_port);
        entries
            .filter(|entry| entry.is_in_force(now))
            .filter_map(|entry| match &entry.selector {
                Selector::Subject { issuer, subject } => Some((issuer.clone(), subject.clone())),
                Selector::Principal(_) | Selector::Claims(_) => None,
            })
            .collect()
    }

    /// The number of entries that have not expired.
    pub fn len(&self) -> usize {
        let now = clock::now();
        self.list.load().entries.iter().filter(|entry| entry.is_in_force(now)).count()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The entries that have not expired: those of the deny file first.
    pub fn in_force(&self) -> Vec<Arc<Entry>> {
        let now = clock::now();
        self.list.load().entries.iter().filter(|entry| entry.is_in_force(now)).cloned().collect()
    }

    /// Replaces the entries of the deny file.
    pub fn of_file(&self, entries: Vec<Arc<Entry>>) {
        let mut sources = self.sources();
        if entries.is_empty() && sources.file.is_empty() {
            return;
        }
        sources.file = entries;
        self.publish(&sources);
    }

    /// Adds entries of the deny file, and returns them. Earlier ones stay, so no caller's access is restored. An entry
    /// that is equal to an earlier one replaces it, and keeps its time and its count.
    pub fn also_of_file(&self, mut entries: Vec<Arc<Entry>>) -> Vec<Arc<Entry>> {
        let mut sources = self.sources();
        let known: HashMap<_, _> = sources.file.iter().map(|entry| (entry.terms(), entry)).collect();
        for entry in entries.iter_mut().filter_map(Arc::get_mut) {
            if let Some(known) = known.get(&entry.terms()) {
                (entry.since, entry.refused) = (known.since, known.refused.clone());
            }
        }
        let replaced: HashSet<_> = entries.iter().map(|entry| entry.terms()).collect();
        sources.file.retain(|known| !replaced.contains(&known.terms()));
        sources.file.extend(entries.iter().cloned());
        self.publish(&sources);
        entries
    }

    /// Adds an entry of the admin port. It replaces an entry with the same selector, so an entry with a past `until`
    /// removes that one.
    ///
    /// # Errors
    /// [`TooMany`], when the admin port has reached its limit of entries.
    pub fn tell(&self, entry: Entry) -> Result<RevokeOutcome, TooMany> {
        let (mut sources, now) = (self.sources(), clock::now());
        let is_outdated = |known: &Entry| {
            known.until.and_then(|until| until.checked_add(KEPT_AFTER_END)).is_some_and(|gone| gone <= now)
        };
        let in_force = entry.is_in_force(now);
        let is_same = |known: &Arc<Entry>| known.selector == entry.selector;
        let known = sources.admin_port.iter().any(|known| is_same(known) && known.is_in_force(now));
        let others = || sources.admin_port.iter().filter(|known| !is_same(known) && !is_outdated(known));
        let is_expression = |entry: &Entry| matches!(entry.selector, Selector::Claims(_));
        let expressions = others().filter(|known| is_expression(known)).count();
        let full = others().count() >= MOST_OF_ADMIN_PORT
            || is_expression(&entry) && expressions >= MOST_EXPRESSIONS;
        if in_force && full {
            return Err(TooMany);
        }
        sources.admin_port.retain(|known| known.selector != entry.selector && !is_outdated(known));
        if in_force {
            sources.admin_port.push(Arc::new(entry));
        }
        self.publish(&sources);
        Ok(match (in_force, known) {
            (true, _) => RevokeOutcome::Revoked,
            (false, true) => RevokeOutcome::Removed,
            (false, false) => RevokeOutcome::NothingToRemove,
        })
    }

    fn publish(&self, sources: &Sources) {
        let generation = self.generation.load(Ordering::Relaxed) + 1;
        let entries: Vec<_> = sources.file.iter().chain(&sources.admin_port).cloned().collect();
        let index = Index::of(&entries);
        self.list.store(Arc::new(List { generation, entries, index }));
        // The list comes first: a thread that reads the new generation also reads the new list.
        self.generation.store(generation, Ordering::Release);
    }

    fn denied(&self, caller: &Verified, identity: &Identity) -> Option<Revocation> {
        let cached = identity.verdict();
        if cached.is_cleared(self.generation.load(Ordering::Acquire)) {
            return None;
        }
        let (list, now) = (self.list.load(), clock::now());
        if let Some(denied) = cached.denied(list.generation, now) {
            return Some(denied);
        }
        let Judgement { verdict, is_final } = list.judge(caller, identity, now);
        if verdict.is_some() || is_final {
            cached.note(list.generation, verdict.clone());
        }
        verdict
    }

    fn sources(&self) -> MutexGuard<'_, Sources> {
        self.sources.lock()
    }
}

/// The result of all entries for one caller.
struct Judgement {
    verdict: Option<Revocation>,
    /// No entry matches, and no expired one either. An expired entry would apply again if the clock were set back.
    is_final: bool,
}

impl List {
    fn judge(&self, caller: &Verified, identity: &Identity, now: SystemTime) -> Judgement {
        let expressions =
            self.index.expressions().filter_map(|place| self.entries.get(place)?.selector.expression());
        let input = LazyCell::new(|| Input::new(caller.claims(), caller.issuer(), [], expressions));
        let (mut verdict, mut is_final): (Option<Revocation>, bool) = (None, true);
        let candidates = self.index.candidates(caller, identity);
        for entry in candidates.into_iter().filter_map(|place| self.entries.get(place)) {
            let matches = entry.selector.matches(caller, identity, || &input);
            is_final &= !matches;
            if !matches || !entry.is_in_force(now) {
                continue;
            }
            let denied = Revocation {
                until: entry.until,
                cut_streams: entry.cut_streams,
                by: Arc::clone(&entry.origin),
                refused: entry.refused.clone(),
            };
            verdict = Some(match verdict {
                None => denied,
                Some(known) => known.and(&denied),
            });
        }
        Judgement { verdict, is_final }
    }
}

#[cfg(test)]
impl Clearance {
    /// The clearance of an identity without any caller, for the tests of later stages.
    pub(crate) fn for_tests(identity: Arc<Identity>) -> Self {
        Self { caller: Identified::for_tests(identity) }
    }
}

#[cfg(test)]
mod tests;
