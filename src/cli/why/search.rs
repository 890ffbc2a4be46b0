//! The search for a request in a file of the access log.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use serde_json::{Value, json};

use crate::telemetry::access::begins;

/// The lines that a search found.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Search {
    /// At most two: with two, the id is ambiguous.
    found: Vec<Value>,
    /// The time of the first record in the file.
    since: Option<String>,
    lines: u64,
}

impl Search {
    /// Searches `file`, or standard input if it is `-`.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub(super) fn of(file: &Path, id: &str) -> Result<Self, String> {
        let failed = |error| format!("{} cannot be read: {error}", file.display());
        let source: Box<dyn Read> = if file == Path::new("-") {
            Box::new(std::io::stdin())
        } else {
            Box::new(std::fs::File::open(file).map_err(failed)?)
        };
        Self::within(BufReader::new(source), id).map_err(failed)
    }

    fn within(mut source: impl BufRead, id: &str) -> std::io::Result<Self> {
        let mut search = Self::default();
        let mut line = Vec::new();
        while search.found.len() < 2 && source.read_until(b'\n', &mut line)? > 0 {
            search.lines += 1;
            let has_id = || line.windows(id.len()).any(|part| part.eq_ignore_ascii_case(id.as_bytes()));
            if search.since.is_none() || has_id() {
                search.look_at(&String::from_utf8_lossy(&line), id);
            }
            line.clear();
        }
        Ok(search)
    }

    fn look_at(&mut self, line: &str, id: &str) {
        let Ok(record) = serde_json::from_str::<Value>(line) else { return };
        if !record["request_id"].is_string() {
            return;
        }
        if self.since.is_none() {
            self.since = record["time"].as_str().map(str::to_owned);
        }
        let fits = |name: &str| record[name].as_str().is_some_and(|own| begins(own, id));
        if fits("request_id") || fits("aws_request_id") {
            self.found.push(record);
        }
    }

    /// The story of the request, otherwise the cause for which there is none.
    pub(super) fn outcome(mut self, id: &str, file: &Path) -> Result<Value, String> {
        let file = file.display();
        match (self.found.len(), &self.since) {
            (1, _) => Ok(json!({ "request": self.found.remove(0) })),
            (0, Some(since)) => Err(format!(
                "{file} has no request {id}; it begins at {since}. Search the logs of all replicas, also older ones."
            )),
            (0, None) => Err(format!(
                "none of the {} lines of {file} is an access log line in JSON; set `[log] format = \"json\"`",
                self.lines
            )),
            _ => Err(format!("several requests begin with {id}: write more of the id")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = concat!(
        "{\"timestamp\":\"x\",\"fields\":{\"message\":\"serving\"}}\n",
        "{\"time\":\"2026-11-24T10:00:00.000Z\",\"request_id\":\"aaaaaaaa-1\",\"aws_request_id\":\"Dddddddd-1\"}\n",
        "not JSON, but it contains bbbbbbbb\n",
        "{\"time\":\"2026-11-24T10:00:01.000Z\",\"request_id\":\"bbbbbbbb-1\",\"user_agent\":\"aaaaaaaa\"}\n",
        "{\"time\":\"2026-11-24T10:00:02.000Z\",\"request_id\":\"bbbbbbbb-2\"}",
    );

    fn search(text: &str, id: &str) -> Result<String, String> {
        let search = Search::within(text.as_bytes(), id).unwrap();
        let story = search.outcome(id, Path::new("access.log"))?;
        Ok(story["request"]["request_id"].as_str().unwrap().to_owned())
    }

    #[test]
    fn a_request_is_found_by_either_id() {
        assert_eq!(search(LOG, "aaaaaaaa").as_deref(), Ok("aaaaaaaa-1"));
        assert_eq!(search(LOG, "dddddddd-1").as_deref(), Ok("aaaaaaaa-1"));
        assert_eq!(search(LOG, "DDDDDDDD-1").as_deref(), Ok("aaaaaaaa-1"));
        assert_eq!(search(LOG, "bbbbbbbb-2").as_deref(), Ok("bbbbbbbb-2"));
    }

    #[test]
    fn a_request_that_is_not_found_says_how_far_the_log_reaches() {
        assert!(search(LOG, "bbbbbbbb").unwrap_err().contains("several requests begin with bbbbbbbb"));
        let missing = search(LOG, "cccccccc").unwrap_err();
        assert!(
            missing.contains("access.log has no request cccccccc; it begins at 2026-11-24T10:00:00.000Z")
        );
        assert!(search("a=b\nc=d\n", "cccccccc").unwrap_err().contains("none of the 2 lines of access.log"));
    }
}
