//! These tests write requests by hand and sign them with `sign`, a second implementation of the algorithm. So the
//! tests show that both implementations agree.

mod documents;

use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::*;
use crate::signature::tests::sign;

const ROLE: &str = "arn:aws:iam::123456789012:role/teams/BedrockUser";

struct Answer {
    status: u16,
    xml: String,
}

impl Answer {
    fn element(&self, name: &str) -> Option<&str> {
        let (_, rest) = self.xml.split_once(&format!("<{name}>"))?;
        rest.split_once(&format!("</{name}>")).map(|(text, _)| text)
    }

    fn error(&self) -> (u16, &str) {
        (self.status, self.element("Code").unwrap_or_default())
    }
}

fn sts() -> Sts {
    Sts::start(Store::new(), "us-east-1", None)
}

async fn post(sts: &Sts, form: &str) -> Answer {
    try_post(sts, form).await.expect("an answer")
}

async fn try_post(sts: &Sts, form: &str) -> Result<Answer, hyper::Error> {
    let stream = TcpStream::connect(sts.server().addr()).await.unwrap();
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let store = &sts.state.store;
    let mut request = Request::post("/")
        .header("host", sts.server().authority())
        .header("content-type", "application/x-www-form-urlencoded")
        .header("x-amz-date", clock::amz_date(clock::now()))
        .body(Full::new(bytes::Bytes::from(form.to_owned())))
        .unwrap();
    let authorization = sign(
        &request,
        form.as_bytes(),
        store.gateway_access_key_id(),
        store.gateway_secret_access_key(),
        "us-east-1",
        "sts",
    );
    let headers = request.headers_mut();
    headers.insert("authorization", authorization.parse().unwrap());
    let response = sender.send_request(request).await?;
    let status = response.status().as_u16();
    #[expect(clippy::disallowed_methods, reason = "bounded by Limited")]
    let body = Limited::new(response.into_body(), 64 * 1024).collect().await;
    let xml = String::from_utf8(body.unwrap().to_bytes().to_vec()).unwrap();
    Ok(Answer { status, xml })
}

fn assume(role: &str, name: &str, more: &str) -> String {
    format!(
        "Action=AssumeRole&Version=2011-06-15&RoleArn={role}&RoleSessionName={name}{}{more}",
        if more.is_empty() { "" } else { "&" }
    )
}

fn tags(count: usize, value: &str) -> String {
    let tags: Vec<_> =
        (1..=count).map(|n| format!("Tags.member.{n}.Key=k{n}&Tags.member.{n}.Value={value}")).collect();
    tags.join("&")
}

#[tokio::test]
async fn a_session_is_issued_and_known_to_the_store() {
    let sts = sts();
    let tags = "Tags.member.1.Key=team&Tags.member.1.Value=data+science%20%C3%BC\
                &Tags.member.2.Key=cost-center&Tags.member.2.Value=\
                &TransitiveTagKeys.member.1=team&SourceIdentity=alice&DurationSeconds=900";
    let answer = post(&sts, &assume(ROLE, "alice%40acme.org", tags)).await;
    assert_eq!(answer.status, 200, "{}", answer.xml);
    let principal = "arn:aws:sts::123456789012:assumed-role/BedrockUser/alice@acme.org";
    assert_eq!(answer.element("Arn"), Some(principal));
    assert_eq!(answer.element("SourceIdentity"), Some("alice"));

    let session = sts.state.store.sessions().pop().unwrap();
    assert_eq!(session.principal, principal);
    assert_eq!(session.tags["team"], "data science ü");
    assert_eq!(session.tags["cost-center"], "");
    assert_eq!(answer.element("SessionToken"), Some(session.session_token.as_str()));
    assert!(session.session_token.len() > 800);
    let expiration = clock::iso8601(session.expires);
    assert_eq!(answer.element("Expiration"), Some(expiration.as_str()));
    let left = session.expires.duration_since(clock::now()).unwrap();
    assert!(left > Duration::from_secs(890) && left <= Duration::from_mins(15));

    let call = sts.calls().pop().unwrap();
    assert_eq!(call.session_name, "alice@acme.org");
    assert_eq!(call.duration, Some(Duration::from_mins(15)));
    assert!(sts.refusals().is_empty());
    assert_eq!(sts.state.store.revoke(principal), 1);
    assert!(sts.state.store.session(&session.access_key_id).unwrap().revoked);
}

