//! The callers that have used one cached session, for the operator's list. A session may have several: callers share it
//! if the mapping gives them equal names.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::auth::Verified;

/// The most callers that are remembered of one session.
const MOST: usize = 4;
/// The most bytes that are kept of a subject. A token can have a subject of many kilobytes.
const SUBJECT_BYTES: usize = 256;

/// A caller as the token names them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionCaller {
    /// The configured name of the issuer.
    pub issuer: Box<str>,
    /// The beginning of the `sub` claim, if there is one.
    subject: Option<Box<str>>,
    /// The length of the whole subject. Two callers count as one if it is equal and so are the kept bytes.
    length: usize,
}

impl SessionCaller {
    /// The `sub` claim, if there is one. After 256 bytes it ends with an ellipsis.
    pub fn subject(&self) -> Option<String> {
        let mark = |kept: &str| if kept.len() < self.length { "…" } else { "" };
        self.subject.as_deref().map(|kept| format!("{kept}{}", mark(kept)))
    }

    fn of(caller: &Verified) -> Self {
        let subject = caller.subject();
        let length = subject.map_or(0, str::len);
        Self { issuer: caller.issuer().into(), subject: subject.map(|whole| kept(whole).into()), length }
    }

    fn is(&self, caller: &Verified) -> bool {
        let subject = caller.subject();
        self.length == subject.map_or(0, str::len)
            && self.subject.as_deref() == subject.map(kept)
            && *self.issuer == *caller.issuer()
    }
}

/// The beginning of a subject that is kept.
fn kept(subject: &str) -> &str {
    subject.get(..subject.floor_char_boundary(SUBJECT_BYTES)).unwrap_or(subject)
}

/// The first [`MOST`] callers of one session. Each is stored once, so a request of a known caller only compares: it
/// takes no lock and allocates nothing.
#[derive(Debug, Default)]
pub(super) struct SessionCallers {
    known: [OnceLock<SessionCaller>; MOST],
    others: AtomicBool,
}

impl SessionCallers {
    /// Remembers that this caller has used the session.
    pub(super) fn note(&self, caller: &Verified) {
        for slot in &self.known {
            if slot.get_or_init(|| SessionCaller::of(caller)).is(caller) {
                return;
            }
        }
        if !self.others.load(Ordering::Relaxed) {
            self.others.store(true, Ordering::Relaxed);
        }
    }

    /// The same callers, for the session that replaces this one.
    pub(super) fn handed_on(&self) -> Self {
        Self { known: self.known.clone(), others: AtomicBool::new(self.has_others()) }
    }

    /// The remembered callers, in the order of their first use.
    pub(super) fn known(&self) -> impl Iterator<Item = &SessionCaller> {
        self.known.iter().filter_map(OnceLock::get)
    }

    /// Whether further callers have used the session.
    pub(super) fn has_others(&self) -> bool {
        self.others.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(subject: &str) -> Verified {
        let claims = serde_json::json!({ "sub": subject });
        Verified::for_tests("okta", claims.as_object().cloned().unwrap_or_default())
    }

    #[test]
    fn each_caller_is_remembered_once_and_further_ones_are_only_noticed() {
        let callers = SessionCallers::default();
        for subject in ["a", "b", "a", "c", "d", "d"] {
            callers.note(&caller(subject));
        }
        let subjects = || callers.known().filter_map(SessionCaller::subject).collect::<Vec<_>>();
        let first = ["a", "b", "c", "d"].map(str::to_owned).to_vec();
        assert_eq!((subjects(), callers.has_others()), (first.clone(), false));
        callers.note(&caller("e"));
        assert_eq!((subjects(), callers.has_others()), (first, true));
    }

    #[test]
    fn at_most_256_bytes_of_a_subject_are_kept() {
        let callers = SessionCallers::default();
        let long = format!("{}é", "s".repeat(255));
        for subject in [&long, &long, &format!("{long}{}", "t".repeat(100_000))] {
            callers.note(&caller(subject));
        }
        let subjects: Vec<_> = callers.known().filter_map(SessionCaller::subject).collect();
        let marked = format!("{}…", "s".repeat(255));
        assert_eq!(subjects, [marked.clone(), marked]);
    }
}
