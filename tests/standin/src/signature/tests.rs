//! The vectors come from AWS's own suite (`aws-signing-test-suite/v4` of awslabs/aws-c-auth).

use std::time::Duration;

use http::{HeaderName, HeaderValue};

use super::*;

const HOST: &str = "example.amazonaws.com";
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
const TOKEN: &str = "6e86291e8372ff2a2260956d9b8aae1d763fbf315fa00fa31553b73ebf194267";

/// A request from AWS's suite. The tests add `Host` and `X-Amz-Date`.
struct Request<'a> {
    method: &'a str,
    path: &'a str,
    query: Option<&'a str>,
    headers: Vec<(&'a str, &'a str)>,
    body: &'a str,
    signed_headers: &'a str,
    signature: &'a str,
}

const GET: Request<'_> = Request {
    method: "GET",
    path: "/",
    query: None,
    headers: Vec::new(),
    body: "",
    signed_headers: "host;x-amz-date",
    signature: "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
};

impl Request<'_> {
    fn headers(&self) -> HeaderMap {
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
             SignedHeaders={}, Signature={}",
            self.signed_headers, self.signature
        );
        let mut headers = HeaderMap::new();
        let fixed = [("x-amz-date", "20150830T123600Z"), ("authorization", authorization.as_str())];
        for (name, value) in fixed.into_iter().chain(self.headers.iter().copied()) {
            headers.append(
                name.parse::<HeaderName>().unwrap(),
                HeaderValue::from_bytes(value.as_bytes()).unwrap(),
            );
        }
        headers
    }

    fn check(&self, token: Option<&str>) -> Result<Signer, SignatureFault> {
        self.check_headers(&self.headers(), token)
    }

    fn check_headers(&self, headers: &HeaderMap, token: Option<&str>) -> Result<Signer, SignatureFault> {
        let expect = Expect { service: "service", region: "us-east-1", now: noon() };
        verify(self.method, self.path, self.query, headers, HOST, self.body.as_bytes(), &expect, |id| {
            (id == "AKIDEXAMPLE")
                .then(|| Credential { secret: SECRET.to_owned(), session_token: token.map(str::to_owned) })
        })
    }
}

fn noon() -> SystemTime {
    clock::parse_amz_date("20150830T123600Z").unwrap()
}

