//! Injected faults, and the pace of streams.

use super::*;

const PATIENCE: Duration = Duration::from_secs(10);

async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what).await.expect("it happens soon")
}

fn streamed() -> String {
    format!("{SONNET}/converse-stream")
}

#[tokio::test]
async fn injected_errors_are_answered() {
    let world = World::start();
    let path = format!("{SONNET}/converse");
    for (fault, status, kind) in [
        (Fault::Throttle, 429, "ThrottlingException"),
        (Fault::Deny, 403, "AccessDeniedException"),
        (Fault::Error(424, "ModelErrorException", "no"), 424, "ModelErrorException"),
        (Fault::CredentialsRefused { kind: "ExpiredToken", in_body_only: false }, 403, "ExpiredToken"),
        (Fault::CredentialsRefused { kind: "InvalidToken", in_body_only: true }, 403, ""),
    ] {
        world.bedrock.faults().next(1, fault.clone());
        let answer = world.post(&path, &converse("hello")).await;
        let (found, found_kind, _) = answer.error();
        assert_eq!((found, found_kind.as_str()), (status, kind), "{fault:?}");
        if kind.is_empty() {
            assert_eq!(answer.json()["__type"], "com.amazon.coral.service#InvalidToken");
        }
    }
    assert_eq!(world.bill.calls().len(), 5);
    assert!(world.bill.rows().is_empty(), "an error is not charged");

    world.bedrock.faults().next(1, Fault::Late(Duration::from_millis(50)));
    let begun = tokio::time::Instant::now();
    assert_eq!(world.post(&path, &converse("hello")).await.status, 200);
    assert!(begun.elapsed() >= Duration::from_millis(50));

    world.bedrock.faults().next(1, Fault::ResetBeforeHead);
    assert!(world.open(world.signed(&path, &converse("hello"))).await.is_err());
    assert_eq!(world.bedrock.hangups(), 0);
}

#[tokio::test]
async fn streams_end_with_the_injected_fault() {
    let world = World::start();
    world.bedrock.faults().next(1, Fault::ResetMidStream(2));
    let two = world.post(&streamed(), &converse("hello")).await;
    assert!(two.broken);
    assert_eq!(two.kinds(), ["messageStart", "contentBlockDelta"]);
    assert_eq!(billed(&world.bill)[1].1, 1, "only the tokens sent are charged");

    world.bedrock.faults().next(1, Fault::ExceptionMidStream(1, "throttlingException"));
    let answer = world.post(&streamed(), &converse("hello")).await;
    assert!(!answer.broken);
    assert_eq!(answer.kinds(), ["messageStart", "throttlingException"]);

    let whole = world.post(&streamed(), &converse("hello")).await.body;
    world.bedrock.faults().next(1, Fault::ResetMidFrame(1));
    let cut = world.post(&streamed(), &converse("hello")).await;
    assert!(cut.broken && whole.starts_with(&cut.body));
    assert!(cut.body.len() < two.body.len(), "the second frame is not whole");
    assert!(std::panic::catch_unwind(|| decode(&cut.body)).is_err(), "but it has begun");

    world.bedrock.faults().next(1, Fault::ResetMidStream(1));
    let half = world.post(&format!("{SONNET}/converse"), &converse("hello")).await;
    assert!(half.broken && half.body.starts_with(b"{") && !half.body.ends_with(b"}}"));
    assert_eq!(world.bedrock.streams_open(), 0);
    assert_eq!(world.bedrock.hangups(), 0, "none of it was the client's doing");
}

#[tokio::test]
async fn frames_are_sent_when_they_are_released() {
    let world = World::start();
    world.bedrock.hold();
    let response = soon(world.open(world.signed(&streamed(), &converse("hello")))).await.unwrap();
    assert_eq!((world.bedrock.streams_open(), world.bedrock.frames_sent()), (1, 0));
    let mut body = response.into_body();
    for sent in 1..=3 {
        world.bedrock.release(1);
        let frame = soon(body.frame()).await.unwrap().unwrap().into_data().unwrap();
        assert_eq!(decode(&frame).len(), 1);
        assert_eq!(world.bedrock.frames_sent(), sent);
    }
    world.bedrock.flow();
    let mut rest = 0;
    while let Some(frame) = soon(body.frame()).await {
        rest += decode(&frame.unwrap().into_data().unwrap()).len();
    }
    assert_eq!(rest, 5);
    soon(world.bedrock.wait_until(|bedrock| bedrock.streams_open() == 0)).await;
    assert_eq!(world.bedrock.hangups(), 0);
}

