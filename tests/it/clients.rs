//! The unmodified AWS SDK for Rust over TLS with a bearer token, and a client that uses h2c.

use aws_sdk_bedrockruntime::Client;
use aws_sdk_bedrockruntime::primitives::Blob;
use aws_sdk_bedrockruntime::types::{
    ContentBlock, ContentBlockDelta, ConversationRole, ConverseStreamOutput, Message, ResponseStream,
};

use crate::world::{ARN, CONVERSE, CONVERSE_STREAM, HELLO, MODEL, World, post, read};

pub(crate) fn says(text: &str) -> Message {
    Message::builder()
        .role(ConversationRole::User)
        .content(ContentBlock::Text(text.to_owned()))
        .build()
        .unwrap()
}

fn claude(text: &str) -> Blob {
    let body = serde_json::json!({
        "anthropic_version": "bedrock-2023-05-31",
        "max_tokens": 100,
        "messages": [{ "role": "user", "content": text }],
    });
    Blob::new(body.to_string())
}

async fn converse(client: &Client, model: &str, text: &str) -> String {
    let answer = client.converse().model_id(model).messages(says(text)).send().await.unwrap();
    let message = answer.output().unwrap().as_message().unwrap();
    message.content().iter().filter_map(|block| block.as_text().ok()).cloned().collect()
}

async fn converse_stream(client: &Client, model: &str, text: &str) -> String {
    let mut stream =
        client.converse_stream().model_id(model).messages(says(text)).send().await.unwrap().stream;
    let mut said = String::new();
    while let Some(event) = stream.recv().await.unwrap() {
        if let ConverseStreamOutput::ContentBlockDelta(event) = event
            && let Some(ContentBlockDelta::Text(text)) = event.delta
        {
            said.push_str(&text);
        }
    }
    said
}

async fn invoke(client: &Client, model: &str, text: &str) -> String {
    let answer = client.invoke_model().model_id(model).body(claude(text)).send().await.unwrap();
    let answer: serde_json::Value = serde_json::from_slice(answer.body().as_ref()).unwrap();
    answer["content"][0]["text"].as_str().unwrap().to_owned()
}

async fn invoke_stream(client: &Client, model: &str, text: &str) -> String {
    let call = client.invoke_model_with_response_stream().model_id(model).body(claude(text));
    let mut stream = call.send().await.unwrap().body;
    let mut said = String::new();
    while let Some(event) = stream.recv().await.unwrap() {
        if let ResponseStream::Chunk(chunk) = event {
            let chunk: serde_json::Value = serde_json::from_slice(chunk.bytes().unwrap().as_ref()).unwrap();
            said.push_str(chunk["delta"]["text"].as_str().unwrap_or(""));
        }
    }
    said
}

#[tokio::test(flavor = "multi_thread")]
async fn the_four_calls_with_an_id_and_with_an_arn_are_signed_as_their_users() {
    let world = World::start().await;
    for user in ["alice", "bob"] {
        let client = world.sdk(&world.token(user));
        let text = format!("I am {user}");
        for model in [MODEL, ARN] {
            assert!(converse(&client, model, &text).await.contains(&text));
            assert!(converse_stream(&client, model, &text).await.contains(&text));
            assert!(invoke(&client, model, &text).await.contains(&text));
            assert!(invoke_stream(&client, model, &text).await.contains(&text));
        }
    }
    let calls = world.standin.bill.calls();
    assert_eq!(calls.len(), 16);
    for call in &calls {
        let user = if String::from_utf8_lossy(&call.body).contains("I am alice") { "alice" } else { "bob" };
        assert_eq!(
            call.principal,
            format!("arn:aws:sts::123456789012:assumed-role/BedrockUser/{user}@acme.org")
        );
        assert_eq!(call.tags["team"], "search");
    }
    assert_eq!(world.standin.sts.calls().len(), 2, "one AssumeRole per user");
}

/// An SDK that can only sign sends the token as session token. The gateway discards the SDK's signature.
#[tokio::test(flavor = "multi_thread")]
async fn an_sdk_can_sign_with_placeholders_and_the_token_as_session_token() {
    let world = World::start().await;
    for user in ["alice", "bob"] {
        let client = world.signing_sdk(&world.token(user));
        let text = format!("I am {user}");
        assert!(converse(&client, MODEL, &text).await.contains(&text));
        assert!(converse_stream(&client, ARN, &text).await.contains(&text));
        assert!(invoke(&client, ARN, &text).await.contains(&text));
        assert!(invoke_stream(&client, MODEL, &text).await.contains(&text));
    }
    let calls = world.standin.bill.calls();
    assert_eq!(calls.len(), 8);
    for call in &calls {
        let user = if String::from_utf8_lossy(&call.body).contains("I am alice") { "alice" } else { "bob" };
        assert!(call.principal.ends_with(&format!("/BedrockUser/{user}@acme.org")), "{}", call.principal);
    }
    let forged = world.token("alice").replace('.', "x.");
    world.secret(&forged);
    let call = world.signing_sdk(&forged).converse().model_id(MODEL).messages(says("hello")).send().await;
    let error = aws_sdk_bedrockruntime::Error::from(call.unwrap_err());
    assert!(format!("{error:?}").contains("UnrecognizedClientException"), "{error:?}");
    assert_eq!(world.standin.bill.calls().len(), 8);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_path_selects_the_region_of_the_signature() {
    let world = World::start().await;
    let client = world.sdk_at(&format!("{}/us-west-2", world.https()), &world.token("alice"));
    converse(&client, MODEL, "hello").await;
    let home = world.sdk(&world.token("alice"));
    converse(&home, MODEL, "hello").await;
    let regions: Vec<String> = world.standin.bill.calls().into_iter().map(|call| call.region).collect();
    assert_eq!(regions, ["us-west-2", "us-east-1"]);
    assert_eq!(world.standin.sts.calls().len(), 1, "a session serves every region");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_can_use_h2c_with_prior_knowledge() {
    let world = World::start().await;
    let token = world.token("alice");
    let answer = read(world.open_h2c(post(CONVERSE, &token, HELLO)).await).await;
    assert_eq!(answer.status, 200);
    assert!(answer.json()["usage"]["inputTokens"].as_u64().unwrap() > 0);
    let stream = read(world.open_h2c(post(CONVERSE_STREAM, &token, HELLO)).await).await;
    assert_eq!(stream.headers["content-type"], "application/vnd.amazon.eventstream");
    assert!(!stream.body.is_empty());
    assert_eq!(world.logged(2).await["protocol"], "h2c");
}
