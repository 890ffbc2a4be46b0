//! The operations that a role may allow, and the IAM actions that each needs.

use std::str::FromStr;

/// An operation that a role may allow. `operations` in the configuration lists them by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    /// `InvokeModel` and `InvokeModelWithResponseStream`.
    Invoke,
    /// `Converse` and `ConverseStream`.
    Converse,
    /// `CountTokens`.
    CountTokens,
    /// `ApplyGuardrail` and `InvokeGuardrailChecks`.
    Guardrail,
    /// Chat completions as OpenAI's clients call them.
    OpenaiChat,
    /// Responses as OpenAI's clients create them.
    Responses,
    /// Messages as Anthropic's clients create them.
    Messages,
    /// Lists and descriptions of foundation models and inference profiles.
    ListModels,
    /// Inference by `bedrock-mantle`: chat completions, responses, messages, and the list of its models.
    Mantle,
    /// `StartAsyncInvoke`.
    AsyncStart,
    /// `GetAsyncInvoke`, for any job of the account.
    AsyncGet,
    /// `ListAsyncInvokes`, for all jobs of the account.
    AsyncList,
    /// Getting, cancelling, deleting and continuing responses that the account stores.
    ResponsesStored,
}

/// One of Bedrock's services, each with its own host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Service {
    Runtime,
    ControlPlane,
    Mantle,
}

impl Service {
    pub const ALL: [Self; 3] = [Self::Runtime, Self::ControlPlane, Self::Mantle];

    /// The service name in the scope of the signature.
    // Assumption A15.
    pub fn signing_name(self) -> &'static str {
        match self {
            Self::Runtime | Self::ControlPlane => "bedrock",
            Self::Mantle => "bedrock-mantle",
        }
    }
}

impl Operation {
    /// All operations, in the order of the documentation.
    // Assumption A3.
    pub const ALL: [Self; 13] = [
        Self::Invoke,
        Self::Converse,
        Self::CountTokens,
        Self::Guardrail,
        Self::OpenaiChat,
        Self::Responses,
        Self::Messages,
        Self::ListModels,
        Self::Mantle,
        Self::AsyncStart,
        Self::AsyncGet,
        Self::AsyncList,
        Self::ResponsesStored,
    ];

    /// The name in configuration, logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Invoke => "invoke",
            Self::Converse => "converse",
            Self::CountTokens => "count-tokens",
            Self::Guardrail => "guardrail",
            Self::OpenaiChat => "openai-chat",
            Self::Responses => "responses",
            Self::Messages => "messages",
            Self::ListModels => "list-models",
            Self::Mantle => "mantle",
            Self::AsyncStart => "async-start",
            Self::AsyncGet => "async-get",
            Self::AsyncList => "async-list",
            Self::ResponsesStored => "responses-stored",
        }
    }

    /// Whether the operation reaches data that Bedrock stores for all users of an account. Only a role that names such an
    /// operation allows it, because its callers can read the stored data of all users.
    // Assumption A24.
    pub fn is_shared(self) -> bool {
        matches!(self, Self::AsyncGet | Self::AsyncList | Self::ResponsesStored)
    }

    /// The IAM actions that the caller's role needs for the operation. Sources: Service Authorization Reference, Amazon
    /// Bedrock and Bedrock Mantle; user guide, pages on inference, responses and chat completions. AWS's managed policy
    /// for mantle allows `Get*`, which would include `GetInference`: that reads what other users stored.
    // Assumption A25.
    pub fn iam_actions(self) -> &'static [&'static str] {
        match self {
            Self::Invoke | Self::Converse | Self::OpenaiChat | Self::Responses | Self::Messages => {
                &["bedrock:InvokeModel", "bedrock:InvokeModelWithResponseStream"]
            }
            Self::CountTokens => &["bedrock:CountTokens"],
            Self::Guardrail => &["bedrock:ApplyGuardrail", "bedrock:InvokeGuardrailChecks"],
            Self::ListModels => &[
                "bedrock:ListFoundationModels",
                "bedrock:GetFoundationModel",
                "bedrock:GetFoundationModelAvailability",
                "bedrock:ListInferenceProfiles",
                "bedrock:GetInferenceProfile",
            ],
            Self::Mantle => &[
                "bedrock-mantle:CreateInference",
                "bedrock-mantle:CountTokens",
                "bedrock-mantle:GetModel",
                "bedrock-mantle:GetProject",
                "bedrock-mantle:ListModels",
                "bedrock-mantle:ListProjects",
            ],
            Self::AsyncStart => &["bedrock:InvokeModel"],
            Self::AsyncGet => &["bedrock:GetAsyncInvoke"],
            Self::AsyncList => &["bedrock:ListAsyncInvokes"],
            Self::ResponsesStored => &[
                "bedrock:GetInvoke",
                "bedrock:CancelInvoke",
                "bedrock:DeleteInvoke",
                "bedrock-mantle:GetInference",
                "bedrock-mantle:CancelInference",
                "bedrock-mantle:DeleteInference",
            ],
        }
    }
}

/// The error for a name that is not an operation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no operation of this name")]
pub struct UnknownOperation;

impl FromStr for Operation {
    type Err = UnknownOperation;

    fn from_str(name: &str) -> Result<Self, UnknownOperation> {
        Self::ALL.into_iter().find(|operation| operation.as_str() == name).ok_or(UnknownOperation)
    }
}
