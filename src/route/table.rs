//! The table of routes. It is closed: the gateway serves no other route.

use super::model::is_legal;
use super::operation::{Operation, Service};
use super::{ModelId, RouteError, target};

/// The place in the request that names the model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ModelIn {
    /// The path.
    Path(ModelId),
    /// This member of the body. The decision then needs other members of the body too.
    Body(&'static str),
    /// None: the operation calls no model.
    None,
}

/// A row of the table.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) operation: Operation,
    pub(super) service: Service,
    pub(super) model_in: ModelIn,
}

/// Finds the row of a method and raw path segments.
pub(super) fn find(method: &str, segments: &[&str]) -> Result<Row, RouteError> {
    use Operation as O;
    let model = ModelIn::Body("model");
    match (method, segments) {
        ("POST", ["model", id, "invoke" | "invoke-with-response-stream"]) => in_path(O::Invoke, id),
        ("POST", ["model", id, "converse" | "converse-stream"]) => in_path(O::Converse, id),
        ("POST", ["model", id, "count-tokens"]) => in_path(O::CountTokens, id),
        ("POST", ["model", _, "invoke-with-bidirectional-stream"]) => Err(RouteError::Bidirectional),
        ("POST", ["guardrail", id, "version", version, "apply"]) => {
            ids(&[id, version])?;
            runtime(O::Guardrail, ModelIn::None)
        }
        ("POST", ["guardrail-checks", "invoke"]) => runtime(O::Guardrail, ModelIn::None),
        ("POST", ["openai", "v1", "chat", "completions"]) => runtime(O::OpenaiChat, model),
        ("POST", ["openai", "v1", "responses"]) => runtime(O::Responses, model),
        ("POST", ["anthropic", "v1", "messages"]) => runtime(O::Messages, model),
        ("POST", ["async-invoke"]) => runtime(O::AsyncStart, ModelIn::Body("modelId")),
        ("GET", ["async-invoke"]) => runtime(O::AsyncList, ModelIn::None),
        ("GET", ["async-invoke", id]) => {
            ids(&[id])?;
            runtime(O::AsyncGet, ModelIn::None)
        }
        ("GET" | "DELETE", ["openai", "v1", "responses", id])
        | ("POST", ["openai", "v1", "responses", id, "cancel"]) => {
            ids(&[id])?;
            runtime(O::ResponsesStored, ModelIn::None)
        }
        ("GET", ["foundation-models" | "inference-profiles"]) => {
            row(O::ListModels, Service::ControlPlane, ModelIn::None)
        }
        ("GET", ["foundation-models" | "foundation-model-availability" | "inference-profiles", id]) => {
            ids(&[id])?;
            row(O::ListModels, Service::ControlPlane, ModelIn::None)
        }
        (_, ["mantle", "openai", rest @ ..]) => mantle(method, rest),
        (_, ["mantle", rest @ ..]) => match rest {
            ["anthropic", "v1", "messages"] | ["anthropic", "v1", "messages", "count_tokens"]
                if method == "POST" =>
            {
                row(O::Mantle, Service::Mantle, model)
            }
            _ => mantle(method, rest),
        },
        _ => Err(unknown(segments)),
    }
}

/// Finds the row of a route of mantle, which serves the same routes under `/v1` and `/openai/v1`, for different models.
// Assumption A23.
fn mantle(method: &str, segments: &[&str]) -> Result<Row, RouteError> {
    let (operation, model_in) = match (method, segments) {
        ("POST", ["v1", "chat", "completions"] | ["v1", "responses"]) => {
            (Operation::Mantle, ModelIn::Body("model"))
        }
        ("GET", ["v1", "models"]) => (Operation::Mantle, ModelIn::None),
        ("GET" | "DELETE", ["v1", "responses", id]) | ("POST", ["v1", "responses", id, "cancel"]) => {
            ids(&[id])?;
            (Operation::ResponsesStored, ModelIn::None)
        }
        _ => return Err(unknown(segments)),
    };
    row(operation, Service::Mantle, model_in)
}

/// The error for segments that no row has. Clients whose base URL lacks a part, or whose method is another one, get
/// the row that ends like their path.
pub(super) fn unknown(segments: &[&str]) -> RouteError {
    let instead = match segments {
        [.., "messages"] => Some("POST /anthropic/v1/messages"),
        [.., "messages", "count_tokens"] => Some("POST /mantle/anthropic/v1/messages/count_tokens"),
        [.., "chat", "completions"] => Some("POST /openai/v1/chat/completions"),
        [.., "responses"] => Some("POST /openai/v1/responses"),
        [.., "v1", "models"] => Some("GET /mantle/v1/models"),
        _ => None,
    };
    RouteError::Unknown { instead }
}

fn in_path(operation: Operation, id: &str) -> Result<Row, RouteError> {
    let model = ModelId::parse(&target::decode(id)?)
        .map_err(|_| RouteError::Malformed("the model id contains an illegal character or is too long"))?;
    runtime(operation, ModelIn::Path(model))
}

/// Checks ids of resources other than models.
fn ids(raw: &[&str]) -> Result<(), RouteError> {
    for raw in raw {
        if !is_legal(&target::decode(raw)?) {
            return Err(RouteError::Malformed("an id contains an illegal character"));
        }
    }
    Ok(())
}

fn runtime(operation: Operation, model_in: ModelIn) -> Result<Row, RouteError> {
    row(operation, Service::Runtime, model_in)
}

#[expect(clippy::unnecessary_wraps, reason = "all rows of the table have the same type")]
fn row(operation: Operation, service: Service, model_in: ModelIn) -> Result<Row, RouteError> {
    Ok(Row { operation, service, model_in })
}
