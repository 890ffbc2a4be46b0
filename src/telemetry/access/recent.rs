//! The last requests of this process, for the question why one of them ended as it did.
//!
//! A request keeps the JSON line that it has built for the log anyway, so it costs one short lock and no allocation.
//! The records of 10,000 requests take about 12 MB.

use std::collections::VecDeque;

use parking_lot::Mutex;

use super::AccessRecord;

/// The number of records.
pub const MOST_RECENT: usize = 10_000;
/// The most records of requests that never reached Bedrock: refusals and probes, which every client can cause.
const MOST_UNSENT: usize = MOST_RECENT / 2;
/// The most bytes of either kind. A line has about 1 KiB; one with 50 long tags has more.
const MOST_BYTES: usize = 16 << 20;
/// The fewest characters of an id to search for.
pub const SHORTEST_ID: usize = 8;

/// The beginning of an id. It is the same for all ids that begin with one text of [`SHORTEST_ID`] characters.
type Start = [u8; SHORTEST_ID];

/// The records of recent requests, oldest first.
#[derive(Debug, Default)]
pub(super) struct Recent(Mutex<Kinds>);

#[derive(Debug, Default)]
struct Kinds {
    /// Requests that the gateway sent to Bedrock.
    sent: Lines,
    unsent: Lines,
}

#[derive(Debug, Default)]
struct Lines {
    lines: VecDeque<Line>,
    bytes: usize,
}

#[derive(Debug)]
struct Line {
    /// The gateway's id and Bedrock's. They are here so that a search does not touch every line.
    starts: [Start; 2],
    json: String,
}

/// The result of a search.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The records as JSON, at most two: with two, the id is ambiguous.
    pub lines: Vec<String>,
    /// The time of the oldest record (RFC 3339); `None` if there is none.
    pub since: Option<String>,
}

impl Recent {
    /// Keeps `json`, the line of `record`, and drops the oldest line if there are too many.
    pub(super) fn keep(&self, record: &AccessRecord<'_>, json: String) {
        let starts = [start(record.request_id), record.aws_request_id.map_or([0; SHORTEST_ID], start)];
        let line = Line { starts, json };
        let mut kinds = self.0.lock();
        let dropped = kinds.keep(line, record.upstream_attempts > 0);
        // Memory is freed without the lock.
        drop(kinds);
        drop(dropped);
    }

    pub(super) fn find(&self, id: &str) -> Found {
        let kinds = self.0.lock();
        let wanted = start(id);
        let all = kinds.sent.lines.iter().chain(&kinds.unsent.lines);
        let fits =
            all.filter(|line| line.starts.contains(&wanted) && ids(&line.json).any(|own| begins(own, id)));
        let lines = fits.take(2).map(|line| line.json.clone()).collect();
        let oldest =
            [&kinds.sent, &kinds.unsent].map(|kind| kind.lines.front().and_then(|line| time(&line.json)));
        let since = oldest.into_iter().flatten().min().map(str::to_owned);
        Found { lines, since }
    }
}

impl Kinds {
    fn keep(&mut self, line: Line, was_sent: bool) -> Option<Line> {
        let dropped = if !was_sent && self.unsent.lines.len() == MOST_UNSENT {
            self.unsent.pop()
        } else if self.sent.lines.len() + self.unsent.lines.len() == MOST_RECENT {
            self.sent.pop()
        } else {
            None
        };
        let lines = if was_sent { &mut self.sent } else { &mut self.unsent };
        lines.bytes += line.json.capacity();
        lines.lines.push_back(line);
        while lines.bytes > MOST_BYTES {
            drop(lines.pop());
        }
        dropped
    }
}

impl Lines {
    fn pop(&mut self) -> Option<Line> {
        let oldest = self.lines.pop_front()?;
        self.bytes -= oldest.json.capacity();
        Some(oldest)
    }
}

/// The first bytes of an id, in lower case. A shorter id matches nothing.
fn start(id: &str) -> Start {
    let mut start: Start = id.as_bytes().first_chunk().copied().unwrap_or_default();
    start.make_ascii_lowercase();
    start
}

