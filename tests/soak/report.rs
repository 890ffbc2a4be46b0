//! The summary that the test prints.

use crate::journal::{Entry, tally};
use crate::trouble::Window;
use crate::verdict::{MOST_IN_A_SECOND, most_in_a_second};
use crate::world::World;

/// The gateway's memory and descriptors at one moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Size {
    /// Bytes.
    pub(crate) resident: u64,
    pub(crate) descriptors: usize,
}

pub(crate) struct Report<'a> {
    pub(crate) seed: u64,
    /// Milliseconds.
    pub(crate) lasted: u64,
    pub(crate) calls: &'a [Entry],
    pub(crate) windows: &'a [Window],
    pub(crate) world: &'a World,
    pub(crate) before: Size,
    pub(crate) after: Size,
}

impl Report<'_> {
    pub(crate) fn print(&self) {
        let seconds = self.lasted / 1_000;
        println!("\nseed {}, {seconds} s, {} calls", self.seed, self.calls.len());
        section("clients", tally(self.calls.iter().map(|call| call.client)));
        section("what callers saw", tally(self.calls.iter().map(|call| call.outcome.to_string())));
        let fates = self.calls.iter().flat_map(|call| &call.fates);
        let expired = self.world.bed.standin.bedrock.session_refusals();
        let expired = expired.iter().map(|_| "refused an expired session".to_owned());
        section("what Bedrock did", tally(fates.map(|fate| format!("{fate:?}")).chain(expired)));
        section("windows of faults", tally(self.windows.iter().map(|window| format!("{:?}", window.cause))));
        let calls: Vec<_> = self.world.bed.standin.sts.calls().iter().map(|call| call.at).collect();
        let sessions = self.world.bed.standin.credentials.sessions().len() as u64;
        let busiest = most_in_a_second(&calls) as u64;
        let busiest_title = format!("most calls in a second (limit {MOST_IN_A_SECOND})");
        let sts = [
            ("AssumeRole calls", calls.len() as u64),
            ("sessions granted", sessions),
            (busiest_title.as_str(), busiest),
        ];
        section("STS", sts);
        let mebibytes = |size: Size| size.resident >> 20;
        println!("gateway");
        println!("  {:<44} {:>5} to {:>5} MiB", "memory", mebibytes(self.before), mebibytes(self.after));
        println!("  {:<44} {:>5} to {:>5}", "descriptors", self.before.descriptors, self.after.descriptors);
    }
}

fn section<T: std::fmt::Display>(title: &str, counts: impl IntoIterator<Item = (T, u64)>) {
    println!("{title}");
    for (what, count) in counts {
        println!("  {:<44} {count:>8}", what.to_string());
    }
}
