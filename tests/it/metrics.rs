//! The page of metrics of a gateway that has served, in both formats. `.ci/run` checks the pages that this test writes
//! with tools of Prometheus.

use std::path::Path;

use bedrock_bed::{send, until};
use bedrock_standin::bedrock::Fault;
use http::Request;

use crate::limits::streams;
use crate::world::{Answer, CONVERSE, CONVERSE_STREAM, HELLO, Setup, World, post, read};

impl World {
    /// The page of metrics for a client that accepts this.
    async fn metrics(&self, accept: &str) -> Answer {
        let probe = self.gateway.addresses().probe.unwrap();
        let request = Request::get("/metrics").header("host", "probe").header("accept", accept);
        read(send(probe, request.body("".into()).unwrap()).await).await
    }

    /// The value of a series on the page of metrics.
    pub(crate) async fn series(&self, name: &str) -> Option<f64> {
        let page = self.metrics("text/plain").await;
        let text = String::from_utf8(page.body.to_vec()).unwrap();
        text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn both_formats_show_what_a_gateway_has_served() {
    let limits = "requests_per_principal = 2";
    let world = World::with(&Setup { limits, ..Setup::default() }).await;
    let alice = world.token("alice");
    assert_eq!(world.send(post(CONVERSE, &alice, HELLO)).await.status, 200);
    assert_eq!(world.send(post(CONVERSE, "no-token", HELLO)).await.status, 401);
    assert_eq!(world.send(post("/nowhere", &alice, "")).await.status, 404);
    world.standin.bedrock.faults().next(1, Fault::Throttle);
    assert_eq!(world.send(post(CONVERSE, &alice, HELLO)).await.status, 429);
    world.standin.bedrock.hold();
    let open = streams(&world, "bob", 2).await;
    assert_eq!(world.send(post(CONVERSE, &world.token("bob"), HELLO)).await.status, 429);
    drop(world.open(post(CONVERSE_STREAM, &alice, HELLO)).await);
    let left =
        r#"bedrock_gateway_request_duration_seconds_count{operation="converse",outcome="client_left"}"#;
    until("the client that left", async || world.series(left).await == Some(1.0)).await;

    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    for (accept, content_type, file) in [
        ("*/*", "text/plain; version=0.0.4; charset=utf-8", "metrics.txt"),
        (
            "application/openmetrics-text;version=1.0.0,text/plain;q=0.5",
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
            "metrics.openmetrics",
        ),
    ] {
        let page = world.metrics(accept).await;
        assert_eq!(page.headers["content-type"], content_type);
        let text = String::from_utf8(page.body.to_vec()).unwrap();
        for line in [
            r#"bedrock_gateway_request_duration_seconds_count{operation="converse",outcome="answered"} 1"#,
            r#"bedrock_gateway_request_duration_seconds_count{operation="converse",outcome="upstream_error"} 1"#,
            r#"bedrock_gateway_request_duration_seconds_count{operation="none",outcome="refused"} 1"#,
            r#"bedrock_gateway_upstream_throttled_total{operation="converse",region="us-east-1"} 1"#,
            r#"bedrock_gateway_limit{name="requests_per_principal"} 2"#,
            r#"bedrock_gateway_limit_used{name="requests_per_principal"} 2"#,
            r#"bedrock_gateway_limit_used{name="streams_per_connection"} 2"#,
            r#"bedrock_gateway_limit_used{name="connections"} 1"#,
            r#"bedrock_gateway_limit_used{name="requests"} 2"#,
            "bedrock_gateway_requests_in_flight 2",
            "bedrock_gateway_streams_open 2",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
        for name in ["bedrock_gateway_build_info{version=", "bedrock_gateway_certificate_not_after_seconds{"]
        {
            assert!(text.lines().any(|found| found.starts_with(name)), "{name} is not in\n{text}");
        }
        assert_eq!(text.ends_with("# EOF\n"), file == "metrics.openmetrics");
        assert!(!text.contains("acme.org"), "a caller is named");
        std::fs::write(folder.join(file), text).unwrap();
    }
    drop(open);
    until("no request in flight", async || {
        world.series("bedrock_gateway_requests_in_flight").await == Some(0.0)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_certificate_changes_its_end() {
    let world = World::start().await;
    let name = r#"bedrock_gateway_certificate_not_after_seconds{listener="https"}"#;
    let before = world.series(name).await.unwrap();
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs_f64();
    assert!(before > now, "{before}");
    let mut params = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
    params.not_after = rcgen::date_time_ymd(2090, 1, 1);
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    for (file, text) in [("tls.key", key.serialize_pem()), ("tls.crt", certificate.pem())] {
        crate::reload::replace(&world.folder().join(file), &text);
    }
    until("the new end", async || world.series(name).await == Some(3_786_912_000.0)).await;
}
