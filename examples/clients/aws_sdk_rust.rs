//! aws-sdk-bedrockruntime, with a token provider. The SDK asks it for a new token before the present one expires.

use std::time::{Duration, SystemTime};

use aws_credential_types::provider::{error::TokenError, future, token};
use aws_sdk_bedrockruntime::config::{Builder, ProvideToken, Token};
use aws_sdk_bedrockruntime::types::{ContentBlock, ConversationRole, Message};
use aws_sdk_bedrockruntime::{Client, Error};

/// Calls `print`, which returns a fresh token of the caller.
pub struct Tokens<P>(pub P);

impl<P> std::fmt::Debug for Tokens<P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tokens")
    }
}

impl<P: Fn() -> std::io::Result<(String, Duration)> + Send + Sync> ProvideToken for Tokens<P> {
    fn provide_token<'a>(&'a self) -> future::ProvideToken<'a>
    where
        Self: 'a,
    {
        let token: token::Result = (self.0)()
            .map(|(token, lifetime)| Token::new(token, Some(SystemTime::now() + lifetime)))
            .map_err(TokenError::provider_error);
        future::ProvideToken::ready(token)
    }
}

/// A client of the gateway: `settings` have a region, and the gateway's address as endpoint.
pub fn client(settings: Builder, tokens: impl ProvideToken + 'static) -> Client {
    Client::from_conf(settings.token_provider(tokens).build())
}

/// Asks a model one question.
pub async fn ask(client: &Client) -> Result<String, Error> {
    let question = ContentBlock::Text("Who pays for this?".to_owned());
    let question = Message::builder().role(ConversationRole::User).content(question).build()?;
    let model = "us.anthropic.claude-sonnet-4-6-v1:0";
    let answer = client.converse().model_id(model).messages(question).send().await?;
    let message = answer.output().and_then(|output| output.as_message().ok());
    let blocks = message.map(Message::content).unwrap_or_default();
    Ok(blocks.iter().filter_map(|block| block.as_text().ok()).cloned().collect())
}
