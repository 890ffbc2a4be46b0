//! The models and inference profiles that the control plane and mantle's list describe.
//!
//! Lists contain only a few. A request for one id finds every id except `unknown.…`.

use serde_json::{Map, Value, json};

use super::page::{self, parameter};
use super::refusal::Refusal;
use crate::bill::Call;
use crate::clock;

/// The listed models: id, provider and name.
const MODELS: [(&str, &str, &str); 5] = [
    ("anthropic.claude-sonnet-4-6-v1:0", "Anthropic", "Claude Sonnet 4.6"),
    ("anthropic.claude-opus-4-6-v1", "Anthropic", "Claude Opus 4.6"),
    ("anthropic.claude-haiku-4-5-20251001-v1:0", "Anthropic", "Claude Haiku 4.5"),
    ("amazon.nova-2-lite-v1:0", "Amazon", "Nova 2 Lite"),
    ("openai.gpt-oss-120b-1:0", "OpenAI", "gpt-oss-120b"),
];

/// The models that mantle lists.
const MANTLE_MODELS: [&str; 3] =
    ["anthropic.claude-opus-4-8", "anthropic.claude-sonnet-4-6", "openai.gpt-oss-120b"];

/// The regions to which the system-defined profiles send calls.
const SCOPES: [&str; 2] = ["us", "global"];

const UNKNOWN: &str = "unknown.";

pub(super) fn models(call: &Call) -> Value {
    let wanted = parameter(call, "byProvider");
    let models = MODELS.iter().filter(|(_, provider, _)| {
        wanted.as_ref().is_none_or(|wanted| wanted.eq_ignore_ascii_case(provider))
    });
    let summaries: Vec<_> = models.map(|(id, provider, name)| model(call, id, provider, name)).collect();
    json!({ "modelSummaries": summaries })
}

pub(super) fn model_details(call: &Call) -> Result<Value, Refusal> {
    let id = known(call)?;
    let found = MODELS.iter().find(|(known, ..)| *known == id);
    let provider = id.split('.').next().unwrap_or_default();
    let (_, provider, name) = found.copied().unwrap_or((id, provider, id));
    Ok(json!({ "modelDetails": model(call, id, provider, name) }))
}

pub(super) fn availability(call: &Call, other: &Map<String, Value>) -> Result<Value, Refusal> {
    let mut answer = json!({
        "modelId": known(call)?,
        "agreementAvailability": { "status": "AVAILABLE" },
        "authorizationStatus": "AUTHORIZED",
        "entitlementAvailability": "AVAILABLE",
        "regionAvailability": "AVAILABLE",
    });
    for (member, value) in other {
        answer[member] = value.clone();
    }
    Ok(answer)
}

pub(super) fn profiles(call: &Call) -> Result<Value, Refusal> {
    let ids = SCOPES.iter().flat_map(|scope| MODELS.iter().map(move |(id, ..)| format!("{scope}.{id}")));
    let items = match parameter(call, "type").as_deref() {
        None | Some("SYSTEM_DEFINED") => ids.map(|id| profile(call, &id)).collect(),
        Some("APPLICATION") => Vec::new(),
        Some(_) => return Err(Refusal::validation("type must be SYSTEM_DEFINED or APPLICATION")),
    };
    page::of(call, "inferenceProfileSummaries", items)
}

/// A system-defined profile, or an application profile if its ARN is given.
pub(super) fn profile_details(call: &Call) -> Result<Value, Refusal> {
    let id = known(call)?;
    let subject = call.subject.as_deref().unwrap_or_default();
    let mut profile = profile(call, id);
    if subject.contains(":application-inference-profile/") {
        profile["type"] = json!("APPLICATION");
        profile["inferenceProfileArn"] = json!(subject);
        profile["models"] = json!([{ "modelArn": model_arn(call, MODELS[0].0) }]);
    }
    Ok(profile)
}

pub(super) fn mantle_models(call: &Call) -> Value {
    let created = clock::unix_seconds(call.at);
    let models = MANTLE_MODELS.map(|id| {
        let owner = id.split('.').next().unwrap_or_default();
        json!({ "id": id, "object": "model", "created": created, "owned_by": owner })
    });
    json!({ "object": "list", "data": models })
}

/// The id in the path, or at the end of the ARN in the path.
fn known(call: &Call) -> Result<&str, Refusal> {
    let subject = call.subject.as_deref().unwrap_or_default();
    let id = subject.rsplit('/').next().unwrap_or_default();
    if id.is_empty() || id.starts_with(UNKNOWN) {
        return Err(Refusal::not_found("The provided model identifier or profile could not be found."));
    }
    Ok(id)
}

fn model_arn(call: &Call, id: &str) -> String {
    format!("arn:aws:bedrock:{}::foundation-model/{id}", call.region)
}

fn model(call: &Call, id: &str, provider: &str, name: &str) -> Value {
    json!({
        "modelArn": model_arn(call, id),
        "modelId": id,
        "modelName": name,
        "providerName": provider,
        "inputModalities": ["TEXT"],
        "outputModalities": ["TEXT"],
        "responseStreamingSupported": true,
        "customizationsSupported": [],
        "inferenceTypesSupported": ["ON_DEMAND"],
        "modelLifecycle": { "status": "ACTIVE" },
    })
}

fn profile(call: &Call, id: &str) -> Value {
    let (region, account) = (&call.region, call.account());
    let model = id.split_once('.').map_or(id, |(_, model)| model);
    let time = clock::iso8601(call.at);
    json!({
        "inferenceProfileId": id,
        "inferenceProfileName": id,
        "description": "Routes requests to several regions.",
        "inferenceProfileArn": format!("arn:aws:bedrock:{region}:{account}:inference-profile/{id}"),
        "models": [{ "modelArn": model_arn(call, model) }],
        "status": "ACTIVE",
        "type": "SYSTEM_DEFINED",
        "createdAt": time,
        "updatedAt": time,
    })
}
