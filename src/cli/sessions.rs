//! `sessions`: the cached sessions of every replica, in one table.

use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;
use std::time::SystemTime;

use clap::Args;
use http::Method;
use serde_json::Value;
use url::form_urlencoded;

use crate::cli::admin::{AdminPort, Answer, not_a_gateway};
use crate::cli::age::distance;
use crate::cli::replicas::print_json;
use crate::cli::table::{self, Column};
use crate::cli::{EXIT_USAGE, principal, print};
use crate::clock;
use crate::config::counted;

/// The most sessions that a replica lists at once.
const PAGE: &str = "10000";

#[derive(Debug, Args)]
#[command(mut_arg("admin", |admin| admin.required(true)))]
pub(super) struct Sessions {
    #[command(flatten)]
    admin: AdminPort,
    /// List only these principals. `*` matches any text; a text without it is found anywhere in the ARN.
    #[arg(long, value_name = "GLOB")]
    principal: Option<String>,
    /// Print what each replica answered, as JSON.
    #[arg(long)]
    json: bool,
}

/// The sessions of one principal, at all replicas.
#[derive(Default)]
struct Row {
    callers: BTreeSet<String>,
    sessions: usize,
    last_used: String,
    expires: String,
    granted: String,
    tags: String,
    access_key_id: String,
}

pub(super) fn run(arguments: &Sessions) -> ExitCode {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair("limit", PAGE);
    if let Some(text) = &arguments.principal {
        let glob = if text.contains('*') { text.clone() } else { format!("*{text}*") };
        query.append_pair("principal", &glob);
    }
    let path = format!("/sessions?{}", query.finish());
    let answers = match arguments.admin.ask(Method::GET, &path, None) {
        Ok(answers) => answers,
        Err(fault) => {
            eprintln!("error: {fault}");
            return ExitCode::from(EXIT_USAGE);
        }
    };
    if arguments.json {
        return print_json(answers);
    }
    let (mut rows, mut answered, mut failed) = (BTreeMap::new(), 0, false);
    for Answer { replica, outcome } in &answers {
        let listed = outcome.as_ref().map_err(Clone::clone).and_then(|answer| {
            let listed = answer["sessions"].as_array().ok_or_else(not_a_gateway)?;
            Ok((listed, answer["note"].as_str()))
        });
        match listed {
            Ok((listed, note)) => {
                answered += 1;
                for session in listed {
                    add(session, &mut rows);
                }
                if note.is_some() {
                    eprintln!(
                        "{replica}: only the {} sessions that were used last; narrow the list with --principal",
                        listed.len()
                    );
                }
            }
            Err(fault) => {
                eprintln!("{replica}: FAILED: {fault}");
                failed = true;
            }
        }
    }
    if answered > 0 {
        print(&table(&rows, answered, clock::now(), table::terminal_width()));
    }
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// Adds a session to the row of its principal. The session that was used last gives the row its details.
fn add(session: &Value, rows: &mut BTreeMap<String, Row>) {
    let text = |key: &str| session[key].as_str().unwrap_or_default().to_owned();
    let row = rows.entry(text("principal")).or_default();
    row.sessions += 1;
    for caller in session["callers"].as_array().into_iter().flatten() {
        let part = |key: &str| caller[key].as_str().unwrap_or("?").to_owned();
        row.callers.insert(format!("{}: {}", part("issuer"), part("subject")));
    }
    if session["more_callers"] == true {
        row.callers.insert("…".to_owned());
    }
    row.expires = text("expires").max(std::mem::take(&mut row.expires));
    if text("last_used") >= row.last_used {
        row.last_used = text("last_used");
        row.granted = text("granted");
        row.access_key_id = text("access_key_id");
        let tags = session["tags"].as_object().into_iter().flatten();
        let tags = tags.map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()));
        row.tags = tags.collect::<Vec<_>>().join(" ");
    }
}

fn table(rows: &BTreeMap<String, Row>, replicas: usize, now: SystemTime, width: Option<usize>) -> String {
    let mut columns = vec![
        Column::Flexible("PRINCIPAL"),
        Column::Flexible("CALLER"),
        Column::Fixed("USED"),
        Column::Fixed("EXPIRES"),
    ];
    if replicas > 1 {
        columns.push(Column::Fixed("SESSIONS"));
    }
    columns.extend(["TAGS", "ACCOUNT", "GRANTED", "ACCESS KEY ID"].map(Column::Optional));
    let mut ordered: Vec<_> = rows.iter().collect();
    ordered.sort_by(|(_, one), (_, other)| other.last_used.cmp(&one.last_used));
    let cells: Vec<Vec<String>> = ordered
        .into_iter()
        .map(|(arn, row)| {
            let (account, name) = principal::parts(arn);
            let mut cells = vec![
                name.to_owned(),
                row.callers.iter().cloned().collect::<Vec<_>>().join(", "),
                format!("{} ago", distance(&row.last_used, now)),
                format!("in {}", distance(&row.expires, now)),
            ];
            if replicas > 1 {
                cells.push(row.sessions.to_string());
            }
            let granted = format!("{} ago", distance(&row.granted, now));
            cells.extend([row.tags.clone(), account.to_owned(), granted, row.access_key_id.clone()]);
            cells
        })
        .collect();
    let sessions = rows.values().map(|row| row.sessions).sum();
    let total = format!(
        "{}, {} at {}\n",
        counted(rows.len(), "principal"),
        counted(sessions, "session"),
        counted(replicas, "replica")
    );
    if rows.is_empty() { total } else { table::render(&columns, &cells, width) + &total }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn session(name: &str, subjects: &[&str], used: &str) -> Value {
        let callers: Vec<_> =
            subjects.iter().map(|subject| json!({ "issuer": "okta", "subject": subject })).collect();
        json!({
            "principal": format!("arn:aws:sts::123456789012:assumed-role/BedrockUser/{name}"),
            "callers": callers,
            "more_callers": subjects.len() > 1,
            "tags": { "team": "search", "cost_center": "4711" },
            "access_key_id": "ASIAEXAMPLE",
            "granted": "2026-11-24T11:00:00Z",
            "last_used": used,
            "expires": "2026-11-24T12:45:00Z",
        })
    }

    #[test]
    fn sessions_of_several_replicas_are_one_table_of_eighty_columns() {
        let mut rows = BTreeMap::new();
        for session in [
            session("alice@acme.org", &["00u1abcdefghijklmnop"], "2026-11-24T11:59:57Z"),
            session("ci", &["repo:acme/search:ref:refs/heads/main", "repo:acme/ads"], "2026-11-24T11:30:00Z"),
            session("alice@acme.org", &["00u1abcdefghijklmnop"], "2026-11-24T10:00:00Z"),
        ] {
            add(&session, &mut rows);
        }
        let now = clock::parse_rfc3339("2026-11-24T12:00:00Z").unwrap();
        assert_eq!(
            table(&rows, 2, now, Some(80)),
            "PRINCIPAL                   CALLER               USED        EXPIRES    SESSIONS\n\
             BedrockUser/alice@acme.org  okta: 00u…hijklmnop  3 s ago     in 45 min  2\n\
             BedrockUser/ci              okta: rep…s/main, …  30 min ago  in 45 min  1\n\
             2 principals, 3 sessions at 2 replicas\n"
        );
    }
}
