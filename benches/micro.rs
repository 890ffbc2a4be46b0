//! The cost of each stage of a request, by itself. `cargo bench --bench micro -- --sort location` lists the stages in
//! their order.
//!
//! The callers' tokens come from an issuer and their sessions from STS. Both are stand-ins on loopback, and no code
//! that is timed waits for either. The time of a stage includes freeing the memory that it allocated.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a measurement that cannot go on has failed")]

use bedrock_gateway::authorize::Authorized;
use bedrock_gateway::headers::{self, Forwarded};
use bedrock_gateway::reason::Reason;
use bedrock_gateway::relay::frames::Frames;
use bedrock_gateway::route;
use bedrock_gateway::sign::sign;
use bedrock_gateway::telemetry::access::{AccessLog, AccessRecord, Ended};
use bedrock_standin::frames::event;
use bedrock_standin::idp::Algorithm;
use divan::counter::{BytesCount, ItemsCount};
use divan::{Bencher, Divan, black_box_drop};
use http::{HeaderMap, StatusCode};

use world::{CHAT, CONVERSE, INVOKE_ARN, MODEL, WORLD, at_once, body, head, request_headers, thread_log};

#[path = "micro/world.rs"]
mod world;

fn main() {
    // By default divan takes samples of a single call if the first call is slow. Its clock is too coarse for that.
    Divan::default().sample_size(50).config_with_args().main();
}

const KIB: [usize; 3] = [1, 10, 100];

#[divan::bench(args = ["model", "arn", "chat"])]
fn routing(bencher: Bencher<'_, '_>, kind: &str) {
    let path = match kind {
        "model" => CONVERSE,
        "arn" => INVOKE_ARN,
        _ => CHAT,
    };
    // The start of the world must not be timed.
    let (head, regions) = (head(path, request_headers("a.b.c")), &WORLD.config.regions);
    bencher.bench(|| black_box_drop(route::parse(&head, regions).unwrap()));
}

#[divan::bench(args = [Algorithm::RS256, Algorithm::ES256])]
fn token_remembered(bencher: Bencher<'_, '_>, algorithm: Algorithm) {
    let headers = WORLD.known(algorithm);
    bencher.bench(|| black_box_drop(WORLD.verify(&headers)));
}

#[divan::bench(args = [Algorithm::RS256, Algorithm::ES256])]
fn token_new(bencher: Bencher<'_, '_>, algorithm: Algorithm) {
    bencher
        .with_inputs(|| request_headers(&WORLD.token(algorithm)))
        .bench_refs(|headers| black_box_drop(WORLD.verify(headers)));
}

#[divan::bench]
fn mapping_remembered(bencher: Bencher<'_, '_>) {
    let headers = WORLD.known(Algorithm::RS256);
    let caller = WORLD.verify(&headers);
    bencher.bench(|| black_box_drop(WORLD.resolve(&caller, &headers)));
}

/// The mapping for a caller without a memo, together with the check of the token. `token_new` measures the check alone.
#[divan::bench]
fn token_and_mapping_new(bencher: Bencher<'_, '_>) {
    bencher.with_inputs(|| request_headers(&WORLD.token(Algorithm::RS256))).bench_refs(|headers| {
        black_box_drop(WORLD.resolve(&WORLD.verify(headers), headers));
    });
}

#[divan::bench]
fn limits(bencher: Bencher<'_, '_>) {
    let headers = WORLD.known(Algorithm::RS256);
    let caller = WORLD.resolve(&WORLD.verify(&headers), &headers);
    let (limits, config) = (&WORLD.gateway.limits, &WORLD.config);
    bencher.bench(|| {
        let slot = limits.enter(config.requests.all).unwrap();
        black_box_drop((
            slot,
            limits.enter_as(caller.identity().principal(), config.concurrency(caller.identity())).unwrap(),
        ));
    });
}

#[divan::bench]
fn headers_to_bedrock(bencher: Bencher<'_, '_>) {
    let headers = request_headers(&WORLD.token(Algorithm::RS256));
    bencher.bench(|| black_box_drop(Forwarded::of(&headers).unwrap()));
}

/// The decision if the path names the model: the gateway takes the body without parsing it.
#[divan::bench]
fn authorized_by_path(bencher: Bencher<'_, '_>) {
    model_in(bencher, CONVERSE, 10);
}

/// The same if the body names the model: the gateway reads the body.
#[divan::bench(args = KIB)]
fn authorized_by_body(bencher: Bencher<'_, '_>, kib: usize) {
    model_in(bencher.counter(BytesCount::new(kib * 1024)), CHAT, kib);
}

fn model_in(bencher: Bencher<'_, '_>, path: &str, kib: usize) {
    let head = head(path, WORLD.known(Algorithm::RS256));
    let caller = WORLD.resolve(&WORLD.verify(&head.headers), &head.headers);
    let (call, body) = (WORLD.call(&head), body(kib));
    let none = Forwarded::of(&HeaderMap::new()).unwrap();
    bencher.with_inputs(|| (call.clone(), none.clone())).bench_values(|(call, sent)| {
        let permit = WORLD.permit(&caller, call, &head.headers);
        black_box_drop(WORLD.read(permit, sent, &body));
    });
}

#[divan::bench]
fn session_cached(bencher: Bencher<'_, '_>) {
    black_box_drop(WORLD.ready(WORLD.authorized(1)));
    bencher.with_inputs(|| WORLD.authorized(1)).bench_values(|call: Authorized| {
        let cleared = WORLD.clear(call.caller());
        black_box_drop(at_once(WORLD.gateway.sessions.get(cleared, call)).unwrap());
    });
}

