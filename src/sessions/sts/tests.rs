//! The meaning of answers, and the real client against a socket that answers as STS does.

use std::collections::VecDeque;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use url::Url;

use super::*;
use crate::proxy::Proxy;

mod slow;

const HOUR: Duration = CHAINED;
const CHAINING_LIMIT: &str =
    "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining";

#[test]
fn every_code_has_its_meaning() {
    let denied =
        ["AccessDenied", "PackedPolicyTooLarge", "MalformedPolicyDocumentException", "ValidationError"];
    let gateway = ["ExpiredToken", "ExpiredTokenException", "InvalidClientTokenId", "SignatureDoesNotMatch"];
    let throttled = ["Throttling", "ThrottlingException", "RequestLimitExceeded"];
    let failed = ["ServiceUnavailable", "InternalFailure", "SomethingNew"];
    for code in denied {
        assert!(matches!(StsError::of_code(code, "m"), StsError::Denied { .. }), "{code}");
    }
    for code in gateway.into_iter().chain(["RegionDisabledException", "RequestExpired"]) {
        assert!(matches!(StsError::of_code(code, "m"), StsError::GatewayRefused { .. }), "{code}");
    }
    for (codes, expected) in [(throttled, StsFailure::Throttled), (failed, StsFailure::Failed)] {
        for code in codes {
            let error = StsError::of_code(code, "m");
            assert!(matches!(error, StsError::Unavailable { failure, .. } if failure == expected), "{code}");
        }
    }
}

#[test]
fn a_chained_gateway_requests_an_hour_at_most() {
    let chaining = Chaining::new();
    let [one, other] = ["One", "Other"].map(|name| format!("arn:aws:iam::123456789012:role/{name}"));
    let [one, other] = [one, other].map(|arn| RoleArn::parse(&arn).unwrap());
    assert_eq!(chaining.allowed(&one, 2 * HOUR, true), HOUR);
    assert_eq!(chaining.allowed(&one, HOUR / 2, true), HOUR / 2);
    assert_eq!(chaining.allowed(&one, 2 * HOUR, false), 2 * HOUR);
    chaining.learn(&one);
    assert_eq!(chaining.allowed(&one, 2 * HOUR, false), HOUR);
    assert_eq!(chaining.allowed(&other, 2 * HOUR, false), 2 * HOUR);
}

fn error(status: u16, code: &str, message: &str) -> (u16, String) {
    let error = format!("<Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error>");
    (status, format!("<ErrorResponse>{error}<RequestId>r</RequestId></ErrorResponse>"))
}

fn granted() -> (u16, String) {
    let credentials = "<AccessKeyId>ASIA1</AccessKeyId><SecretAccessKey>hidden</SecretAccessKey>\
        <SessionToken>token</SessionToken><Expiration>2030-01-01T00:00:00Z</Expiration>";
    let result = format!("<AssumeRoleResult><Credentials>{credentials}</Credentials></AssumeRoleResult>");
    (200, format!("<AssumeRoleResponse>{result}</AssumeRoleResponse>"))
}

/// A server that sends these answers, one for each connection. Returns its address and, at the end, the bodies of the
/// requests.
async fn serve(mut answers: VecDeque<(u16, String)>) -> (Url, tokio::task::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = Url::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    let served = tokio::spawn(async move {
        let mut bodies = Vec::new();
        while let Some((status, answer)) = answers.pop_front() {
            let (mut stream, _) = listener.accept().await.unwrap();
            bodies.push(read_body(&mut stream).await);
            let head =
                format!("HTTP/1.1 {status} -\r\nconnection: close\r\ncontent-length: {}", answer.len());
            stream.write_all(format!("{head}\r\n\r\n{answer}").as_bytes()).await.unwrap();
        }
        bodies
    });
    (url, served)
}

async fn read_body(stream: &mut TcpStream) -> String {
    let mut read = Vec::new();
    loop {
        let mut chunk = [0; 4096];
        let count = stream.read(&mut chunk).await.unwrap();
        read.extend_from_slice(&chunk[..count]);
        let text = String::from_utf8_lossy(&read).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        if length.is_none_or(|length| body.len() >= length.parse().unwrap()) || count == 0 {
            return body.to_owned();
        }
    }
}

fn client(endpoint: Url, session_token: Option<&str>) -> StsClient {
    let token = session_token.map(str::to_owned);
    let source = OwnCredentials::new(Credentials::new("AKIA", "hidden", token, None, "test"));
    StsClient::new(&at(endpoint), source).unwrap()
}

fn at(endpoint: Url) -> StsSettings {
    let region = "us-east-1".to_owned();
    StsSettings {
        region,
        endpoint: Some(endpoint),
        ca: None,
        fips: false,
        dual_stack: false,
        timeout: STS_DEADLINE,
        proxy: Proxy::default(),
    }
}

fn alice(duration: Duration) -> Arc<SessionIdentity> {
    let role = "arn:aws:iam::123456789012:role/BedrockUser";
    Arc::new(SessionIdentity::for_tests(role, "alice@acme.org", &[("team", "search and find")], duration))
}

