//! `why`: tells the story of one request, from the admin port of the replicas or from a file of the access log.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use http::Method;
use serde_json::Value;

use crate::cli::admin::{AdminPort, not_a_gateway};
use crate::cli::why::search::Search;
use crate::cli::{EXIT_USAGE, print};
use crate::telemetry::access::SHORTEST_ID;

mod page;
mod remedy;
mod search;
mod story;

#[derive(Debug, Args)]
pub(super) struct Why {
    /// The request id that the caller got, or Bedrock's own id. Its first eight characters are enough.
    #[arg(value_name = "REQUEST-ID", value_parser = request_id)]
    id: String,
    #[command(flatten)]
    replicas: AdminPort,
    /// A file of the access log in JSON, or - for standard input, instead of a replica.
    #[arg(long, value_name = "FILE", conflicts_with = "admin", required_unless_present = "admin")]
    log: Option<PathBuf>,
    /// Print one JSON object: the access log's fields, the steps of the mapping, and the remedy.
    #[arg(long)]
    json: bool,
}

/// The id in what a caller reports: the id alone, or a message that ends with it. Searches ignore the case: the
/// gateway's ids are in lower case, Bedrock's may be in either, and a user may have typed one.
fn request_id(text: &str) -> Result<String, String> {
    let id = text.rsplit("Request id:").next().unwrap_or(text).trim().trim_end_matches('.');
    let is_legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if id.len() < SHORTEST_ID || !id.chars().all(is_legal) {
        let example = "0ad596fd-64a6-4665-9002-b4023b6dfc95";
        return Err(format!(
            "write the request id, or at least its first {SHORTEST_ID} characters, such as {example}"
        ));
    }
    Ok(id.to_owned())
}

pub(super) fn run(arguments: &Why) -> ExitCode {
    let found = match &arguments.log {
        Some(file) => Search::of(file, &arguments.id).map(|search| search.outcome(&arguments.id, file)),
        None => ask(&arguments.replicas, &arguments.id),
    };
    match found {
        Ok(Ok(story)) if arguments.json => print(&format!("{:#}\n", remedy::added_to(story))),
        Ok(Ok(story)) => print(&story::of(&story)),
        Ok(Err(fault)) => {
            eprintln!("error: {fault}");
            ExitCode::FAILURE
        }
        Err(fault) => {
            eprintln!("error: {fault}");
            ExitCode::from(EXIT_USAGE)
        }
    }
}

/// The story that one replica knows. The outer error is one of the arguments.
fn ask(replicas: &AdminPort, id: &str) -> Result<Result<Value, String>, String> {
    let answers = replicas.ask(Method::GET, &format!("/requests/{id}"), None)?;
    let mut faults = Vec::new();
    for answer in answers {
        match answer.outcome {
            Ok(story) if story["request"].is_object() => return Ok(Ok(story)),
            Ok(_) => faults.push(format!("{}: {}", answer.replica, not_a_gateway())),
            Err(fault) => faults.push(format!("{}: {fault}", answer.replica)),
        }
    }
    let advice = "ask every replica: repeat --admin; for an older request, use --log with the access log";
    Ok(Err(format!("request {id} was not found\n  {}\n{advice}", faults.join("\n  "))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_accepted_as_callers_report_it() {
        let id = "0ad596fd-64a6-4665-9002-b4023b6dfc95";
        for text in [
            id.to_owned(),
            id.to_uppercase(),
            format!(" {id}\n"),
            format!("Access denied: no role matches your token. Request id: {id}"),
            format!("Request id: {id}."),
        ] {
            let found = request_id(&text).unwrap();
            assert!(found.eq_ignore_ascii_case(id), "{text}: {found}");
        }
        assert!(request_id("0ad596fd").is_ok());
        for text in ["", "0ad596f", "../sessions", "0ad596fd/..", "0ad596fd?x", "a message without one"] {
            assert!(request_id(text).is_err(), "{text}");
        }
    }
}
