//! `revoke --list`: the revocations in force at every replica, in one table, and what the replicas do not share.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::SystemTime;

use http::Method;
use serde_json::Value;

use crate::cli::admin::{AdminPort, Answer, not_a_gateway};
use crate::cli::age::distance;
use crate::cli::replicas::print_json;
use crate::cli::table::{self, Column};
use crate::cli::{EXIT_USAGE, principal, print};
use crate::clock;
use crate::config::counted;
use crate::style::legible;

/// The parts that the entries of two replicas share if they are the same entry.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Terms {
    who: String,
    account: String,
    source: String,
    until: String,
    cut_streams: bool,
}

/// One entry, at all replicas that have it.
#[derive(Debug, Default)]
struct Row {
    since: String,
    line: Option<u64>,
    refused: u64,
    replicas: Vec<String>,
}

pub(super) fn list(admin: &AdminPort, json: bool) -> ExitCode {
    let answers = match admin.ask(Method::GET, "/revocations", None) {
        Ok(answers) => answers,
        Err(fault) => {
            eprintln!("error: {fault}");
            return ExitCode::from(EXIT_USAGE);
        }
    };
    if json {
        return print_json(answers);
    }
    let (mut rows, mut replicas, mut failed) = (BTreeMap::new(), Vec::new(), false);
    for Answer { replica, outcome } in answers {
        let entries =
            outcome.and_then(|answer| answer["revocations"].as_array().cloned().ok_or_else(not_a_gateway));
        match entries {
            Ok(entries) => {
                for entry in &entries {
                    add(entry, &replica, &mut rows);
                }
                replicas.push(replica);
            }
            Err(fault) => {
                eprintln!("{replica}: FAILED: {fault}");
                failed = true;
            }
        }
    }
    if !replicas.is_empty() {
        print(&text(&rows, &replicas, clock::now(), table::terminal_width()));
    }
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn add(entry: &Value, replica: &str, rows: &mut BTreeMap<Terms, Row>) {
    let text = |key: &str| entry[key].as_str().map(str::to_owned);
    let (mut account, mut who) = (String::new(), text("expression").unwrap_or_default());
    if let Some(arn) = text("principal") {
        let (its_account, name) = principal::parts(&arn);
        (account, who) = (its_account.to_owned(), name.to_owned());
    }
    if let (Some(issuer), Some(subject)) = (text("issuer"), text("subject")) {
        who = format!("{issuer}: {subject}");
    }
    let terms = Terms {
        who,
        account,
        source: text("source").unwrap_or_default(),
        until: text("until").unwrap_or_default(),
        cut_streams: entry["cut_streams"] == true,
    };
    let row = rows.entry(terms).or_default();
    let since = text("since").unwrap_or_default();
    if row.replicas.is_empty() || since < row.since {
        row.since = since;
    }
    row.line = row.line.or_else(|| entry["line"].as_u64());
    row.refused += entry["requests_refused"].as_u64().unwrap_or_default();
    if row.replicas.last().is_none_or(|last| last != replica) {
        row.replicas.push(replica.to_owned());
    }
}

/// The table, its total, and one line for each entry that not every replica has.
fn text(rows: &BTreeMap<Terms, Row>, replicas: &[String], now: SystemTime, width: Option<usize>) -> String {
    let columns = [
        Column::Flexible("REVOKED"),
        Column::Fixed("SINCE"),
        Column::Fixed("ENDS"),
        Column::Fixed("FROM"),
        Column::Fixed("REFUSED"),
        Column::Optional("STREAMS"),
        Column::Optional("ACCOUNT"),
    ];
    let cells: Vec<Vec<String>> = rows
        .iter()
        .map(|(terms, row)| {
            let ends = match (&*terms.until, &*terms.source) {
                ("", "admin") => "at restart".to_owned(),
                ("", _) => "never".to_owned(),
                (until, _) => format!("in {}", distance(until, now)),
            };
            let from = match row.line {
                Some(line) => format!("line {line}"),
                None => "admin".to_owned(),
            };
            vec![
                terms.who.clone(),
                format!("{} ago", distance(&row.since, now)),
                ends,
                from,
                row.refused.to_string(),
                if terms.cut_streams { "aborted" } else { "kept" }.to_owned(),
                terms.account.clone(),
            ]
        })
        .collect();
    let mut text = if rows.is_empty() { String::new() } else { table::render(&columns, &cells, width) };
    let (entries, at) = (counted(rows.len(), "revocation"), counted(replicas.len(), "replica"));
    text.extend([format!("{entries} at {at}\n")]);
    for (terms, row) in rows {
        let missing: Vec<&str> =
            replicas.iter().filter(|replica| !row.replicas.contains(replica)).map(String::as_str).collect();
        if !missing.is_empty() {
            let who = legible(&terms.who);
            let (at, source) = (missing.join(", "), source(&terms.source));
            text.extend([format!("not at {at}: {who}, from {source}\n")]);
        }
    }
    text
}

fn source(word: &str) -> &str {
    match word {
        "deny_file" => "the deny file",
        "admin" => "the admin port",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn entries_of_several_replicas_are_one_table_and_differences_are_named() {
        let leaver = json!({
            "source": "deny_file", "line": 14, "issuer": "okta", "subject": "00u1abc",
            "since": "2026-11-24T11:00:00Z", "cut_streams": false, "requests_refused": 2,
        });
        let stolen = json!({
            "source": "admin", "principal": "arn:aws:sts::123456789012:assumed-role/BedrockUser/alice@acme.org",
            "since": "2026-11-24T11:59:00Z", "until": "2026-11-26T12:00:00Z", "cut_streams": true,
            "requests_refused": 31,
        });
        let replicas = ["http://10.0.1.7:9091/".to_owned(), "http://10.0.2.9:9091/".to_owned()];
        let mut rows = BTreeMap::new();
        add(&leaver, &replicas[0], &mut rows);
        add(&stolen, &replicas[0], &mut rows);
        add(&leaver, &replicas[1], &mut rows);
        let now = clock::parse_rfc3339("2026-11-24T12:00:00Z").unwrap();
        let text = text(&rows, &replicas, now, Some(80));
        assert_eq!(
            text,
            "REVOKED                     SINCE       ENDS    FROM     REFUSED  STREAMS\n\
             BedrockUser/alice@acme.org  60 s ago    in 2 d  admin    31       aborted\n\
             okta: 00u1abc               60 min ago  never   line 14  4        kept\n\
             2 revocations at 2 replicas\n\
             not at http://10.0.2.9:9091/: BedrockUser/alice@acme.org, from the admin port\n"
        );
        assert!(text.lines().all(|line| line.chars().count() <= 80));
    }
}
