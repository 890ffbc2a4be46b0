//! Calls with the AWS SDK, as any application makes them: an endpoint and a bearer token.

use aws_sdk_bedrockruntime::Client;
use aws_sdk_bedrockruntime::config::Token;
use aws_sdk_bedrockruntime::error::{BuildError, SdkError};
use aws_sdk_bedrockruntime::operation::converse::{ConverseError, ConverseOutput};
use aws_sdk_bedrockruntime::primitives::Blob;
use aws_sdk_bedrockruntime::types::{
    ContentBlock, ContentBlockDelta, ConversationRole, ConverseStreamOutput, Message, ResponseStream,
};
use bedrock_bed::Bed;
use serde_json::Value;

use crate::Outcome;

/// A call of Bedrock that an application can make.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Call {
    Converse,
    ConverseStream,
    InvokeModel,
    InvokeModelWithResponseStream,
}

impl Call {
    pub(crate) const ALL: [Self; 4] =
        [Self::Converse, Self::ConverseStream, Self::InvokeModel, Self::InvokeModelWithResponseStream];

    /// Its name in AWS's API.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Converse => "Converse",
            Self::ConverseStream => "ConverseStream",
            Self::InvokeModel => "InvokeModel",
            Self::InvokeModelWithResponseStream => "InvokeModelWithResponseStream",
        }
    }

    /// Asks the model, and returns its whole answer.
    pub(crate) async fn make(self, client: &Client, model: &str, text: &str) -> Outcome<String> {
        match self {
            Self::Converse => converse(client, model, text).await,
            Self::ConverseStream => converse_stream(client, model, text).await,
            Self::InvokeModel => invoke(client, model, text).await,
            Self::InvokeModelWithResponseStream => invoke_stream(client, model, text).await,
        }
    }
}

/// The AWS SDK with an endpoint and a bearer token.
pub(crate) fn client(bed: &Bed, endpoint: &str, token: &str) -> Client {
    let settings = bedrock_bed::sdk(endpoint, bed.sdk_connections());
    Client::from_conf(settings.bearer_token(Token::new(token, None)).build())
}

/// Calls Converse. The error is the SDK's own.
pub(crate) async fn ask(
    client: &Client,
    model: &str,
    text: &str,
) -> Result<ConverseOutput, SdkError<ConverseError>> {
    let message = says(text).map_err(SdkError::construction_failure)?;
    client.converse().model_id(model).messages(message).send().await
}

async fn converse(client: &Client, model: &str, text: &str) -> Outcome<String> {
    let answer = ask(client, model, text).await?;
    let message = answer.output().and_then(|output| output.as_message().ok()).ok_or("no message")?;
    Ok(message.content().iter().filter_map(|block| block.as_text().ok()).cloned().collect())
}

async fn converse_stream(client: &Client, model: &str, text: &str) -> Outcome<String> {
    let mut stream = client.converse_stream().model_id(model).messages(says(text)?).send().await?.stream;
    let mut said = String::new();
    while let Some(event) = stream.recv().await? {
        if let ConverseStreamOutput::ContentBlockDelta(event) = event
            && let Some(ContentBlockDelta::Text(text)) = event.delta
        {
            said.push_str(&text);
        }
    }
    Ok(said)
}

async fn invoke(client: &Client, model: &str, text: &str) -> Outcome<String> {
    let call = client.invoke_model().model_id(model).content_type("application/json").body(body(text));
    let answer: Value = serde_json::from_slice(call.send().await?.body().as_ref())?;
    Ok(answer["content"][0]["text"].as_str().unwrap_or_default().to_owned())
}

async fn invoke_stream(client: &Client, model: &str, text: &str) -> Outcome<String> {
    let call = client.invoke_model_with_response_stream().model_id(model);
    let mut stream = call.content_type("application/json").body(body(text)).send().await?.body;
    let mut said = String::new();
    while let Some(event) = stream.recv().await? {
        if let ResponseStream::Chunk(chunk) = event {
            let chunk: Value = serde_json::from_slice(chunk.bytes().map_or(&[][..], AsRef::as_ref))?;
            said.push_str(chunk["delta"]["text"].as_str().unwrap_or_default());
        }
    }
    Ok(said)
}

fn says(text: &str) -> Result<Message, BuildError> {
    let message = Message::builder().role(ConversationRole::User);
    message.content(ContentBlock::Text(text.to_owned())).build()
}

/// The request of Claude's own format.
fn body(text: &str) -> Blob {
    let body = serde_json::json!({
        "anthropic_version": "bedrock-2023-05-31",
        "max_tokens": 100,
        "messages": [{ "role": "user", "content": text }],
    });
    Blob::new(body.to_string())
}
