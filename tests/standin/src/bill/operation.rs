//! What can be asked of Bedrock, and where.

/// A service with an endpoint of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Service {
    /// `bedrock-runtime`: inference.
    Runtime,
    /// `bedrock`: the control plane.
    Control,
    /// `bedrock-mantle`: inference in the formats of others.
    Mantle,
}

impl Service {
    /// The first label of its host.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Runtime => "bedrock-runtime",
            Self::Control => "bedrock",
            Self::Mantle => "bedrock-mantle",
        }
    }

    /// In a signature's scope: the runtime goes by the control plane's.
    pub fn signing_name(self) -> &'static str {
        match self {
            Self::Runtime | Self::Control => "bedrock",
            Self::Mantle => "bedrock-mantle",
        }
    }
}

/// What can be asked for. Those that end in `Stream` are answered in a stream of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    Invoke,
    InvokeStream,
    Converse,
    ConverseStream,
    ChatCompletions,
    ChatCompletionsStream,
    Responses,
    ResponsesStream,
    Messages,
    MessagesStream,
    CountTokens,
    ApplyGuardrail,
    InvokeGuardrailChecks,
    StartAsyncInvoke,
    GetAsyncInvoke,
    ListAsyncInvokes,
    GetResponse,
    DeleteResponse,
    CancelResponse,
    ListModels,
    ListFoundationModels,
    GetFoundationModel,
    GetFoundationModelAvailability,
    ListInferenceProfiles,
    GetInferenceProfile,
}

impl Operation {
    const OF_MODELS: [Self; 4] = [Self::Invoke, Self::InvokeStream, Self::Converse, Self::ConverseStream];

    /// The last segment of its path for those of `/model/{id}/…`, the [`name`](Self::name) of others.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Invoke => "invoke",
            Self::InvokeStream => "invoke-with-response-stream",
            Self::Converse => "converse",
            Self::ConverseStream => "converse-stream",
            Self::CountTokens => "count-tokens",
            other => other.name(),
        }
    }

    /// As AWS's service models call it, or as the formats of others do: `InvokeModel`, `Responses`. The
    /// latter go by the same name whether they stream or not.
    pub fn name(self) -> &'static str {
        match self {
            Self::Invoke => "InvokeModel",
            Self::InvokeStream => "InvokeModelWithResponseStream",
            Self::Converse => "Converse",
            Self::ConverseStream => "ConverseStream",
            Self::ChatCompletions | Self::ChatCompletionsStream => "ChatCompletions",
            Self::Responses | Self::ResponsesStream => "Responses",
            Self::Messages | Self::MessagesStream => "Messages",
            Self::CountTokens => "CountTokens",
            Self::ApplyGuardrail => "ApplyGuardrail",
            Self::InvokeGuardrailChecks => "InvokeGuardrailChecks",
            Self::StartAsyncInvoke => "StartAsyncInvoke",
            Self::GetAsyncInvoke => "GetAsyncInvoke",
            Self::ListAsyncInvokes => "ListAsyncInvokes",
            Self::GetResponse => "GetResponse",
            Self::DeleteResponse => "DeleteResponse",
            Self::CancelResponse => "CancelResponse",
            Self::ListModels => "ListModels",
            Self::ListFoundationModels => "ListFoundationModels",
            Self::GetFoundationModel => "GetFoundationModel",
            Self::GetFoundationModelAvailability => "GetFoundationModelAvailability",
            Self::ListInferenceProfiles => "ListInferenceProfiles",
            Self::GetInferenceProfile => "GetInferenceProfile",
        }
    }

    pub(crate) fn from_segment(segment: &str) -> Option<Self> {
        Self::OF_MODELS.into_iter().find(|operation| operation.as_str() == segment)
    }

    /// The action that IAM knows it by: few operations have one of their own.
    pub(crate) fn iam_action(self, service: Service) -> String {
        let action = match (service, self) {
            (Service::Mantle, Self::GetResponse) => "GetInference",
            (Service::Mantle, Self::DeleteResponse) => "DeleteInference",
            (Service::Mantle, Self::CancelResponse) => "CancelInference",
            (_, Self::GetResponse) => "GetInvoke",
            (_, Self::DeleteResponse) => "DeleteInvoke",
            (_, Self::CancelResponse) => "CancelInvoke",
            (Service::Mantle, operation) if operation.infers() => "CreateInference",
            (_, Self::InvokeStream | Self::ConverseStream) => "InvokeModelWithResponseStream",
            (_, Self::StartAsyncInvoke) => "InvokeModel",
            (_, operation) if operation.infers() => "InvokeModel",
            (_, operation) => operation.name(),
        };
        format!("{}:{action}", service.signing_name())
    }

    /// Whether a model answers, which is what costs.
    pub fn infers(self) -> bool {
        self <= Self::MessagesStream
    }

    pub fn streams(self) -> bool {
        matches!(
            self,
            Self::InvokeStream
                | Self::ConverseStream
                | Self::ChatCompletionsStream
                | Self::ResponsesStream
                | Self::MessagesStream
        )
    }
}
