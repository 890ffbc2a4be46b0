//! `--invoke`: one small call of a model with a canary session. It is the only check that costs money.

use aws_sdk_bedrockruntime::Client;
use aws_sdk_bedrockruntime::config::retry::RetryConfig;
use aws_sdk_bedrockruntime::config::timeout::TimeoutConfig;
use aws_sdk_bedrockruntime::config::{BehaviorVersion, Builder, Region};
use aws_sdk_bedrockruntime::error::ProvideErrorMetadata as _;
use aws_sdk_bedrockruntime::types::{
    ContentBlock, ConversationRole, InferenceConfiguration, Message, TokenUsage,
};

use super::bedrock::{Bedrock, credentials};
use super::models::allows_converse;
use super::{CanarySession, Check};
use crate::causes;
use crate::config::Aws;
use crate::proxy::Proxy;
use crate::route::ModelId;
use crate::sessions::http_client;

/// The most tokens of the answer.
const TOKENS: i32 = 16;
/// The longest wait for the answer.
const LIMIT: std::time::Duration = std::time::Duration::from_secs(60);

pub(super) async fn check(
    bedrock: &Bedrock,
    aws: &Aws,
    canaries: &[CanarySession],
    model: &ModelId,
    note: &mut (dyn FnMut(Check) + Send),
) {
    let name = format!("call of {}", model.as_str());
    let Some(canary) = canaries.iter().find(|canary| allows_converse(canary, model)) else {
        note(Check::fail(
            name,
            "no role rule of the given callers allows converse with this model",
            "pass the claims of a caller whose role allows it, or add it to models and operations",
        ));
        return;
    };
    let region = bedrock.home_of(canary);
    let client = match client(bedrock, aws, canary, region) {
        Ok(client) => client,
        Err(fault) => {
            note(Check::fail(name, fault, "check [aws] in the configuration"));
            return;
        }
    };
    let question = Message::builder()
        .role(ConversationRole::User)
        .content(ContentBlock::Text("Answer with the word ok.".to_owned()))
        .build();
    let call = client
        .converse()
        .model_id(model.as_str())
        .inference_config(InferenceConfiguration::builder().max_tokens(TOKENS).build());
    let call = match question {
        Ok(question) => call.messages(question),
        Err(error) => {
            note(Check::fail(name, error.to_string(), "report this as a bug"));
            return;
        }
    };
    let principal = canary.sample.session.principal();
    note(match call.send().await {
        Ok(answer) => {
            let tokens = answer.usage().map_or(0, TokenUsage::total_tokens);
            Check::ok(name, format!("answered; the bill names {principal} for {tokens} tokens"))
        }
        Err(error) => match error.code() {
            Some(code) => failed(name, code, error.message().unwrap_or_default(), &principal),
            None => Check::fail(name, causes::in_one_line(&error), "check the network, and run doctor again"),
        },
    });
}

fn client(bedrock: &Bedrock, aws: &Aws, canary: &CanarySession, region: &str) -> Result<Client, String> {
    let proxy = Proxy::from_environment().map_err(|error| error.to_string())?;
    let http = http_client(aws.endpoints.ca.as_deref(), &proxy).map_err(|error| error.to_string())?;
    let url = bedrock.runtime_url(region).ok_or_else(|| format!("{region} has no bedrock-runtime"))?;
    let config = Builder::new()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::new(region.to_owned()))
        .endpoint_url(url)
        .credentials_provider(credentials(canary))
        .http_client(http)
        .timeout_config(TimeoutConfig::builder().operation_timeout(LIMIT).build())
        // Each attempt may cost money.
        .retry_config(RetryConfig::disabled());
    Ok(Client::from_conf(config.build()))
}

fn failed(name: String, code: &str, message: &str, principal: &str) -> Check {
    let fix = match code.strip_suffix("Exception").unwrap_or(code) {
        "AccessDenied" => {
            "if the message names the action, add it to the role (bedrock-gateway iam prints the policy); if it \
             speaks of model access, an administrator accepts the model's agreement in Bedrock's console"
        }
        "ResourceNotFound" => {
            "correct the id; a model that has reached its end of life, or an account that did not send the \
             first-use form, gives this answer, too"
        }
        "Validation" if message.contains("on-demand throughput") => {
            "this model needs an inference profile: use its id with a geography before it, for example us. or eu."
        }
        "Throttling" | "ServiceQuotaExceeded" => {
            "raise the quota of the model in Service Quotas, or try again"
        }
        "ExpiredToken" | "UnrecognizedClient" | "InvalidSignature" => "check the clock of this machine",
        _ => "read the message; run doctor again if it speaks of the service itself",
    };
    Check::fail(name, format!("Bedrock refused {principal}: {code}: {message}"), fix)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_its_remedy() {
        for (code, message, remedy) in [
            // anthropics/anthropic-sdk-python#894
            (
                "ValidationException",
                "Invocation of model ID anthropic.claude-3-7-sonnet-20250219-v1:0 with on-demand throughput isn’t \
                 supported. Retry your request with the ID or ARN of an inference profile that contains this model.",
                "inference profile",
            ),
            // langgenius/dify#2829
            (
                "AccessDeniedException",
                "You don't have access to the model with the specified model ID.",
                "agreement",
            ),
            // ministryofjustice/modernisation-platform-environments#18323
            (
                "AccessDeniedException",
                "Model access is denied due to IAM user or service role is not authorized to perform the required \
                 AWS Marketplace actions (aws-marketplace:ViewSubscriptions, aws-marketplace:Subscribe) to enable \
                 access to this model.",
                "administrator",
            ),
            // Made up, as the next one is.
            ("ResourceNotFoundException", "Could not resolve the foundation model", "first-use form"),
            ("ThrottlingException", "Too many requests", "quota"),
        ] {
            let check = failed("call".to_owned(), code, message, "arn:aws:sts::1:assumed-role/R/alice");
            assert!(check.fix.as_deref().is_some_and(|fix| fix.contains(remedy)), "{check:?}");
        }
    }
}