#[divan::bench(args = KIB)]
fn signature(bencher: Bencher<'_, '_>, kib: usize) {
    let ready = WORLD.ready(WORLD.authorized(kib));
    let now = bedrock_gateway::clock::now();
    bencher.counter(BytesCount::new(ready.call().body().len())).bench(|| {
        let cleared = WORLD.clear(ready.call().caller());
        black_box_drop(sign(cleared, &ready, now).unwrap());
    });
}

/// 1000 frames of a word each, in chunks of `chunk` bytes.
#[divan::bench(args = [128, 1024, 16 * 1024])]
fn tap(bencher: Bencher<'_, '_>, chunk: usize) {
    let payload = r#"{"contentBlockIndex":0,"delta":{"text":" word"},"p":"abcdefghijklmnop"}"#;
    let stream = event("contentBlockDelta", "application/json", payload).repeat(1000);
    bencher.counter(ItemsCount::new(1000_u32)).bench(|| {
        let mut frames = Frames::default();
        stream.chunks(chunk).for_each(|data| frames.follow(divan::black_box(data)));
        assert!(frames.between_frames());
    });
}

/// One line, handed to the writing thread as `serve` does it.
#[divan::bench]
fn access_line(bencher: Bencher<'_, '_>) {
    let (log, record) = (thread_log(), record());
    bencher.bench(|| log.write(&record));
}

/// The line alone, without the hand-over.
#[divan::bench]
fn access_line_in_memory(bencher: Bencher<'_, '_>) {
    let (log, record) = (AccessLog::memory(), record());
    bencher.bench(|| log.write(&record));
}

/// A request's record from its beginning to its line, metrics included.
#[divan::bench]
fn record_of_a_request(bencher: Bencher<'_, '_>) {
    let head = head(CONVERSE, WORLD.known(Algorithm::RS256));
    let verified = WORLD.verify(&head.headers);
    let caller = WORLD.resolve(&verified, &head.headers);
    let ready = WORLD.ready(WORLD.authorized(10));
    let answer = answer();
    bencher.bench(|| {
        let mut record = WORLD.record(&head);
        record.routed(ready.call().call());
        record.verified(&verified);
        record.identified(&caller);
        record.received(ready.call());
        record.session(ready.session());
        record.attempted();
        record.answered(StatusCode::OK, &answer, true);
    });
}

/// All stages for one request of 10 KiB, from its parsed head to its signature and its record. This is the cost that
/// the gateway adds to copying bytes between sockets.
#[divan::bench]
fn whole_request(bencher: Bencher<'_, '_>) {
    let head = head(CONVERSE, WORLD.known(Algorithm::RS256));
    let (body, answer) = (body(10), answer());
    let (limits, config) = (&WORLD.gateway.limits, &WORLD.config);
    black_box_drop(WORLD.ready(WORLD.authorized(1)));
    bencher.bench(|| {
        let mut record = WORLD.record(&head);
        record.admitted(limits.enter(config.requests.all).unwrap());
        let call = WORLD.call(&head);
        record.routed(&call);
        let verified = WORLD.verify(&head.headers);
        record.verified(&verified);
        let caller = WORLD.resolve(&verified, &head.headers);
        record.identified(&caller);
        let slot =
            limits.enter_as(caller.identity().principal(), config.concurrency(caller.identity())).unwrap();
        let permit = WORLD.permit(&caller, call, &head.headers);
        let call = WORLD.read(permit, Forwarded::of(&head.headers).unwrap(), &body);
        let cleared = WORLD.clear(&caller);
        record.received(&call);
        let ready = at_once(WORLD.gateway.sessions.get(cleared, call)).unwrap();
        record.session(ready.session());
        let cleared = WORLD.clear(&caller);
        let signed = sign(cleared, &ready, bedrock_gateway::clock::now()).unwrap();
        record.attempted();
        record.answered(StatusCode::OK, &answer, false);
        black_box_drop((signed, headers::to_caller(answer.clone()), slot));
    });
}

/// The headers of Bedrock's answer.
fn answer() -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("content-type", "application/json"),
        ("content-length", "220"),
        ("date", "Mon, 02 Mar 2026 10:00:00 GMT"),
        ("x-amzn-requestid", "5f0e7a52-6a70-4b0c-9b1e-0d9f2c3b4a5d"),
    ] {
        headers.insert(name, value.parse().unwrap());
    }
    headers
}

/// A record with the fields of an answered request.
fn record() -> AccessRecord<'static> {
    AccessRecord {
        time: bedrock_gateway::clock::now(),
        request_id: "5f0e7a52-6a70-4b0c-9b1e-0d9f2c3b4a5d",
        aws_request_id: Some("6f4d3f0c-52b9-4a5e-9d5b-2f1f6a8f7f10"),
        client: Some([127, 0, 0, 1].into()),
        user_agent: Some("Boto3/1.43.5 md/Botocore#1.43.5 ua/2.1 os/linux#6.8.0 lang/python#3.13.2"),
        issuer: Some("acme"),
        subject: Some("248289761001"),
        jti: Some("q83vEjRWeJCrze8S"),
        unverified: None,
        role_rule: Some(1),
        principal: Some("arn:aws:sts::123456789012:assumed-role/BedrockUser/alice@acme.org"),
        tags: vec![("cost-center", "4711"), ("team", "search")],
        access_key_id: Some("ASIAIOSFODNN7EXAMPLE"),
        operation: Some("converse"),
        model: Some(MODEL),
        region: Some("us-east-1"),
        protocol: "h2",
        status: 200,
        error_type: None,
        reason: Some(Reason::Ok),
        detail: None,
        claims: vec![],
        upstream_message: None,
        request_bytes: 10_240,
        response_bytes: 220,
        first_byte_ms: Some(700),
        duration_ms: 2_000,
        upstream_attempts: 1,
        session: Some("hit"),
        ended: Ended::Complete,
    }
}
