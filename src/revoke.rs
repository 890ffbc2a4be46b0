//! Who is cut off, whatever their token and the mapping say: entries of the operator's deny file, and those
//! told at the admin port. Checked for every request, after its identity is known.
//!
//! A verdict is remembered beside the identity it is of, under the generation of all entries: as long as
//! none comes or goes, a request costs the comparison of two numbers.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use parking_lot::{Mutex, MutexGuard};

use crate::auth::Verified;
use crate::clock;
use crate::identity::{Identified, Identity};
use crate::revoke::selector::ClaimsInput;
use crate::verdict::Revocation;

pub use crate::revoke::selector::{Selector, SelectorError, SelectorInput};

mod selector;

/// Entries that may be told at the admin port: they stay until they end or the process does.
const MOST_TOLD: usize = 10_000;
/// Those among them that are expressions: each is evaluated for each caller.
const MOST_EXPRESSIONS: usize = 100;
/// How long they stay after their end: a clock that jumped ahead and comes back ends nothing for good.
const KEPT_AFTER_END: Duration = Duration::from_hours(24);

/// Somebody who is cut off.
#[derive(Debug)]
pub struct Entry {
    pub selector: Selector,
    /// From here on it does not count; `None`: for good.
    pub until: Option<SystemTime>,
    /// Whether answers that are on their way are broken off.
    pub cut_streams: bool,
    /// Where it stands, for the log.
    pub origin: Arc<str>,
}

/// The caller is cut off.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("revoked by {by}")]
pub struct Revoked {
    by: Arc<str>,
}

/// Proof that no entry of these revocations matches a caller, as of now. It is good for one step: authorizing, asking
/// for a session, or one signature. A body takes minutes to arrive and STS its time, so each step consumes one of its
/// own.
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

    /// The caller, moved into what the step returns.
    pub fn into_caller(self) -> Identified {
        self.caller
    }

    /// Whether it clears the caller with this identity.
    pub fn is_of(&self, identity: &Arc<Identity>) -> bool {
        Arc::ptr_eq(self.caller.identity(), identity)
    }
}

/// What telling somebody has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RevokeOutcome {
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

impl Entry {
    fn is_in_force(&self, now: SystemTime) -> bool {
        self.until.is_none_or(|until| now < until)
    }
}

impl Revocations {
    /// Clears the caller for one step, if no entry means them.
    ///
    /// # Errors
    /// [`Revoked`] when an entry means them.
    pub fn clear(&self, caller: &Identified) -> Result<Clearance, Revoked> {
        match self.denied(caller.caller().verified(), caller.identity()) {
            None => Ok(Clearance { caller: caller.clone() }),
            Some(denied) => Err(Revoked { by: denied.by }),
        }
    }

    /// Whether an entry means a caller.
    pub fn is_revoked(&self, caller: &Verified, identity: &Identity) -> bool {
        self.denied(caller, identity).is_some()
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
            .filter_map(|entry| match &entry.selector {
                Selector::Principal(principal) => Some(principal.as_str().into()),
                Selector::Subject { .. } | Selector::Claims(_) => None,
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
            .filter_map(|entry| match &entry.selector {
                Selector::Subject { issuer, subject } => Some((issuer.clone(), subject.clone())),
                Selector::Principal(_) | Selector::Claims(_) => None,
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
    pub fn tell(&self, entry: Entry) -> Result<RevokeOutcome, TooMany> {
        let (mut sources, now) = (self.sources(), clock::now());
        let is_over = |known: &Entry| {
            known.until.and_then(|until| until.checked_add(KEPT_AFTER_END)).is_some_and(|gone| gone <= now)
        };
        let in_force = entry.is_in_force(now);
        let is_same = |known: &Arc<Entry>| known.selector == entry.selector;
        let known = sources.told.iter().any(|known| is_same(known) && known.is_in_force(now));
        let others = || sources.told.iter().filter(|known| !is_same(known) && !is_over(known));
        let is_expression = |entry: &Entry| matches!(entry.selector, Selector::Claims(_));
        let expressions = others().filter(|known| is_expression(known)).count();
        let full = others().count() >= MOST_TOLD || is_expression(&entry) && expressions >= MOST_EXPRESSIONS;
        if in_force && full {
            return Err(TooMany);
        }
        sources.told.retain(|known| known.selector != entry.selector && !is_over(known));
        if in_force {
            sources.told.push(Arc::new(entry));
        }
        self.publish(&sources);
        Ok(match (in_force, known) {
            (true, _) => RevokeOutcome::CutOff,
            (false, true) => RevokeOutcome::TakenBack,
            (false, false) => RevokeOutcome::Nothing,
        })
    }

    fn publish(&self, sources: &Sources) {
        let generation = self.generation.load(Ordering::Relaxed) + 1;
        let entries = sources.file.iter().chain(&sources.told).cloned().collect();
        self.list.store(Arc::new(List { generation, entries }));
        // Whoever sees the number sees the list.
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
        let Judgement { verdict, for_good } = list.judge(caller, identity, now);
        if verdict.is_some() || for_good {
            cached.note(list.generation, verdict.clone());
        }
        verdict
    }

    fn sources(&self) -> MutexGuard<'_, Sources> {
        self.sources.lock()
    }
}

/// What all entries say of somebody together.
struct Judgement {
    verdict: Option<Revocation>,
    /// No entry means them, not even one whose end is over: it would count again if the clock went back.
    for_good: bool,
}

impl List {
    fn judge(&self, caller: &Verified, identity: &Identity, now: SystemTime) -> Judgement {
        let mut input = ClaimsInput::default();
        let (mut verdict, mut for_good): (Option<Revocation>, bool) = (None, true);
        for entry in &self.entries {
            let means = entry.selector.means(caller, identity, &mut input);
            for_good &= !means;
            if !means || !entry.is_in_force(now) {
                continue;
            }
            let denied = Revocation {
                until: entry.until,
                cut_streams: entry.cut_streams,
                by: Arc::clone(&entry.origin),
            };
            verdict = Some(match verdict {
                None => denied,
                Some(known) => known.and(&denied),
            });
        }
        Judgement { verdict, for_good }
    }
}

#[cfg(test)]
impl Clearance {
    /// For an identity out of thin air, for the tests of the stages behind.
    pub(crate) fn for_tests(identity: Arc<Identity>) -> Self {
        Self { caller: Identified::for_tests(identity) }
    }
}

#[cfg(test)]
mod tests;