/// Whether `own` begins with `id`, in upper or lower case.
pub fn begins(own: &str, id: &str) -> bool {
    own.get(..id.len()).is_some_and(|beginning| beginning.eq_ignore_ascii_case(id))
}

/// The ids at the beginning of a line: `{"time":"…","request_id":"…","aws_request_id":"…"`.
fn ids(json: &str) -> impl Iterator<Item = &str> {
    let mut parts = json.split('"').skip(7);
    let own = parts.next();
    let next = parts.nth(1);
    let aws = if next == Some("aws_request_id") { parts.nth(1) } else { None };
    own.into_iter().chain(aws)
}

fn time(json: &str) -> Option<&str> {
    json.split('"').nth(3)
}

#[cfg(test)]
mod tests {
    use super::super::tests::record;
    use super::*;

    fn keep(recent: &Recent, id: &str, aws: Option<&str>, attempts: u32) {
        let record =
            AccessRecord { request_id: id, aws_request_id: aws, upstream_attempts: attempts, ..record() };
        recent.keep(&record, record.json());
    }

    fn id(number: usize) -> String {
        format!("{number:08x}-0000-4000-8000-000000000000")
    }

    fn count(recent: &Recent, id: &str) -> usize {
        recent.find(id).lines.len()
    }

    #[test]
    fn a_request_is_found_by_both_ids_and_by_their_beginnings() {
        let recent = Recent::default();
        assert_eq!(recent.find("00000001"), Found { lines: vec![], since: None });
        keep(&recent, &id(1), Some("feedbeef-0000"), 1);
        keep(&recent, &id(2), None, 0);
        let found = recent.find("feedbeef");
        assert!(found.lines[0].contains(&id(1)), "{found:?}");
        assert_eq!(found.since.as_deref(), Some("2027-01-15T08:00:00.007Z"));
        assert_eq!((count(&recent, "00000001"), count(&recent, &id(2))), (1, 1));
        assert_eq!((count(&recent, "00000003"), count(&recent, "00000001-1")), (0, 0));
        keep(&recent, "00000001-ffff", None, 0);
        assert_eq!((count(&recent, "00000001"), count(&recent, "00000001-f")), (2, 1));
        // The gateway's ids are in lower case, Bedrock's may be in either.
        keep(&recent, &id(4), Some("AbCdEf_0-1111"), 1);
        assert_eq!(
            (count(&recent, "FEEDBEEF-0"), count(&recent, "abcdef_0"), count(&recent, "AbCdEf_0-1")),
            (1, 1, 1)
        );
        // A text that a client chose is not an id.
        assert_eq!(count(&recent, "aws-sdk\u{1b}"), 0);
    }

    #[test]
    fn a_flood_of_refusals_does_not_push_out_the_requests_that_reached_bedrock() {
        let recent = Recent::default();
        (0..MOST_RECENT).for_each(|number| keep(&recent, &id(number), None, 1));
        (0..2 * MOST_RECENT).for_each(|number| keep(&recent, &id(MOST_RECENT + number), None, 0));
        let kinds = recent.0.lock();
        assert_eq!(
            (kinds.sent.lines.len(), kinds.unsent.lines.len()),
            (MOST_RECENT - MOST_UNSENT, MOST_UNSENT)
        );
        drop(kinds);
        assert_eq!((count(&recent, &id(MOST_RECENT - 1)), count(&recent, &id(0))), (1, 0));
        // Requests that reached Bedrock do not push out the refusals either.
        (0..2 * MOST_RECENT).for_each(|number| keep(&recent, &id(4 * MOST_RECENT + number), None, 1));
        assert_eq!(count(&recent, &id(3 * MOST_RECENT - 1)), 1);
    }

    #[test]
    fn large_records_do_not_take_more_memory() {
        let recent = Recent::default();
        let long = "x".repeat(64 << 10);
        let record = AccessRecord { detail: Some(&long), upstream_attempts: 1, ..record() };
        (0..1_000).for_each(|_| recent.keep(&record, record.json()));
        let kinds = recent.0.lock();
        assert!(kinds.sent.bytes <= MOST_BYTES && kinds.sent.lines.len() > 100, "{}", kinds.sent.bytes);
    }
}
