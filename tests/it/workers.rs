//! Four workers: what is said of one gateway holds for all of its threads together.

use bedrock_bed::until;
use bytes::Bytes;
use http_body_util::BodyExt as _;
use serde_json::json;
use tokio::task::JoinSet;

use crate::refusals::assert_refused;
use crate::world::{CONVERSE, CONVERSE_STREAM, HELLO, Setup, World, post, read};

/// Open streams, two for each worker.
const STREAMS: usize = 8;

fn setup() -> Setup<'static> {
    Setup {
        listen: "workers = 4\ndrain_timeout = \"30s\"",
        limits: "requests_per_principal = 8",
        ..Setup::default()
    }
}

/// Streams of a user, each on a connection of its own, while Bedrock holds their answers back.
async fn open(world: &World, token: &str) -> Vec<http::Response<hyper::body::Incoming>> {
    let mut open = Vec::new();
    for _ in 0..STREAMS {
        open.push(world.open(post(CONVERSE_STREAM, token, HELLO)).await);
    }
    open
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_on_all_workers_share_one_call_to_sts() {
    let world = World::with(&setup()).await;
    let token = world.token("alice");
    let address = world.gateway.addresses().http.unwrap();
    let mut calls = JoinSet::new();
    for _ in 0..STREAMS {
        calls.spawn(bedrock_bed::send(address, post(CONVERSE, &token, HELLO)));
    }
    for answer in calls.join_all().await {
        assert_eq!(read(answer).await.status, 200);
    }
    assert_eq!(world.standin.sts.calls().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_and_a_revocation_hold_on_all_workers() {
    let world = World::with(&setup()).await;
    let token = world.token("alice");
    world.standin.bedrock.hold();
    let open = open(&world, &token).await;
    assert_refused(&world, &world.send(post(CONVERSE, &token, HELLO)).await, 429, "busy_caller").await;
    let entry = json!({ "issuer": "acme", "subject": "alice", "cut_streams": true });
    let address = world.gateway.addresses().admin.unwrap();
    let request = http::Request::post("/sessions/revoke")
        .header("content-type", "application/json")
        .body(http_body_util::Full::new(Bytes::from(entry.to_string())))
        .unwrap();
    assert_eq!(read(bedrock_bed::send(address, request).await).await.status, 200);
    for answer in open {
        let mut end = Vec::new();
        let mut body = answer.into_body();
        while let Some(Ok(frame)) = body.frame().await {
            end.extend_from_slice(frame.data_ref().unwrap());
        }
        let end = String::from_utf8_lossy(&end);
        assert!(end.contains("Your access was revoked."), "{end}");
    }
    assert_refused(&world, &world.send(post(CONVERSE, &token, HELLO)).await, 403, "revoked").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_reaches_all_workers_and_a_drain_waits_for_them() {
    let mut world = World::with(&setup()).await;
    let (alice, bob) = (world.token("alice"), world.token("bob"));
    world.standin.bedrock.hold();
    let open = open(&world, &alice).await;
    world.configure(|text| {
        text.replace("requests_per_principal = 8", "requests_per_principal = 8\nrequests = 8")
    });
    world.generation(2).await;
    for _ in 0..STREAMS {
        assert_refused(&world, &world.send(post(CONVERSE, &bob, HELLO)).await, 503, "busy_gateway").await;
    }
    world.gateway.drain();
    let probe = world.gateway.addresses().probe.unwrap();
    until("not ready", async || crate::listeners::get(probe, "/readyz").await.status == 503).await;
    world.standin.bedrock.release(1_000_000);
    for answer in open {
        assert_eq!(read(answer).await.status, 200);
    }
    assert_eq!(world.gateway.stopped().await, 0, "no connection was aborted");
}
