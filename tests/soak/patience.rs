//! Two promises that take seconds of real time, each tested with a gateway of its own before the faults begin. The unit
//! tests of the sessions test them with a stopped clock; these add the sockets, the signatures and the AWS SDK.

use std::net::SocketAddr;
use std::time::Duration;

use bedrock_bed::{Bed, Setup, memory_log, send};
use bedrock_standin::idp::Claims;
use bedrock_standin::sts::StsFault;
use http::Request;
use http_body_util::BodyExt as _;
use tokio::time::Instant;

/// Over three lifetimes no caller waits for a renewal, although STS is slow.
pub(crate) async fn renewal_is_invisible() {
    let bed = Bed::start();
    let gateway = bed.serve(&bed.write(&Setup::default()), &memory_log()).await;
    let (address, token) = (gateway.addresses().http.unwrap(), token(&bed));
    bed.standin.sts.set_lifetime(Some(Duration::from_secs(5)));
    assert_eq!(call(address, &token).await.0, 200);
    bed.standin.sts.faults().always(StsFault::Late(Duration::from_millis(500)));
    let begun = Instant::now();
    let mut slowest = Duration::ZERO;
    while begun.elapsed() < Duration::from_secs(16) {
        let sent = Instant::now();
        assert_eq!(call(address, &token).await.0, 200);
        slowest = slowest.max(sent.elapsed());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let calls = bed.standin.sts.calls().len();
    assert!((4..=6).contains(&calls), "{calls} AssumeRole calls in 16 s of 5 s lifetimes");
    assert!(slowest < Duration::from_millis(450), "a caller waited for STS: {slowest:?}");
    assert_eq!(bed.standin.bedrock.signature_refusals(), []);
}

/// STS hangs and the caller has no session: the gateway refuses the call within the deadline and sends Bedrock nothing.
pub(crate) async fn a_hanging_sts_is_503_within_the_deadline() {
    let bed = Bed::start();
    let log = memory_log();
    let gateway = bed.serve(&bed.write(&Setup::default()), &log).await;
    bed.standin.sts.faults().always(StsFault::Hang);
    let sent = Instant::now();
    let (status, kind) = call(gateway.addresses().http.unwrap(), &token(&bed)).await;
    assert_eq!((status, kind.as_str()), (503, "ServiceUnavailableException"));
    assert!(sent.elapsed() < Duration::from_secs(12), "{:?}", sent.elapsed());
    assert_eq!(bed.standin.bedrock.server().requests(), 0);
    bedrock_bed::until("the access log line", async || !log.lines().is_empty()).await;
    assert!(log.lines()[0].contains(r#""reason":"sts_timeout""#), "{:?}", log.lines());
}

fn token(bed: &Bed) -> String {
    let claims = Claims::of("alice").claim("email", "alice@acme.org").claim("team", "search");
    bed.standin.idp.mint(claims)
}

/// Status and type of the answer to one call.
async fn call(address: SocketAddr, token: &str) -> (u16, String) {
    let request = Request::post("/model/us.anthropic.claude-sonnet-4-6-v1%3A0/converse")
        .header("authorization", format!("Bearer {token}"))
        .body(r#"{"messages":[{"role":"user","content":[{"text":"hello"}]}]}"#.into())
        .unwrap();
    let mut answer = send(address, request).await;
    while let Some(frame) = answer.body_mut().frame().await {
        assert!(frame.is_ok(), "the answer broke off");
    }
    let kind = answer.headers().get("x-amzn-errortype").map_or("", |kind| kind.to_str().unwrap());
    (answer.status().as_u16(), kind.to_owned())
}