#[tokio::test]
async fn hangups_are_counted_and_the_tokens_sent_are_charged() {
    let world = World::start();
    world.bedrock.hold();
    let mut response = soon(world.open(world.signed(&streamed(), &converse("hello")))).await.unwrap();
    world.bedrock.release(2);
    soon(world.bedrock.wait_until(|bedrock| bedrock.frames_sent() == 2)).await;
    soon(response.body_mut().frame()).await.unwrap().unwrap();
    drop(response);
    soon(world.bedrock.wait_for_hangups(1)).await;
    assert_eq!(world.bedrock.streams_open(), 0);
    assert_eq!(billed(&world.bill)[1].1, 1);

    world.bedrock.faults().next(1, Fault::HangBeforeHead);
    let request = world.signed(&streamed(), &converse("hello"));
    let mut sender = world.connect().await;
    let waiting = tokio::spawn(async move { sender.send_request(request).await });
    soon(world.bedrock.wait_for_calls(2)).await;
    waiting.abort();
    soon(world.bedrock.wait_for_hangups(2)).await;

    world.bedrock.faults().next(1, Fault::HangMidStream(1));
    world.bedrock.flow();
    let mut response = soon(world.open(world.signed(&streamed(), &converse("hello")))).await.unwrap();
    soon(response.body_mut().frame()).await.unwrap().unwrap();
    drop(response);
    soon(world.bedrock.wait_for_hangups(3)).await;
}

#[tokio::test]
async fn answers_have_the_configured_length_and_pace() {
    let world = World::start();
    world.bedrock.pace(50, Duration::from_millis(1));
    let begun = tokio::time::Instant::now();
    let answer = world.post(&streamed(), &converse("hello")).await;
    let deltas = answer.kinds().iter().filter(|kind| *kind == "contentBlockDelta").count();
    assert_eq!(deltas, 50);
    assert!(begun.elapsed() >= Duration::from_millis(54));
}

#[tokio::test]
async fn a_restart_closes_all_connections() {
    let world = World::start();
    let mut pooled = world.connect().await;
    let path = format!("{SONNET}/converse");
    pooled.send_request(world.signed(&path, &converse("hello"))).await.unwrap();
    world.bedrock.hold();
    let held = soon(world.open(world.signed(&streamed(), &converse("hello")))).await.unwrap();
    soon(world.bedrock.close_connections()).await;
    assert_eq!((world.bedrock.server().open_connections(), world.bedrock.streams_open()), (0, 0));
    assert!(soon(Answer::read(held)).await.broken);
    assert!(soon(pooled.send_request(world.signed(&path, &converse("hello")))).await.is_err());
    assert_eq!(world.post(&path, &converse("hello")).await.status, 200);
    assert_eq!(world.bedrock.hangups(), 0, "it was Bedrock that left");
}

#[tokio::test]
async fn a_fault_can_be_chosen_by_the_call() {
    let world = World::start();
    world
        .bedrock
        .choose_faults(|call| call.body.windows(3).any(|text| text == b"bad").then_some(Fault::Throttle));
    world.bedrock.faults().next(1, Fault::Deny);
    for (said, status) in [("bad", 403), ("bad", 429), ("good", 200)] {
        let request = world.signed(&format!("{SONNET}/converse"), &converse(said));
        assert_eq!(soon(world.send(request)).await.status, status, "{said}");
    }
    world.bill.forget_calls();
    assert_eq!(world.bill.call_count(), 0);
    assert_eq!(world.bill.principals(), [ALICE], "what was charged stays");
}
