//! The answers of several replicas in one output.

use std::process::ExitCode;

use serde_json::{Value, json};

use crate::cli::admin::Answer;
use crate::cli::print;

/// Prints the answer of each replica as JSON: its members beside `replica`, or `error`. Fails if a replica failed.
pub(super) fn print_json(answers: Vec<Answer>) -> ExitCode {
    let failed = answers.iter().any(|answer| answer.outcome.is_err());
    let replicas: Vec<Value> = answers
        .into_iter()
        .map(|Answer { replica, outcome }| match outcome {
            Ok(Value::Object(mut members)) => {
                members.insert("replica".to_owned(), replica.into());
                Value::Object(members)
            }
            Ok(other) => json!({ "replica": replica, "answer": other }),
            Err(fault) => json!({ "replica": replica, "error": fault }),
        })
        .collect();
    let printed = print(&format!("{:#}\n", json!({ "replicas": replicas })));
    if failed { ExitCode::FAILURE } else { printed }
}
