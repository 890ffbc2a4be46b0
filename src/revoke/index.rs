//! Finds the entries that can match a caller without looking at all of them: a deny file may have 100,000, and each
//! caller's first request after a change is checked against it.

use std::hash::BuildHasher as _;
use std::sync::Arc;

use foldhash::quality::RandomState;

use super::{Entry, Selector};
use crate::auth::Verified;
use crate::identity::Identity;

/// The places of the entries of one list.
#[derive(Debug, Default)]
pub(super) struct Index {
    hasher: RandomState,
    /// The entries that name a subject or a principal, by its hash, in ascending order.
    named: Vec<(u64, usize)>,
    /// The entries that are expressions. Any of them can match any caller.
    expressions: Vec<usize>,
}

impl Index {
    pub(super) fn of(entries: &[Arc<Entry>]) -> Self {
        let mut index = Self::default();
        for (place, entry) in entries.iter().enumerate() {
            match &entry.selector {
                Selector::Subject { issuer, subject } => {
                    index.named.push((index.of_subject(issuer, subject), place));
                }
                Selector::Principal(principal) => index.named.push((index.of_principal(principal), place)),
                Selector::Claims(_) => index.expressions.push(place),
            }
        }
        index.named.sort_unstable();
        index
    }

    /// The places of the entries that are expressions.
    pub(super) fn expressions(&self) -> impl Iterator<Item = usize> {
        self.expressions.iter().copied()
    }

    /// The places of the entries that can match the caller, in ascending order: all entries that do match, and few
    /// others.
    pub(super) fn candidates(&self, caller: &Verified, identity: &Identity) -> Vec<usize> {
        let subject = caller.subject().map(|subject| self.of_subject(caller.issuer(), subject));
        let mut places = self.expressions.clone();
        for hash in subject.into_iter().chain([self.of_principal(identity.principal())]) {
            let begin = self.named.partition_point(|(known, _)| *known < hash);
            let equal = self.named.iter().skip(begin).take_while(|(known, _)| *known == hash);
            places.extend(equal.map(|(_, place)| place));
        }
        places.sort_unstable();
        places
    }

    fn of_subject(&self, issuer: &str, subject: &str) -> u64 {
        self.hasher.hash_one((issuer, subject))
    }

    fn of_principal(&self, principal: &str) -> u64 {
        self.hasher.hash_one(principal)
    }
}
