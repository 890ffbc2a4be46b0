//! The report for docs/ASSUMPTIONS.md: which facts about AWS and identity providers this run has settled. It has no
//! names, accounts, ARNs or tokens, so that it can be published.

use std::collections::BTreeMap;
use std::fmt::Write as _;

/// The numbers of the ids of docs/ASSUMPTIONS.md, which have no gap.
const IDS: std::ops::RangeInclusive<u32> = 1..=50;

/// The outcome for one fact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// It was as assumed.
    Held,
    /// It was not as assumed.
    Failed,
}

/// The facts that were tried, by id.
#[derive(Debug, Default)]
pub struct Findings(BTreeMap<&'static str, (Outcome, &'static str)>);

impl Findings {
    /// Notes that a fact was as assumed, and how this was seen. It never replaces a failure.
    pub(super) fn held(&mut self, id: &'static str, how: &'static str) {
        self.0.entry(id).or_insert((Outcome::Held, how));
    }

    /// Notes that a fact was not as assumed.
    pub(super) fn failed(&mut self, id: &'static str, how: &'static str) {
        self.0.insert(id, (Outcome::Failed, how));
    }

    /// The report in Markdown: one row for each id.
    pub fn markdown(&self) -> String {
        let mut text = format!(
            "# Assumptions tried by `bedrock-gateway doctor` {}\n\n\
             The ids are those of docs/ASSUMPTIONS.md. A fact that held in one run may need more to be settled: its \
             row there says how.\n\n\
             | Id | Outcome | Seen by |\n|---|---|---|\n",
            crate::version::VERSION_AND_COMMIT
        );
        for id in IDS.map(|number| format!("A{number}")) {
            let (outcome, how) = match self.0.get(id.as_str()) {
                Some((Outcome::Held, how)) => ("held", *how),
                Some((Outcome::Failed, how)) => ("failed", *how),
                None => ("not tried", ""),
            };
            // Writing to a string cannot fail.
            let _written = writeln!(text, "| {id} | {outcome} | {how} |").is_ok();
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_id_has_one_row_and_a_failure_stays() {
        let mut findings = Findings::default();
        findings.held("A16", "seen");
        findings.failed("A44", "a provider is new");
        findings.held("A44", "seen");
        let text = findings.markdown();
        assert_eq!(text.lines().filter(|line| line.starts_with("| A")).count(), IDS.count());
        for row in ["| A16 | held | seen |", "| A44 | failed | a provider is new |", "| A1 | not tried |  |"]
        {
            assert!(text.lines().any(|line| line == row), "{text}");
        }
    }
}
