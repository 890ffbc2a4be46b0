//! The AWS SDK for Rust, without its retries, as one of the clients.

use aws_sdk_bedrockruntime::Client;
use aws_sdk_bedrockruntime::config::{SharedHttpClient, Token};
use aws_sdk_bedrockruntime::error::SdkError;
use aws_sdk_bedrockruntime::types::{
    ContentBlock, ContentBlockDelta, ConversationRole, ConverseStreamOutput, Message,
};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;

use crate::journal::Outcome;
use crate::said;
use crate::world::World;

const SONNET: &str = "us.anthropic.claude-sonnet-4-6-v1:0";

pub(crate) fn client(world: &World, connections: SharedHttpClient, token: &str) -> Client {
    let config = bedrock_bed::sdk(format!("https://{}", world.address), connections);
    Client::from_conf(config.bearer_token(Token::new(token, None)).build())
}

pub(crate) async fn converse(client: &Client, prompt: &str) -> Outcome {
    match client.converse().model_id(SONNET).messages(says(prompt)).send().await {
        Ok(answer) => {
            let message = answer.output().and_then(|output| output.as_message().ok());
            let blocks = message.map(Message::content).unwrap_or_default();
            let text: String = blocks.iter().filter_map(|block| block.as_text().ok()).cloned().collect();
            said::judged(&text, prompt)
        }
        Err(error) => failed(&error),
    }
}

pub(crate) async fn converse_stream(client: &Client, prompt: &str) -> Outcome {
    let sent = client.converse_stream().model_id(SONNET).messages(says(prompt)).send().await;
    let mut stream = match sent {
        Ok(answer) => answer.stream,
        Err(error) => return failed(&error),
    };
    let (mut text, mut ended) = (String::new(), false);
    loop {
        match stream.recv().await {
            Ok(Some(ConverseStreamOutput::ContentBlockDelta(event))) => {
                if let Some(ContentBlockDelta::Text(more)) = event.delta {
                    text.push_str(&more);
                }
            }
            Ok(Some(ConverseStreamOutput::Metadata(_))) => ended = true,
            Ok(Some(_)) => {}
            Ok(None) if ended => return said::judged(&text, prompt),
            Err(SdkError::ServiceError(_)) => return Outcome::Exception,
            Ok(None) | Err(_) => return Outcome::Broken,
        }
    }
}

fn says(prompt: &str) -> Message {
    let content = ContentBlock::Text(prompt.to_owned());
    Message::builder().role(ConversationRole::User).content(content).build().unwrap()
}

fn failed<E>(error: &SdkError<E, HttpResponse>) -> Outcome {
    match error {
        SdkError::ServiceError(error) => {
            let raw = error.raw();
            let headers = raw.headers().iter().filter_map(|(name, value)| {
                Some((http::HeaderName::try_from(name).ok()?, http::HeaderValue::try_from(value).ok()?))
            });
            said::error(raw.status().as_u16(), &headers.collect(), raw.body().bytes().unwrap_or_default())
        }
        SdkError::ResponseError(_) | SdkError::DispatchFailure(_) => Outcome::Broken,
        _ => Outcome::Wrong("the SDK gave up".into()),
    }
}
