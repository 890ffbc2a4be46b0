//! The operation of a request, from service, method, path and body.

use http::Method;
use http::request::Parts;
use percent_encoding::percent_decode_str;
use serde_json::Value;

use super::refusal::Refusal;
use crate::bill::{Operation, Service};

/// The limit in AWS's service model.
const MAX_MODEL_ID_CHARS: usize = 2048;

/// The operation, its model, and any other resource in the path.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) operation: Operation,
    pub(super) model: String,
    pub(super) subject: Option<String>,
}

impl Target {
    fn of(operation: Operation) -> Self {
        Self { operation, model: String::new(), subject: None }
    }

    fn about(operation: Operation, segment: &str) -> Self {
        Self { subject: Some(decoded(segment)), ..Self::of(operation) }
    }

    /// The operation with the model in a member of the body. If there is none, the request must be rejected later.
    fn in_body(operation: Operation, body: &Value, member: &str) -> Self {
        let model = body[member].as_str().unwrap_or_default().to_owned();
        Self { model, ..Self::of(operation) }
    }

    pub(super) fn read(service: Service, head: &Parts, body: &[u8]) -> Result<Self, Refusal> {
        let path = head.uri.path().strip_prefix('/').unwrap_or_default();
        let segments: Vec<_> = path.split('/').collect();
        let target = match service {
            Service::Runtime => runtime(&head.method, &segments, body),
            Service::Control => control(&head.method, &segments),
            Service::Mantle => mantle(&head.method, &segments, body),
        };
        let target = target.ok_or_else(Refusal::unknown_operation)?;
        check_model(&target, segments.first() == Some(&"model"))?;
        Ok(target)
    }
}

fn runtime(method: &Method, segments: &[&str], body: &[u8]) -> Option<Target> {
    use Operation as O;

    Some(match (method.as_str(), segments) {
        ("POST", ["model", model, operation]) => {
            let counts = (*operation == O::CountTokens.as_str()).then_some(O::CountTokens);
            let operation = counts.or_else(|| O::from_segment(operation))?;
            Target { model: decoded(model), ..Target::of(operation) }
        }
        ("POST", ["guardrail", id, "version", _, "apply"]) => Target::about(O::ApplyGuardrail, id),
        ("POST", ["guardrail-checks", "invoke"]) => Target::of(O::InvokeGuardrailChecks),
        ("POST", ["async-invoke"]) => Target::in_body(O::StartAsyncInvoke, &json(body), "modelId"),
        ("GET", ["async-invoke"]) => Target::of(O::ListAsyncInvokes),
        ("GET", ["async-invoke", arn]) => Target::about(O::GetAsyncInvoke, arn),
        (_, ["openai", "v1", rest @ ..]) => openai(method, rest, body)?,
        ("POST", ["anthropic", "v1", "messages"]) => messages(body),
        _ => return None,
    })
}

fn control(method: &Method, segments: &[&str]) -> Option<Target> {
    use Operation as O;

    if method != Method::GET {
        return None;
    }
    Some(match segments {
        ["foundation-models"] => Target::of(O::ListFoundationModels),
        ["foundation-models", id] => Target::about(O::GetFoundationModel, id),
        ["foundation-model-availability", id] => Target::about(O::GetFoundationModelAvailability, id),
        ["inference-profiles"] => Target::of(O::ListInferenceProfiles),
        ["inference-profiles", id] => Target::about(O::GetInferenceProfile, id),
        _ => return None,
    })
}

fn mantle(method: &Method, segments: &[&str], body: &[u8]) -> Option<Target> {
    match (method.as_str(), segments) {
        ("GET", ["v1", "models"] | ["openai", "v1", "models"]) => Some(Target::of(Operation::ListModels)),
        (_, ["v1", rest @ ..] | ["openai", "v1", rest @ ..]) => openai(method, rest, body),
        ("POST", ["anthropic", "v1", "messages"]) => Some(messages(body)),
        ("POST", ["anthropic", "v1", "messages", "count_tokens"]) => {
            Some(Target::in_body(Operation::CountTokens, &json(body), "model"))
        }
        _ => None,
    }
}

/// Routes the path after `/v1/` in `OpenAI`'s interface, except for the list of models.
fn openai(method: &Method, segments: &[&str], body: &[u8]) -> Option<Target> {
    use Operation as O;

    Some(match (method.as_str(), segments) {
        ("POST", ["chat", "completions"]) => inference(O::ChatCompletions, O::ChatCompletionsStream, body),
        ("POST", ["responses"]) => inference(O::Responses, O::ResponsesStream, body),
        ("GET", ["responses", id]) => Target::about(O::GetResponse, id),
        ("DELETE", ["responses", id]) => Target::about(O::DeleteResponse, id),
        ("POST", ["responses", id, "cancel"]) => Target::about(O::CancelResponse, id),
        _ => return None,
    })
}

fn messages(body: &[u8]) -> Target {
    inference(Operation::Messages, Operation::MessagesStream, body)
}

/// `streamed` if the body's `stream` is true, otherwise `whole`.
fn inference(whole: Operation, streamed: Operation, body: &[u8]) -> Target {
    let body = json(body);
    let operation = if body["stream"] == true { streamed } else { whole };
    Target::in_body(operation, &body, "model")
}

/// The parsed body, or `null` if it is not JSON. The operation reports an invalid body later.
fn json(body: &[u8]) -> Value {
    serde_json::from_slice(body).unwrap_or_default()
}

fn decoded(segment: &str) -> String {
    percent_decode_str(segment).decode_utf8_lossy().into_owned()
}

fn check_model(target: &Target, in_path: bool) -> Result<(), Refusal> {
    let model = &target.model;
    let legal = |c: char| c.is_ascii_alphanumeric() || "-._:/".contains(c);
    let missing = in_path && model.is_empty();
    if missing || model.len() > MAX_MODEL_ID_CHARS || !model.chars().all(legal) {
        return Err(Refusal::validation("The provided model identifier is invalid."));
    }
    Ok(())
}
