use std::path::Path;
use std::time::Duration;

use aws_sigv4::http_request::{
    PayloadChecksumKind, PercentEncodingMode, SessionTokenMode, SignableBody, SignableRequest,
    SigningSettings, UriPathNormalizationMode, sign as sign_v4,
};
use aws_sigv4::sign::v4;
use http::Method;
use http::uri::PathAndQuery;
use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::body::digest::BodyDigest;

/// A request of the published vectors, from its raw HTTP/1.1 text.
struct Raw {
    method: String,
    target: String,
    headers: Vec<(String, String)>,
    body: String,
}

fn raw(text: &str) -> Raw {
    let text = text.replace("\r\n", "\n");
    let (head, body) = text.split_once("\n\n").unwrap_or((&text, ""));
    let mut lines = head.lines();
    let line = lines.next().unwrap();
    let (method, rest) = line.split_once(' ').unwrap();
    let (target, _) = rest.rsplit_once(' ').unwrap();
    let mut headers: Vec<(String, String)> = Vec::new();
    for line in lines.filter(|line| !line.is_empty()) {
        match line.split_once(':') {
            Some((name, value)) if !line.starts_with(' ') => {
                headers.push((name.to_lowercase(), value.to_owned()));
            }
            _ => {
                let (_, value) = headers.last_mut().unwrap();
                value.push_str(line);
            }
        }
    }
    Raw { method: method.to_owned(), target: target.to_owned(), headers, body: body.to_owned() }
}

/// The `Authorization` value as [`sign`] makes it, from the parts of a call.
fn ours(
    request: &Raw,
    credentials: &Credentials,
    region: &str,
    service: &'static str,
    at: SystemTime,
) -> String {
    let scope = Scope { day: day(at), region: region.into(), service };
    let stamp = Stamp::of(at);
    let mut headers: Vec<(&str, &[u8])> =
        request.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
    headers.retain(|(name, _)| *name != "x-amz-date" && *name != "x-amz-security-token");
    headers.push(("x-amz-date", stamp.as_str().as_bytes()));
    headers.extend(credentials.session_token().map(|token| ("x-amz-security-token", token.as_bytes())));
    let method: Method = request.method.parse().unwrap();
    let target: PathAndQuery = request.target.parse().unwrap();
    let body = &BodyDigest::of(request.body.as_bytes());
    let canonical = Canonical { method: &method, target: &target, headers, body };
    let key = derive(credentials, at, &scope);
    String::from_utf8(canonical.authorization(credentials.access_key_id(), key, &stamp, &scope)).unwrap()
}

/// The target with its query encoded as the router does it, and its path unchanged.
fn routed(target: &str) -> String {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let encode = |text: &str| {
        const RESERVED: &percent_encoding::AsciiSet =
            &percent_encoding::NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
        percent_encoding::utf8_percent_encode(text, RESERVED).to_string()
    };
    let pairs: Vec<String> = url::form_urlencoded::parse(query.as_bytes())
        .map(|(name, value)| format!("{}={}", encode(&name), encode(&value)))
        .collect();
    if pairs.is_empty() { path.to_owned() } else { format!("{path}?{}", pairs.join("&")) }
}

