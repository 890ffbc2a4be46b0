//! What the parts of a request's way cost, each by itself. In the order of that way they are listed by
//! `cargo bench --bench micro -- --sort location`.
//!
//! Callers are real: their tokens come from an issuer and their sessions from STS, both stand-ins on
//! loopback; nothing that is timed waits for either. The time of a part has the freeing of what it made.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a measurement that cannot go on is none")]

use std::path::PathBuf;

use bedrock_gateway::identity::IdentityMemo;
use bedrock_gateway::reason::Reason;
use bedrock_gateway::relay::frames::Frames;
use bedrock_gateway::route;
use bedrock_gateway::sign::sign;
use bedrock_gateway::telemetry::access::{AccessLog, AccessRecord, Ended};
use bedrock_gateway::telemetry::log::{LogFormat, LogSettings};
use bedrock_gateway::headers;
use bedrock_standin::frames::event;
use bedrock_standin::idp::Algorithm;
use divan::counter::{BytesCount, ItemsCount};
use divan::{Bencher, Divan, black_box_drop};
use http::{HeaderMap, Method, StatusCode, Uri, Version};

use world::{CHAT, CONVERSE, INVOKE_ARN, MODEL, WORLD, at_once, body, meter, request_headers};

#[path = "micro/world.rs"]
mod world;

fn main() {
    // Left to itself divan takes samples of one call wherever the first is slow, which is finer than its
    // clock.
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
    // What starts the world is not to be timed.
    let (uri, regions): (Uri, _) = (path.parse().unwrap(), &WORLD.regions);
    bencher.bench(|| black_box_drop(route::parse(&Method::POST, &uri, regions).unwrap()));
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

#[divan::bench]
fn mapping_new(bencher: Bencher<'_, '_>) {
    let headers = WORLD.known(Algorithm::RS256);
    let caller = WORLD.verify(&headers);
    bencher.with_inputs(IdentityMemo::default).bench_refs(|memo| {
        black_box_drop(WORLD.mapping.resolve(&caller.verified, memo, &headers).unwrap());
    });
}

#[divan::bench]
fn limits(bencher: Bencher<'_, '_>) {
    let headers = WORLD.known(Algorithm::RS256);
    let identity = WORLD.resolve(&WORLD.verify(&headers), &headers);
    bencher.bench(|| {
        let seat = WORLD.limits.enter().unwrap();
        black_box_drop((seat, WORLD.limits.enter_as(identity.principal()).unwrap()));
    });
}

#[divan::bench]
fn headers_to_bedrock(bencher: Bencher<'_, '_>) {
    let headers = request_headers(&WORLD.token(Algorithm::RS256));
    bencher.bench(|| black_box_drop(headers::to_bedrock(&headers).unwrap()));
}

/// The decision where the path names the model: the body is only taken.
#[divan::bench]
fn authorized_by_path(bencher: Bencher<'_, '_>) {
    model_in(bencher, CONVERSE, 10);
}

/// The same where the body does, which is looked through.
#[divan::bench(args = KIB)]
fn authorized_by_body(bencher: Bencher<'_, '_>, kib: usize) {
    model_in(bencher.counter(BytesCount::new(kib * 1024)), CHAT, kib);
}

fn model_in(bencher: Bencher<'_, '_>, path: &str, kib: usize) {
    let headers = WORLD.known(Algorithm::RS256);
    let identity = WORLD.resolve(&WORLD.verify(&headers), &headers);
    let (call, body) = (WORLD.call(&path.parse().unwrap()), body(kib));
    bencher.with_inputs(|| (call.clone(), HeaderMap::new())).bench_values(|(call, sent)| {
        let permit = WORLD.permit(identity.clone(), call, &headers);
        black_box_drop(WORLD.read(permit, sent, &body));
    });
}

#[divan::bench]
fn session_cached(bencher: Bencher<'_, '_>) {
    let call = WORLD.authorized(1);
    black_box_drop(WORLD.session(&call));
    bencher.bench(|| black_box_drop(at_once(WORLD.sessions.get(&call)).unwrap()));
}

#[divan::bench(args = KIB)]
fn signature(bencher: Bencher<'_, '_>, kib: usize) {
    let call = WORLD.authorized(kib);
    let session = WORLD.session(&call);
    let now = bedrock_gateway::clock::now();
    bencher
        .counter(BytesCount::of_slice(call.body()))
        .bench(|| black_box_drop(sign(&call, &session, &WORLD.endpoint, now).unwrap()));
}

/// 1000 frames of a word each, in chunks of so many bytes.
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

/// A line handed to the thread that writes it, as in `serve`.
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
    let headers = WORLD.known(Algorithm::RS256);
    let caller = WORLD.verify(&headers);
    let identity = WORLD.resolve(&caller, &headers);
    let call = WORLD.authorized(10);
    let session = WORLD.session(&call);
    let (books, answer) = (WORLD.books(thread_log()), answer());
    bencher.bench(|| {
        let mut meter = meter(&books, &headers);
        meter.routed(call.call());
        meter.verified(&caller);
        meter.identified(&identity);
        meter.received(call.region(), call.model(), call.body().len());
        meter.session(&session);
        meter.attempted();
        meter.answered(StatusCode::OK, &answer, true);
    });
}

/// All of it for one request of 10 KiB, from its parsed head to its signature and its record: what
/// the gateway itself adds to the copying of bytes between sockets.
#[divan::bench]
fn whole_request(bencher: Bencher<'_, '_>) {
    let headers = WORLD.known(Algorithm::RS256);
    let (uri, body) = (CONVERSE.parse().unwrap(), body(10));
    let (books, answer) = (WORLD.books(thread_log()), answer());
    black_box_drop(WORLD.session(&WORLD.authorized(1)));
    bencher.bench(|| {
        let mut meter = meter(&books, &headers);
        let seat = WORLD.limits.enter().unwrap();
        route::check_head(Version::HTTP_11, &uri, &headers).unwrap();
        let call = WORLD.call(&uri);
        meter.routed(&call);
        let caller = WORLD.verify(&headers);
        meter.verified(&caller);
        let identity = WORLD.resolve(&caller, &headers);
        meter.identified(&identity);
        let place = WORLD.limits.enter_as(identity.principal()).unwrap();
        let permit = WORLD.permit(identity, call, &headers);
        let call = WORLD.read(permit, headers::to_bedrock(&headers).unwrap(), &body);
        meter.received(call.region(), call.model(), call.body().len());
        let session = at_once(WORLD.sessions.get(&call)).unwrap();
        meter.session(&session);
        let signed = sign(&call, &session, &WORLD.endpoint, bedrock_gateway::clock::now()).unwrap();
        meter.attempted();
        meter.answered(StatusCode::OK, &answer, false);
        black_box_drop((signed, headers::to_caller(answer.clone()), seat, place));
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

/// A log as `serve` has it, whose lines go nowhere.
fn thread_log() -> AccessLog {
    let file = Some(PathBuf::from("/dev/null"));
    AccessLog::open(&LogSettings { format: LogFormat::Json, file, level: "info".to_owned() }).unwrap()
}

/// A record with what an answered request has.
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
        request_bytes: 10_240,
        response_bytes: 220,
        first_byte_ms: Some(700),
        duration_ms: 2_000,
        upstream_attempts: 1,
        session: Some("hit"),
        ended: Ended::Complete,
    }
}
