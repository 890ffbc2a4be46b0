//! Whether the account may use each model: region, entitlement, agreement and authorization
//! (`GetFoundationModelAvailability`).

use serde_json::Value;

use super::bedrock::Bedrock;
use super::signed_call::CallError;
use super::{CanarySession, Check, Findings};
use crate::identity::models::{GEOGRAPHIES, ModelPattern};
use crate::route::{ModelId, Operation};

/// The sentence that every operator should know before a first call seems to work.
const FIFTEEN_MINUTES: &str = "a first call may pass for up to fifteen minutes before the agreement is there";

/// Looks at each model that a role rule names exactly, and at those of `wanted`.
pub(super) async fn check(
    bedrock: &Bedrock,
    canaries: &[CanarySession],
    wanted: &[ModelId],
    findings: &mut Findings,
    note: &mut (dyn FnMut(Check) + Send),
) {
    for canary in canaries {
        let region = bedrock.home_of(canary);
        for model in exact(canary) {
            note(availability(bedrock, canary, region, &model, findings).await);
        }
    }
    for model in wanted {
        // Any session can read it; one whose role rule allows the model is the most useful.
        let canary = canaries.iter().find(|canary| allows(canary, model)).or_else(|| canaries.first());
        if let Some(canary) = canary.filter(|canary| !exact(canary).iter().any(|id| id == model.as_str())) {
            note(availability(bedrock, canary, bedrock.home_of(canary), model.as_str(), findings).await);
        }
    }
}

/// The models that the role rule names without a `*`.
fn exact(canary: &CanarySession) -> Vec<String> {
    let patterns = canary.sample.role.models.iter().flatten().map(ModelPattern::as_str);
    patterns.filter(|text| !text.contains('*') && !text.starts_with("arn:")).map(str::to_owned).collect()
}

/// Whether the role rule allows this call.
pub(super) fn allows_converse(canary: &CanarySession, model: &ModelId) -> bool {
    let operations = canary.sample.role.operations.as_ref();
    operations.is_none_or(|operations| operations.contains(&Operation::Converse)) && allows(canary, model)
}

pub(super) fn allows(canary: &CanarySession, model: &ModelId) -> bool {
    let models = canary.sample.role.models.as_ref();
    models.is_none_or(|patterns| patterns.iter().any(|pattern| pattern.matches(model)))
}

/// The id of the model behind a system inference profile.
fn base(model: &str) -> &str {
    match model.split_once('.') {
        Some((first, rest)) if GEOGRAPHIES.contains(&first) => rest,
        _ => model,
    }
}

async fn availability(
    bedrock: &Bedrock,
    canary: &CanarySession,
    region: &str,
    model: &str,
    findings: &mut Findings,
) -> Check {
    let name = format!("model {model}");
    if model.starts_with("arn:") {
        return Check::skip(name, "AWS tells the availability of its own models only, by their ids");
    }
    let path = format!("/foundation-model-availability/{}", base(model).replace(':', "%3A"));
    match bedrock.get(canary, region, &path).await {
        Ok(answer) => {
            if path.contains("%3A") {
                findings.held("A16", "a path with an escaped colon was accepted");
            }
            read(name, region, &answer)
        }
        Err(error) if error.is_denied() => Check::skip(
            name,
            "the role may not read the availability; allow it bedrock:GetFoundationModelAvailability, or call the \
             model once with --invoke",
        ),
        Err(CallError::Refused { code, message }) if code.starts_with("ResourceNotFound") => Check::fail(
            name,
            format!("Bedrock in {region} does not know it: {message}"),
            "correct the id in models: aws bedrock list-foundation-models shows the ids of a region",
        ),
        Err(error) => Check::warn(
            name,
            format!("its availability is not known: {error}"),
            "run doctor again later, or call the model once with --invoke",
        ),
    }
}

fn read(name: String, region: &str, answer: &Value) -> Check {
    let word = |value: &Value| value.as_str().unwrap_or("missing").to_owned();
    let agreement = word(&answer["agreementAvailability"]["status"]);
    let why = answer["agreementAvailability"]["errorMessage"].as_str();
    let why = why.map_or_else(String::new, |why| format!(" ({why})"));
    let access = "an administrator of the account opens the model in Bedrock's console (model catalog), accepts \
                  its agreement, and for Anthropic sends the first-use form";
    if word(&answer["regionAvailability"]) != "AVAILABLE" {
        return Check::fail(
            name,
            format!("{region} does not have it"),
            "allow an inference profile, for example one that begins with us. or eu., or another region",
        );
    }
    if word(&answer["entitlementAvailability"]) != "AVAILABLE" {
        return Check::fail(name, format!("the account is not entitled to it in {region}"), access);
    }
    match &*agreement {
        "AVAILABLE" => {}
        "PENDING" => {
            return Check::warn(
                name,
                format!("its agreement is pending; {FIFTEEN_MINUTES}"),
                "run doctor again in fifteen minutes",
            );
        }
        other => {
            return Check::fail(
                name,
                format!("the account has no agreement for it: {other}{why}; {FIFTEEN_MINUTES}"),
                access,
            );
        }
    }
    if word(&answer["authorizationStatus"]) != "AUTHORIZED" {
        return Check::fail(name, format!("the account is not authorized to use it in {region}"), access);
    }
    Check::ok(name, format!("available in {region}: agreement, entitlement and authorization"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::doctor::Status;

    /// The members and their words are those of botocore's service model `bedrock`; the error message is made up.
    #[test]
    fn each_obstacle_has_its_own_words() {
        let whole = || {
            json!({
                "agreementAvailability": { "status": "AVAILABLE" },
                "authorizationStatus": "AUTHORIZED",
                "entitlementAvailability": "AVAILABLE",
                "regionAvailability": "AVAILABLE",
            })
        };
        let found = |answer: &Value| {
            let check = read("model x".to_owned(), "us-east-1", answer);
            (check.status, check.message)
        };
        assert_eq!(found(&whole()).0, Status::Ok);
        for (member, value, status, words) in [
            ("regionAvailability", json!("NOT_AVAILABLE"), Status::Fail, "us-east-1 does not have it"),
            ("entitlementAvailability", json!("NOT_AVAILABLE"), Status::Fail, "not entitled"),
            ("authorizationStatus", json!("NOT_AUTHORIZED"), Status::Fail, "not authorized"),
            ("agreementAvailability", json!({ "status": "PENDING" }), Status::Warn, "fifteen minutes"),
            ("agreementAvailability", json!({ "status": "NOT_AVAILABLE" }), Status::Fail, "NOT_AVAILABLE"),
            (
                "agreementAvailability",
                json!({ "status": "ERROR", "errorMessage": "no payment method" }),
                Status::Fail,
                "ERROR (no payment method)",
            ),
            ("regionAvailability", Value::Null, Status::Fail, "does not have it"),
        ] {
            let mut answer = whole();
            answer[member] = value;
            let (found, message) = found(&answer);
            assert_eq!(found, status, "{message}");
            assert!(message.contains(words), "{message}");
        }
    }

    #[test]
    fn a_profile_is_looked_up_by_its_model() {
        assert_eq!(base("us.anthropic.claude-sonnet-4-6-v1:0"), "anthropic.claude-sonnet-4-6-v1:0");
        assert_eq!(base("amazon.nova-lite-v1:0"), "amazon.nova-lite-v1:0");
    }
}