#[tokio::test]
async fn a_call_has_role_name_and_tags_and_its_session_is_read() {
    let (url, served) = serve([granted()].into()).await;
    let issued = client(url, None).assume_role(alice(HOUR), &Rate::new(1000)).await.unwrap();
    assert_eq!(issued.credentials.access_key_id(), "ASIA1");
    assert_eq!(issued.token, "token");
    assert!(issued.token.is_sensitive());
    assert_eq!(issued.expires.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs(), 1_893_456_000);

    let body = served.await.unwrap().concat();
    for part in [
        "Action=AssumeRole",
        "RoleArn=arn%3Aaws%3Aiam%3A%3A123456789012%3Arole%2FBedrockUser",
        "RoleSessionName=alice%40acme.org",
        "DurationSeconds=3600",
        "Tags.member.1.Key=team&Tags.member.1.Value=search%20and%20find",
    ] {
        assert!(body.contains(part), "{part} in {body}");
    }
    assert!(!body.contains("PolicyArns") && !body.contains("TransitiveTagKeys"), "{body}");
}

#[tokio::test]
async fn a_denial_is_not_retried() {
    let (url, served) = serve([error(403, "AccessDenied", "User: x is not authorized")].into()).await;
    let error = client(url, None).assume_role(alice(HOUR), &Rate::new(1000)).await.unwrap_err();
    assert_eq!(error.to_string(), "AccessDenied: User: x is not authorized");
    assert!(matches!(error, StsError::Denied { .. }));
    assert_eq!(served.await.unwrap().len(), 1);
}

#[tokio::test]
async fn every_retry_takes_a_turn_of_its_own() {
    let late = || error(400, "Throttling", "Rate exceeded");
    let (url, served) = serve([late(), error(503, "ServiceUnavailable", ""), granted()].into()).await;
    let rate = Rate::new(4);
    client(url, None).assume_role(alice(HOUR), &rate).await.unwrap();
    assert_eq!(served.await.unwrap().len(), 3);
    let left = std::iter::from_fn(|| rate.take_spare().then_some(())).take(4).count();
    assert!((2..4).contains(&left), "{left} of the second's four turns are left");

    let (url, served) = serve([late(), late(), late()].into()).await;
    let error = client(url, None).assume_role(alice(HOUR), &Rate::new(1000)).await.unwrap_err();
    assert!(matches!(error, StsError::Unavailable { failure: StsFailure::Throttled, .. }), "{error:?}");
    assert_eq!(served.await.unwrap().len(), 3, "three attempts at most");
}

#[tokio::test]
async fn the_limit_of_role_chaining_is_learnt_once() {
    let limit = error(400, "ValidationError", CHAINING_LIMIT);
    let (url, served) = serve([limit, granted(), granted()].into()).await;
    let client = client(url, None);
    client.assume_role(alice(2 * HOUR), &Rate::new(1000)).await.unwrap();
    client.assume_role(alice(2 * HOUR), &Rate::new(1000)).await.unwrap();
    let bodies = served.await.unwrap();
    let durations = ["DurationSeconds=7200", "DurationSeconds=3600", "DurationSeconds=3600"];
    assert!(bodies.iter().zip(durations).all(|(body, duration)| body.contains(duration)), "{bodies:?}");
}

#[tokio::test]
async fn a_second_call_without_a_turn_is_at_the_gateways_own_limit() {
    let (url, served) = serve([error(400, "ValidationError", CHAINING_LIMIT)].into()).await;
    let rate = Rate::new(1);
    // Each call takes its turn at once, and then waits for it: the next free turn is in eight seconds.
    for call in 0..8 {
        let waits = tokio::time::timeout(Duration::ZERO, rate.turn()).await.is_err();
        assert!(waits || call == 0);
    }
    let error = client(url, None).assume_role(alice(2 * HOUR), &rate).await.unwrap_err();
    let StsError::Unavailable { failure, .. } = &error else { panic!("{error:?}") };
    assert_eq!(failure.reason(), Reason::StsRateExhausted);
    assert_eq!(served.await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_gateway_with_a_session_never_exceeds_the_limit_of_role_chaining() {
    let (url, served) = serve([granted()].into()).await;
    let client = client(url, Some("token"));
    client.source.warm().await.unwrap();
    client.assume_role(alice(2 * HOUR), &Rate::new(1000)).await.unwrap();
    assert!(served.await.unwrap().concat().contains("DurationSeconds=3600"));
}

#[tokio::test]
async fn a_duration_above_the_maximum_of_the_role_is_a_denial() {
    let words = "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.";
    let (url, served) = serve([error(400, "ValidationError", words)].into()).await;
    let error = client(url, None).assume_role(alice(2 * HOUR), &Rate::new(1000)).await.unwrap_err();
    assert!(matches!(error, StsError::Denied { .. }), "{error:?}");
    assert_eq!(served.await.unwrap().len(), 1);
}

#[derive(Debug)]
struct Nothing;

impl aws_credential_types::provider::ProvideCredentials for Nothing {
    fn provide_credentials<'a>(&'a self) -> aws_credential_types::provider::future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        let error = CredentialsError::not_loaded("none here");
        aws_credential_types::provider::future::ProvideCredentials::ready(Err(error))
    }
}

#[tokio::test]
async fn missing_own_credentials_are_a_failure_of_the_gateway() {
    let (url, _) = serve(VecDeque::new()).await;
    let client = StsClient::new(&at(url), OwnCredentials::new(Nothing)).unwrap();
    let error = client.assume_role(alice(HOUR), &Rate::new(1000)).await.unwrap_err();
    assert!(matches!(&error, StsError::GatewayRefused { code, .. } if code == "NoCredentials"), "{error:?}");
}

#[tokio::test]
async fn the_default_chain_is_built_without_a_request() {
    let settings = at(Url::parse("http://127.0.0.1:1").unwrap());
    let source = OwnCredentials::from_environment(&settings).unwrap();
    assert!(!source.status().had_credentials);
}
