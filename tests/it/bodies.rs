//! Bodies that contradict their head: the gateway answers with a typed error and sends nothing to AWS.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::world::World;

/// Writes these bytes, closes the sending side, and reads the whole answer.
async fn raw(world: &World, request: &str) -> String {
    let address = world.gateway.addresses().http.unwrap();
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = Vec::new();
    // The HTTP library resets the connection after an answer to a request that it could not read.
    let _reset = stream.read_to_end(&mut answer).await.is_err();
    String::from_utf8_lossy(&answer).into_owned()
}

fn head(path: &str, token: &str, more: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nhost: gateway\r\nauthorization: Bearer {token}\r\n{more}\r\n\r\n")
}

const CHAT: &str = "/openai/v1/chat/completions";
const MODEL: &str = "/model/m/converse";

#[tokio::test(flavor = "multi_thread")]
async fn an_incomplete_body_or_one_with_a_wrong_length_is_refused() {
    let world = World::start().await;
    let token = world.token("alice");
    for path in [CHAT, MODEL] {
        for (more, body) in [
            ("content-length: 100", r#"{"model":"m"}"#),
            ("transfer-encoding: chunked", "d\r\n{\"model\":\"m\"}\r\n"),
            ("transfer-encoding: chunked", "fff\r\n{\"model\":\"m\"}"),
        ] {
            let lines = world.log.lines().len();
            let answer = raw(&world, &format!("{}{body}", head(path, &token, more))).await;
            // The reset after the refusal may overtake it.
            assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400 "), "{path} {more}: {answer}");
            let line = world.logged(lines + 1).await;
            assert_eq!(line["reason"], "body_broken", "{path} {more}");
        }
    }
    // The length is shorter than the body. The rest must not become a request.
    let short = format!("{}{}", head(CHAT, &token, "content-length: 12"), r#"{"model":"m"}"#);
    let answer = raw(&world, &short).await;
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("invalid_request_error"), "{answer}");
    world.assert_untouched();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_length_that_two_servers_could_read_differently_is_refused() {
    let world = World::start().await;
    let token = world.token("alice");
    let body = r#"{"model":"m"}"#;
    for more in [
        "content-length: 13\r\ncontent-length: 14",
        "content-length: 13, 14",
        "content-length: +13",
        "content-length : 13",
        "transfer-encoding: gzip",
        "transfer-encoding: chunked, identity",
        "content-length: 13\r\n folded: x",
    ] {
        let answer = raw(&world, &format!("{}{body}", head(CHAT, &token, more))).await;
        assert!(answer.starts_with("HTTP/1.1 4") || answer.is_empty(), "{more}: {answer}");
        assert!(!answer.contains("HTTP/1.1 200"), "{more}: {answer}");
    }
    world.assert_untouched();
}
