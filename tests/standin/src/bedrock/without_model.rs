//! Answers that need no model. The stand-in does not charge them.

use serde_json::{Value, json};

use super::catalogue;
use super::prompt::Prompt;
use super::refusal::Refusal;
use super::state::State;
use crate::bill::{Call, Operation, Service};

impl State {
    pub(super) fn answer_without_model(&self, call: &Call) -> Result<Value, Refusal> {
        use Operation as O;

        match call.operation {
            O::CountTokens => count(call),
            O::ApplyGuardrail => apply_guardrail(call),
            O::InvokeGuardrailChecks => body(call).map(|_| json!({ "results": [] })),
            O::StartAsyncInvoke => {
                if call.model.is_empty() {
                    return Err(Refusal::validation("modelId: Field required"));
                }
                self.kept().start_job(call, &body(call)?)
            }
            O::GetAsyncInvoke => self.kept().job(call),
            O::ListAsyncInvokes => self.kept().jobs(call),
            O::GetResponse => self.kept().response(call),
            O::DeleteResponse => self.kept().delete(call),
            O::CancelResponse => self.kept().cancel(call),
            O::ListModels => Ok(catalogue::mantle_models(call)),
            O::ListFoundationModels => Ok(catalogue::models(call)),
            O::GetFoundationModel => catalogue::model_details(call),
            O::GetFoundationModelAvailability => catalogue::availability(call, &self.settings().availability),
            O::ListInferenceProfiles => catalogue::profiles(call),
            O::GetInferenceProfile => catalogue::profile_details(call),
            _ => Err(Refusal::unknown_operation()),
        }
    }

    /// Rejects a response in the background of the runtime, and one whose previous response does not exist.
    pub(super) fn check_response(&self, call: &Call) -> Result<(), Refusal> {
        let body = body(call)?;
        if call.service == Service::Runtime && body["background"] == true {
            return Err(Refusal::validation("background: not supported"));
        }
        match body["previous_response_id"].as_str() {
            Some(id) => self.kept().check_previous(call, id),
            None => Ok(()),
        }
    }
}

fn body(call: &Call) -> Result<Value, Refusal> {
    serde_json::from_slice(&call.body).map_err(|_| Refusal::validation("The body is not JSON."))
}

fn count(call: &Call) -> Result<Value, Refusal> {
    let tokens = Prompt::to_count(call)?.tokens();
    let name = if call.service == Service::Mantle { "input_tokens" } else { "inputTokens" };
    Ok(json!({ name: tokens }))
}

fn apply_guardrail(call: &Call) -> Result<Value, Refusal> {
    let body = body(call)?;
    if !body["source"].is_string() || !body["content"].is_array() {
        return Err(Refusal::validation("source and content are required"));
    }
    Ok(json!({
        "usage": {
            "topicPolicyUnits": 1,
            "contentPolicyUnits": 1,
            "wordPolicyUnits": 1,
            "sensitiveInformationPolicyUnits": 1,
            "sensitiveInformationPolicyFreeUnits": 1,
            "contextualGroundingPolicyUnits": 0,
        },
        "action": "NONE",
        "outputs": [],
        "assessments": [],
    }))
}
