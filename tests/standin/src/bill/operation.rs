//! The operations of Bedrock and the services that have them.

/// A service with its own endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Service {
    /// `bedrock-runtime`: inference.
    Runtime,
    /// `bedrock`: the control plane.
    Control,
    /// `bedrock-mantle`: inference in the formats of `OpenAI` and Anthropic.
    Mantle,
}

impl Service {
    /// The first label of its host name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Runtime => "bedrock-runtime",
            Self::Control => "bedrock",
            Self::Mantle => "bedrock-mantle",
        }
    }

    /// The service name in a signature's scope. The runtime uses the control plane's.
    pub fn signing_name(self) -> &'static str {
        match self {
            Self::Runtime | Self::Control => "bedrock",
            Self::Mantle => "bedrock-mantle",
        }
    }
}

/// An operation. Those that end in `Stream` answer with a stream of events.
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

    /// The last segment of the path for operations of `/model/{id}/…`; the [`name`](Self::name) of any other.
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

    /// The name in AWS's service model, for example `InvokeModel`, or in the other formats, for example `Responses`.
    /// In the other formats the name is the same with and without a stream.
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

    /// Its IAM action. Only few operations have one of their own.
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

    /// Whether a model answers. Only such calls are charged.
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