#[test]
fn published_vectors_verify() {
    let vectors = [
        ("get-vanilla", GET),
        (
            "post-vanilla-query",
            Request {
                method: "POST",
                query: Some("Param1=value1"),
                signature: "28038455d6de14eafc1f9222cf5aa6f1a96197d7deb8263271d420d138af7f11",
                ..GET
            },
        ),
        (
            "get-vanilla-query-order-encoded",
            Request {
                query: Some("Param-3=Value3&Param=Value2&%E1%88%B4=Value1"),
                signature: "371d3713e185cc334048618a97f809c9ffe339c62934c032af5a0e595648fcac",
                ..GET
            },
        ),
        (
            "get-utf8",
            Request {
                path: "/ሴ",
                signature: "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85",
                ..GET
            },
        ),
        (
            "get-header-value-trim",
            Request {
                headers: vec![("my-header1", " value1"), ("my-header2", r#" "a   b   c""#)],
                signed_headers: "host;my-header1;my-header2;x-amz-date",
                signature: "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736",
                ..GET
            },
        ),
        (
            "post-x-www-form-urlencoded",
            Request {
                method: "POST",
                headers: vec![
                    ("content-type", "application/x-www-form-urlencoded"),
                    ("content-length", "13"),
                    (
                        "x-amz-content-sha256",
                        "9095672bbd1f56dfc5b65f3e153adc8731a4a654192329106275f4c7b24d0b6e",
                    ),
                ],
                body: "Param1=value1",
                signed_headers: "content-length;content-type;host;x-amz-content-sha256;x-amz-date",
                signature: "d3875051da38690788ef43de4db0d8f280229d82040bfac253562e56c3f20e0b",
                ..GET
            },
        ),
    ];
    for (name, request) in vectors {
        let signer = request.check(None).unwrap_or_else(|fault| panic!("{name}: {fault}"));
        assert_eq!(signer.access_key_id, "AKIDEXAMPLE");
        assert_eq!(signer.signed_at, noon());
        assert!(signer.strays.is_empty());
    }
}

fn with_token() -> Request<'static> {
    Request {
        headers: vec![("x-amz-security-token", TOKEN)],
        signed_headers: "host;x-amz-date;x-amz-security-token",
        signature: "07ec1639c89043aa0e3e2de82b96708f198cceab042d4a97044c66dd9f74e7f8",
        ..GET
    }
}

#[test]
fn a_session_token_must_belong_to_the_session() {
    assert!(with_token().check(Some(TOKEN)).is_ok());
    let refused = [
        (with_token().check(None), SignatureFault::TokenUnexpected),
        (with_token().check(Some("x")), SignatureFault::TokenMismatch),
        (GET.check(Some(TOKEN)), SignatureFault::TokenMissing),
    ];
    for (found, expected) in refused {
        assert_eq!(found, Err(expected));
    }
}

#[test]
fn a_mismatch_shows_the_canonical_request_but_not_the_token() {
    let request = Request { method: "POST", ..with_token() };
    let fault = request.check(Some(TOKEN)).unwrap_err();
    let SignatureFault::Mismatch { canonical_request, .. } = &fault else {
        panic!("{fault}");
    };
    assert!(canonical_request.starts_with("POST\n/\n"));
    assert!(!format!("{fault:?} {fault}").contains(TOKEN));
}

#[test]
fn unsigned_headers_are_rejected() {
    let body = Request { body: "{}", ..GET };
    let path = Request { path: "/a", ..GET };
    let query = Request { query: Some("a=b"), ..GET };
    for request in [body, path, query] {
        assert!(matches!(request.check(None), Err(SignatureFault::Mismatch { .. })));
    }
    let header = Request { headers: vec![("x-amz-target", "x")], ..GET };
    assert_eq!(header.check(None), Err(SignatureFault::HeaderNotSigned("x-amz-target".to_owned())));
    let hash = Request {
        headers: vec![("x-amz-content-sha256", "UNSIGNED-PAYLOAD")],
        signed_headers: "host;x-amz-content-sha256;x-amz-date",
        ..GET
    };
    assert_eq!(hash.check(None), Err(SignatureFault::PayloadHash));
}

#[test]
fn only_normalized_paths_are_accepted() {
    for path in ["//", "/a//b", "/a/../b", "/./a", "/a/%2e%2E/b", "/a/.%2e", "*"] {
        let request = Request { path, ..GET };
        assert_eq!(request.check(None), Err(SignatureFault::PathNotNormal), "{path}");
    }
    assert_eq!(
        canonical::path("/model/us.anthropic.claude-v1%3A0/in voke/").unwrap(),
        "/model/us.anthropic.claude-v1%253A0/in%20voke/"
    );
}

#[test]
fn the_authorization_header_must_have_the_exact_form() {
    let with = |value: Option<&str>| {
        let mut headers = GET.headers();
        headers.remove("authorization");
        if let Some(value) = value {
            headers.insert("authorization", value.parse().unwrap());
        }
        GET.check_headers(&headers, None).unwrap_err()
    };
    assert_eq!(with(None), SignatureFault::MissingAuthorization);
    assert_eq!(with(Some("Bearer ey.y.y")), SignatureFault::OtherScheme);
    assert!(matches!(with(Some("AWS4-HMAC-SHA256 Credential=a")), SignatureFault::Malformed(_)));
    assert!(matches!(
        with(Some(
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/eu-west-1/service/aws4_request, \
             SignedHeaders=host;x-amz-date, Signature=0"
        )),
        SignatureFault::Scope { .. }
    ));
    assert_eq!(
        with(Some(
            "AWS4-HMAC-SHA256 Credential=OTHER/20150830/us-east-1/service/aws4_request, \
             SignedHeaders=host;x-amz-date, Signature=0"
        )),
        SignatureFault::UnknownKey("OTHER".to_owned())
    );
    let mut twice = GET.headers();
    twice.append("authorization", "Bearer x".parse().unwrap());
    assert_eq!(
        GET.check_headers(&twice, None),
        Err(SignatureFault::HeaderRepeated("authorization".to_owned()))
    );
    let presigned = Request { query: Some("%58-Amz-Signature=0"), ..GET };
    assert_eq!(presigned.check(None), Err(SignatureFault::QueryAuthentication));
}

#[test]
fn the_date_must_be_within_five_minutes() {
    let at = |now| {
        check_date("20150830T123600Z", now).map_err(|fault| matches!(fault, SignatureFault::Skewed { .. }))
    };
    assert!(at(noon() + MAX_SKEW).is_ok());
    assert!(at(noon() - MAX_SKEW).is_ok());
    assert_eq!(at(noon() + MAX_SKEW + Duration::from_secs(1)), Err(true));
    assert_eq!(at(noon() - MAX_SKEW - Duration::from_secs(1)), Err(true));
}

#[test]
fn stray_headers_are_reported() {
    let request = Request {
        headers: vec![
            ("connection", "X-Secret, close"),
            ("cookie", "a=b"),
            ("x-forwarded-for", "10.0.0.1"),
            ("x-secret", "1"),
            ("accept", "*/*"),
        ],
        ..GET
    };
    let mut strays = request.check(None).unwrap().strays;
    strays.sort();
    assert_eq!(strays, ["cookie", "x-forwarded-for", "x-secret"]);
}

/// The `Authorization` header of a request. The request must have all its other headers; all of them are signed.
pub(crate) fn sign<B>(
    request: &http::Request<B>,
    body: &[u8],
    access_key_id: &str,
    secret: &str,
    region: &str,
    service: &str,
) -> String {
    let headers = request.headers();
    let mut signed: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
    signed.sort_unstable();
    let host = canonical::single(headers, "host").unwrap();
    let date = canonical::single(headers, "x-amz-date").unwrap();
    let (day, _) = date.split_once('T').unwrap();
    let scope = format!("{day}/{region}/{service}/aws4_request");
    let canonical_request = format!(
        "{}\n{}\n{}\n{}\n{}\n{}",
        request.method(),
        canonical::path(request.uri().path()).unwrap(),
        canonical::query(request.uri().query().unwrap_or_default()).unwrap(),
        canonical::headers(&signed, headers, host).unwrap(),
        signed.join(";"),
        hex(digest::digest(&digest::SHA256, body).as_ref()),
    );
    let hashed = digest::digest(&digest::SHA256, canonical_request.as_bytes());
    let string_to_sign = format!("{ALGORITHM}\n{date}\n{scope}\n{}", hex(hashed.as_ref()));
    let signature = hmac::sign(&signing_key(secret, &scope), string_to_sign.as_bytes());
    format!(
        "{ALGORITHM} Credential={access_key_id}/{scope}, SignedHeaders={}, Signature={}",
        signed.join(";"),
        hex(signature.as_ref())
    )
}