#[tokio::test]
async fn every_limit_is_enforced() {
    let sts = sts();
    let long = "x".repeat(65);
    let many_tags = tags(51, "v");
    let long_value = format!("Tags.member.1.Key=k&Tags.member.1.Value={}", "v".repeat(257));
    let long_policy = format!("Policy=%7B%22a%22%3A%22{}%22%7D", "p".repeat(2048));
    let heavy = tags(50, &"v".repeat(200));
    let invalid = [
        assume(ROLE, "a", ""),
        assume(ROLE, &long, ""),
        assume(ROLE, "alice%2Fbob", ""),
        assume(ROLE, "%C3%BCmit", ""),
        assume(ROLE, "alice%0A", ""),
        assume("arn:aws:iam::123456789012:user/alice", "alice", ""),
        assume(ROLE, "alice", "DurationSeconds=899"),
        assume(ROLE, "alice", "DurationSeconds=43201"),
        assume(ROLE, "alice", "DurationSeconds=3601"),
        assume(ROLE, "alice", "DurationSeconds=1h"),
        assume(ROLE, "alice", &many_tags),
        assume(ROLE, "alice", &long_value),
        assume(ROLE, "alice", "Tags.member.1.Key=a%23b&Tags.member.1.Value=v"),
        assume(ROLE, "alice", "Tags.member.1.Key=&Tags.member.1.Value=v"),
        // U+0301 is a mark, not a letter.
        assume(ROLE, "alice", "Tags.member.1.Key=k&Tags.member.1.Value=e%CC%81"),
        assume(ROLE, "alice", "Tags.member.1.Key=AWS:k&Tags.member.1.Value=v"),
        assume(
            ROLE,
            "alice",
            "Tags.member.1.Key=Team&Tags.member.1.Value=v&Tags.member.2.Key=team&Tags.member.2.Value=v",
        ),
        assume(ROLE, "alice", "Tags.member.1.Key=k"),
        assume(ROLE, "alice", "TransitiveTagKeys.member.1=team"),
        assume(ROLE, "alice", "ExternalId=a"),
        assume(ROLE, "alice", "ExternalId=a%23b"),
        assume(ROLE, "alice", "SourceIdentity=aws%3Ax"),
        assume(ROLE, "alice", &long_policy),
        assume(ROLE, "alice", "Colour=red"),
        assume(ROLE, "alice", "RoleSessionName=bob"),
    ];
    let others = [
        (assume(ROLE, "alice", "Policy=%7B"), "MalformedPolicyDocument"),
        (assume(ROLE, "alice", &heavy), "PackedPolicyTooLarge"),
    ];
    let refused: Vec<_> = invalid.into_iter().map(|form| (form, "ValidationError")).chain(others).collect();
    for (form, code) in &refused {
        let answer = post(&sts, form).await;
        assert_eq!(answer.error(), (400, *code), "{form}: {}", answer.xml);
    }
    assert_eq!(sts.refusals().len(), refused.len());
    assert!(sts.state.store.sessions().is_empty());
}

#[tokio::test]
async fn a_trust_policy_is_enforced() {
    let sts = sts();
    let unknown = "arn:aws:iam::999999999999:role/Elsewhere";
    let answer = post(&sts, &assume(unknown, "alice", "")).await;
    assert_eq!(answer.error(), (403, "AccessDenied"));

    let role = "arn:aws:iam::999999999999:role/Strict";
    sts.add_role(RoleSpec {
        external_id: Some("shared-secret".to_owned()),
        max_duration: Duration::from_hours(12),
        trusts_tag_session: false,
        trusts_source_identity: false,
        ..RoleSpec::new(role)
    });
    let good = "ExternalId=shared-secret&DurationSeconds=43200";
    for more in [
        "",
        "ExternalId=other",
        "ExternalId=shared-secret&SourceIdentity=alice",
        "ExternalId=shared-secret&Tags.member.1.Key=k&Tags.member.1.Value=v",
    ] {
        let answer = post(&sts, &assume(role, "alice", more)).await;
        assert_eq!(answer.error(), (403, "AccessDenied"), "{more}");
    }
    assert_eq!(post(&sts, &assume(role, "alice", good)).await.status, 200);

    sts.deny("alice");
    assert_eq!(post(&sts, &assume(role, "alice", good)).await.error(), (403, "AccessDenied"));
    sts.allow("alice");
    sts.set_chained(true);
    let answer = post(&sts, &assume(role, "alice", good)).await;
    assert_eq!(answer.error(), (400, "ValidationError"));
    assert!(answer.xml.contains("role chaining"));
}