#[test]
fn the_published_vectors_have_their_published_signatures() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/sigv4");
    let mut passed = 0;
    for case in std::fs::read_dir(folder).unwrap() {
        let case = case.unwrap().path();
        if !case.is_dir() {
            continue;
        }
        let name = case.file_name().unwrap().to_string_lossy().into_owned();
        let read = |name: &str| std::fs::read_to_string(case.join(name)).unwrap();
        let context: Value = serde_json::from_str(&read("context.json")).unwrap();
        // The context of these vectors differs from the settings for Bedrock.
        if context["sign_body"] == true
            || context["omit_session_token"] == true
            || context["normalize"] == false
        {
            continue;
        }
        let mut request = raw(&read("request.txt"));
        request.target = routed(&request.target.replace(' ', "%20"));
        let path = request.target.split('?').next().unwrap();
        if path != "/" && path.split('/').skip(1).any(|segment| ["", ".", ".."].contains(&segment)) {
            // The router rejects every path that would need normalisation.
            let uri = request.target.parse().unwrap();
            let head = crate::route::head(&request.method.parse().unwrap(), uri);
            let refused = crate::route::parse(&head, &[]);
            assert!(matches!(refused, Err(crate::route::RouteError::Malformed(_))), "{name}: {refused:?}");
            continue;
        }
        let text = |name: &str| context["credentials"][name].as_str();
        let credentials = Credentials::new(
            text("access_key_id").unwrap(),
            text("secret_access_key").unwrap(),
            text("token").map(str::to_owned),
            None,
            "vectors",
        );
        let timestamp = context["timestamp"].as_str().unwrap();
        let at =
            time::OffsetDateTime::parse(timestamp, &time::format_description::well_known::Rfc3339).unwrap();
        assert_eq!(context["service"], "service");
        let authorization =
            ours(&request, &credentials, context["region"].as_str().unwrap(), "service", at.into());
        let expected = read("header-signature.txt");
        assert!(
            authorization.ends_with(&format!("Signature={}", expected.trim())),
            "{name}: {authorization}"
        );
        passed += 1;
    }
    assert!(passed >= 20, "only {passed} vectors apply");
}

/// The same value by AWS's own crate, with the settings of its SDK for Bedrock.
fn theirs(request: &Raw, credentials: &Credentials, region: &str, service: &str, at: SystemTime) -> String {
    let mut settings = SigningSettings::default();
    settings.percent_encoding_mode = PercentEncodingMode::Double;
    settings.uri_path_normalization_mode = UriPathNormalizationMode::Enabled;
    settings.payload_checksum_kind = PayloadChecksumKind::NoHeader;
    settings.session_token_mode = SessionTokenMode::Include;
    let identity = credentials.clone().into();
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region(region)
        .name(service)
        .time(at)
        .settings(settings)
        .build()
        .unwrap()
        .into();
    let host = &request.headers.iter().find(|(name, _)| name == "host").unwrap().1;
    let headers = request.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let body = SignableBody::Bytes(request.body.as_bytes());
    let uri = format!("https://{host}{}", request.target);
    let signable = SignableRequest::new(&request.method, uri, headers, body).unwrap();
    let (signed, _) = sign_v4(signable, &params).unwrap().into_parts();
    signed.headers().find(|(name, _)| *name == "authorization").unwrap().1.to_owned()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]
    #[test]
    fn every_call_is_signed_as_awss_own_crate_signs_it(
        method in prop::sample::select(vec!["GET", "POST", "DELETE"]),
        segments in prop::collection::vec("([A-Za-z0-9._~:@!$&'()*+,=-]|%[0-9A-Fa-f]{2}){1,20}x", 1..5),
        query in prop::collection::vec(("[ -~]{0,8}", "\\PC{0,8}"), 0..5),
        headers in prop::collection::vec(("x-amzn-bedrock-[a-c]|content-type|accept", "[!-~]([ -~\t]{0,20}[!-~])?"), 0..6),
        token in prop::option::of("[A-Za-z0-9+/=]{1,200}"),
        body in "\\PC{0,200}",
        seconds in 0_u64..4_000_000_000,
        service in prop::sample::select(vec!["bedrock", "bedrock-mantle"]),
    ) {
        let query: String = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(query).finish();
        let target = routed(&format!("/{}?{query}", segments.join("/")));
        let mut headers = headers;
        headers.push(("host".to_owned(), "bedrock-runtime.us-east-1.amazonaws.com".to_owned()));
        let request = Raw { method: method.to_owned(), target, headers, body };
        let credentials = Credentials::new("ASIAEXAMPLE", "secret/key+", token, None, "test");
        let at = UNIX_EPOCH + Duration::from_secs(seconds);
        prop_assert_eq!(
            ours(&request, &credentials, "us-east-1", service, at),
            theirs(&request, &credentials, "us-east-1", service, at)
        );
    }
}
