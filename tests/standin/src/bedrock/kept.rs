//! The state that Bedrock keeps between calls: stored responses and asynchronous jobs.
//!
//! They belong to an account in a region, not to the principal that made them. Every principal of the account can
//! read, cancel and delete them.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::page;
use super::refusal::Refusal;
use crate::bill::Call;
use crate::{clock, credentials};

#[derive(Debug, Default)]
pub(super) struct Kept {
    responses: BTreeMap<Key, Value>,
    /// The answers of `GetAsyncInvoke` by ARN, in order of submission.
    jobs: Vec<(Key, Value)>,
}

/// Account, region, id.
type Key = [String; 3];

fn key(call: &Call, id: &str) -> Key {
    [call.account(), &call.region, id].map(str::to_owned)
}

/// The key of the resource in the path.
fn named(call: &Call) -> Key {
    key(call, call.subject.as_deref().unwrap_or_default())
}

impl Kept {
    pub(super) fn store(&mut self, call: &Call, response: Value) {
        let id = response["id"].as_str().unwrap_or_default();
        self.responses.insert(key(call, id), response);
    }

    /// Rejects a previous response that does not exist.
    pub(super) fn check_previous(&self, call: &Call, id: &str) -> Result<(), Refusal> {
        if self.responses.contains_key(&key(call, id)) {
            return Ok(());
        }
        Err(Refusal::no_such_response("Previous response", id))
    }

    pub(super) fn response(&self, call: &Call) -> Result<Value, Refusal> {
        self.responses.get(&named(call)).cloned().ok_or_else(|| not_found(call))
    }

    pub(super) fn cancel(&mut self, call: &Call) -> Result<Value, Refusal> {
        let response = self.responses.get_mut(&named(call)).ok_or_else(|| not_found(call))?;
        response["status"] = json!("cancelled");
        Ok(response.clone())
    }

    pub(super) fn delete(&mut self, call: &Call) -> Result<Value, Refusal> {
        let response = self.responses.remove(&named(call)).ok_or_else(|| not_found(call))?;
        Ok(json!({ "id": response["id"], "object": "response", "deleted": true }))
    }

    pub(super) fn start_job(&mut self, call: &Call, body: &Value) -> Result<Value, Refusal> {
        if !body["modelInput"].is_object()
            || !body["outputDataConfig"]["s3OutputDataConfig"]["s3Uri"].is_string()
        {
            return Err(Refusal::validation("modelInput and outputDataConfig are required"));
        }
        let (region, account) = (&call.region, call.account());
        let id = job_id();
        let arn = format!("arn:aws:bedrock:{region}:{account}:async-invoke/{id}");
        let model = if call.model.starts_with("arn:") {
            call.model.clone()
        } else {
            format!("arn:aws:bedrock:{region}::foundation-model/{}", call.model)
        };
        let submitted = clock::iso8601(call.at);
        let job = json!({
            "invocationArn": arn,
            "modelArn": model,
            "status": "InProgress",
            "submitTime": submitted,
            "lastModifiedTime": submitted,
            "outputDataConfig": body["outputDataConfig"],
        });
        self.jobs.push((key(call, &arn), job));
        Ok(json!({ "invocationArn": arn }))
    }

    pub(super) fn job(&self, call: &Call) -> Result<Value, Refusal> {
        let wanted = named(call);
        let job = self.jobs.iter().find(|(key, _)| *key == wanted);
        job.map(|(_, job)| job.clone())
            .ok_or_else(|| Refusal::not_found("The specified async invocation could not be found."))
    }

    pub(super) fn jobs(&self, call: &Call) -> Result<Value, Refusal> {
        let here = key(call, "");
        let jobs = self.jobs.iter().filter(|(key, _)| key[..2] == here[..2]);
        page::of(call, "asyncInvokeSummaries", jobs.map(|(_, job)| job.clone()).collect())
    }
}

fn not_found(call: &Call) -> Refusal {
    Refusal::no_such_response("Response", call.subject.as_deref().unwrap_or_default())
}

fn job_id() -> String {
    const LETTERS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let random: [u8; 12] = credentials::random();
    random.iter().map(|byte| char::from(LETTERS[usize::from(byte % 32)])).collect()
}