#[tokio::test]
async fn inherited_tags_are_kept_and_cannot_be_set() {
    let sts = sts();
    sts.set_inherited_tags(&[("Environment", "production")]);
    let own = "Tags.member.1.Key=environment&Tags.member.1.Value=test";
    assert_eq!(post(&sts, &assume(ROLE, "alice", own)).await.status, 200, "a user's keys have no tags");

    sts.set_chained(true);
    let answer = post(&sts, &assume(ROLE, "alice", own)).await;
    assert_eq!(answer.error(), (400, "InvalidParameterValue"), "{}", answer.xml);
    let other = "Tags.member.1.Key=team&Tags.member.1.Value=search";
    assert_eq!(post(&sts, &assume(ROLE, "alice", other)).await.status, 200);
    let session = sts.state.store.sessions().pop().unwrap();
    assert_eq!(
        (session.tags["team"].as_str(), session.tags["Environment"].as_str()),
        ("search", "production")
    );
    assert_eq!(session.transitive, ["Environment"]);

    let strict = "arn:aws:iam::999999999999:role/Strict";
    sts.add_role(RoleSpec { trusts_tag_session: false, ..RoleSpec::new(strict) });
    assert_eq!(post(&sts, &assume(strict, "alice", "")).await.error(), (403, "AccessDenied"));
}

#[tokio::test]
async fn injected_faults_take_effect() {
    let sts = sts();
    let form = assume(ROLE, "alice", "");
    sts.faults().next(2, StsFault::Throttle);
    for (fault, error) in [
        (None, (400, "Throttling")),
        (None, (400, "Throttling")),
        (Some(StsFault::Deny), (403, "AccessDenied")),
        (Some(StsFault::Unavailable), (503, "ServiceUnavailable")),
        (Some(StsFault::ExpiredToken), (403, "ExpiredToken")),
        (Some(StsFault::InvalidClientTokenId), (403, "InvalidClientTokenId")),
        (Some(StsFault::PackedPolicyTooLarge), (400, "PackedPolicyTooLarge")),
        (Some(StsFault::RegionDisabled), (403, "RegionDisabledException")),
    ] {
        if let Some(fault) = fault {
            sts.faults().next(1, fault);
        }
        assert_eq!(post(&sts, &form).await.error(), error);
    }
    sts.faults().next(1, StsFault::Malformed);
    let answer = post(&sts, &form).await;
    assert_eq!((answer.status, answer.element("Credentials")), (200, None));
    sts.faults().next(1, StsFault::Reset);
    assert!(try_post(&sts, &form).await.is_err());

    assert_eq!(post(&sts, &form).await.status, 200);
    assert_eq!(sts.calls().len(), 11);
    assert!(sts.refusals().is_empty());
    sts.clear();
    assert!(sts.calls().is_empty());
}

#[tokio::test]
async fn a_test_can_shorten_the_lifetime_of_sessions() {
    let sts = sts();
    sts.set_lifetime(Some(Duration::from_secs(3)));
    let before = clock::now();
    post(&sts, &assume(ROLE, "alice", "")).await;
    let session = sts.state.store.sessions().pop().unwrap();
    assert!(session.expires <= clock::now() + Duration::from_secs(3));
    assert!(session.expired(before + Duration::from_secs(4)));
}

#[tokio::test]
async fn get_caller_identity_returns_the_gateways_arn() {
    let sts = sts();
    let answer = post(&sts, "Action=GetCallerIdentity&Version=2011-06-15").await;
    assert_eq!(answer.element("Account"), Some(GATEWAY_ACCOUNT));
    let answer = post(&sts, "Action=GetSessionToken&Version=2011-06-15").await;
    assert_eq!(answer.error(), (400, "InvalidAction"));

    let unsigned = reject_code(&sts, "").await;
    assert_eq!(unsigned, (403, "MissingAuthenticationToken".to_owned()));
    let bearer = reject_code(&sts, "Authorization: Bearer x\r\n").await;
    assert_eq!(bearer, (400, "IncompleteSignature".to_owned()));
    assert!(sts.calls().is_empty());
}

async fn reject_code(sts: &Sts, header: &str) -> (u16, String) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    let mut stream = TcpStream::connect(sts.server().addr()).await.unwrap();
    let head =
        format!("POST / HTTP/1.1\r\nHost: x\r\n{header}Content-Length: 0\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    let answer = Answer { status, xml: answer };
    (status, answer.element("Code").unwrap().to_owned())
}
