//! Streams: the gateway passes each frame on at once, reports a broken stream, and ends a call when the client leaves.

use std::time::Duration;

use aws_smithy_eventstream::frame::{DecodedFrame, MessageFrameDecoder};
use bedrock_bed::within;
use bedrock_standin::bedrock::Fault;
use bytes::BytesMut;
use http_body_util::BodyExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::world::{CONVERSE, CONVERSE_STREAM, HELLO, Setup, World, post, read};

/// The types of all frames in `bytes`, which must be complete.
fn frame_types(bytes: &[u8]) -> Vec<String> {
    let mut buffer = BytesMut::from(bytes);
    let mut decoder = MessageFrameDecoder::new();
    let mut types = Vec::new();
    while !buffer.is_empty() {
        let DecodedFrame::Complete(message) = decoder.decode_frame(&mut buffer).unwrap() else {
            panic!("an incomplete frame");
        };
        let kind = message.headers().iter().find(|header| {
            header.name().as_str().ends_with("-type")
                && !header.name().as_str().contains("content")
                && !header.name().as_str().contains("message")
        });
        types.push(kind.unwrap().value().as_string().unwrap().as_str().to_owned());
    }
    types
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_frame_arrives_before_bedrock_sends_the_second() {
    let world = World::start().await;
    let token = world.token("alice");
    world.standin.bedrock.hold();
    for h2 in [false, true] {
        let sent = world.standin.bedrock.frames_sent();
        let request = post(CONVERSE_STREAM, &token, HELLO);
        let mut answer = if h2 { world.open_h2c(request).await } else { world.open(request).await };
        for frame in 1..=3 {
            world.standin.bedrock.release(1);
            let data = answer.body_mut().frame().await.unwrap().unwrap().into_data().unwrap();
            assert_eq!(frame_types(&data).len(), 1);
            assert_eq!(world.standin.bedrock.frames_sent(), sent + frame);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_ends_the_call_to_bedrock_within_a_second() {
    let world = World::start().await;
    let token = world.token("alice");
    world.standin.bedrock.hold();
    for h2 in [false, true] {
        let before = world.standin.bedrock.hangups();
        let request = post(CONVERSE_STREAM, &token, HELLO);
        let mut answer = if h2 { world.open_h2c(request).await } else { world.open(request).await };
        world.standin.bedrock.release(1);
        answer.body_mut().frame().await.unwrap().unwrap();
        let left = Instant::now();
        drop(answer);
        world.standin.bedrock.wait_until(|bedrock| bedrock.hangups() > before).await;
        assert!(left.elapsed() < Duration::from_secs(1), "{:?}", left.elapsed());
    }
    let line = world.logged(2).await;
    assert_eq!((line["ended"].as_str(), line["status"].as_u64()), (Some("client"), Some(200)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_stream_ends_in_a_frame_that_sdks_raise() {
    let world = World::start().await;
    let token = world.token("alice");
    world.standin.bedrock.faults().next(1, Fault::ResetMidStream(2));
    let answer = read(world.open(post(CONVERSE_STREAM, &token, HELLO)).await).await;
    let types = frame_types(&answer.body);
    assert_eq!(types.last().map(String::as_str), Some("modelStreamErrorException"), "{types:?}");
    let line = world.logged(1).await;
    assert_eq!(
        (line["ended"].as_str(), line["reason"].as_str()),
        (Some("upstream"), Some("upstream_aborted"))
    );

    let client = world.sdk(&token);
    world.standin.bedrock.faults().next(1, Fault::ResetMidStream(2));
    let message = aws_sdk_bedrockruntime::types::Message::builder()
        .role(aws_sdk_bedrockruntime::types::ConversationRole::User)
        .content(aws_sdk_bedrockruntime::types::ContentBlock::Text("hello".to_owned()))
        .build()
        .unwrap();
    let call = client.converse_stream().model_id(crate::world::MODEL).messages(message);
    let mut stream = call.send().await.unwrap().stream;
    let error = loop {
        match stream.recv().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("the SDK did not notice the broken stream"),
            Err(error) => break error,
        }
    };
    assert!(format!("{error:?}").contains("ModelStreamErrorException"), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_breaks_within_a_frame_ends_in_a_reset() {
    let world = World::start().await;
    let token = world.token("alice");
    world.standin.bedrock.faults().next(1, Fault::ResetMidFrame(2));
    let mut answer = world.open(post(CONVERSE_STREAM, &token, HELLO)).await;
    let broken = loop {
        match answer.body_mut().frame().await {
            Some(Ok(_)) => {}
            Some(Err(_)) => break true,
            None => break false,
        }
    };
    assert!(broken, "half a frame looked like the end");
}

#[tokio::test(flavor = "multi_thread")]
async fn bedrocks_own_exception_frame_passes_unchanged() {
    let world = World::start().await;
    let token = world.token("alice");
    world.standin.bedrock.faults().next(1, Fault::ExceptionMidStream(2, "throttlingException"));
    let answer = read(world.open(post(CONVERSE_STREAM, &token, HELLO)).await).await;
    assert_eq!(frame_types(&answer.body).last().map(String::as_str), Some("throttlingException"));
    assert_eq!(world.logged(1).await["ended"], "complete");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_concurrent_streams_work() {
    let world = std::sync::Arc::new(World::start().await);
    world.standin.bedrock.hold();
    let mut streams = JoinSet::new();
    for user in 0..10 {
        let token = world.token(&format!("user-{user}"));
        for _ in 0..100 {
            let (world, token) = (std::sync::Arc::clone(&world), token.clone());
            streams.spawn(async move { read(world.open(post(CONVERSE_STREAM, &token, HELLO)).await).await });
        }
    }
    // A thousand TLS connections take half a minute on a machine that compiles meanwhile.
    let limit = Duration::from_secs(120);
    within(limit, "1,000 streams", async || world.standin.bedrock.streams_open() == 1_000).await;
    world.standin.bedrock.release(100_000);
    while let Some(answer) = streams.join_next().await {
        assert_eq!(frame_types(&answer.unwrap().body).last().map(String::as_str), Some("metadata"));
    }
    assert_eq!(world.standin.sts.calls().len(), 10);
}

/// A server that answers each connection's first request with this many bytes.
async fn long_answers(length: usize) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                assert!(stream.read(&mut [0; 16_384]).await.unwrap() > 0);
                let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n");
                stream.write_all(head.as_bytes()).await.unwrap();
                // The gateway may abort the answer; the test sees that.
                let _whole = stream.write_all(&vec![b'x'; length]).await.is_ok();
            });
        }
    });
    url
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_pauses_longer_than_bedrock_may_be_silent_gets_the_whole_answer() {
    const LENGTH: usize = 48 << 20;
    let bedrock = long_answers(LENGTH).await;
    let aws = "stream_idle_timeout = \"2s\"";
    let world = World::with(&Setup { aws, bedrock: Some(&bedrock), ..Setup::default() }).await;
    let token = world.token("alice");
    let mut open = Vec::new();
    for _ in 0..4 {
        let mut answer = world.open(post(CONVERSE, &token, HELLO)).await;
        assert!(answer.body_mut().frame().await.unwrap().is_ok());
        open.push(answer);
    }
    // The pause is what is tested, and longer than the timeout and its check.
    tokio::time::sleep(Duration::from_secs(4)).await;
    for answer in open {
        let mut body = answer.into_body();
        let mut left = LENGTH;
        while let Some(frame) = body.frame().await {
            left -= frame.unwrap().data_ref().unwrap().len();
        }
        assert!(left < 1 << 20, "only the frame before the pause is not counted");
    }
    for line in 1..=4 {
        assert_eq!(world.logged(line).await["ended"], "complete");
    }
}
