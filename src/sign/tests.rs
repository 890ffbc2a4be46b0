use std::path::Path;

use aws_sigv4::http_request::{SignableBody, SignableRequest};
use serde_json::Value;

use super::*;

/// A request of the vectors: the raw HTTP/1.1 text.
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

#[test]
fn the_published_vectors_pass_through_our_settings() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/sigv4");
    let mut passed = 0;
    for case in std::fs::read_dir(folder).unwrap() {
        let case = case.unwrap().path();
        if !case.is_dir() {
            continue;
        }
        let read = |name: &str| std::fs::read_to_string(case.join(name)).unwrap();
        let context: Value = serde_json::from_str(&read("context.json")).unwrap();
        // These differ from Bedrock's settings in what the context says of them.
        if context["sign_body"] == true
            || context["omit_session_token"] == true
            || context["normalize"] == false
        {
            continue;
        }
        let request = raw(&read("request.txt"));
        let text = |name: &str| context["credentials"][name].as_str();
        let credentials = Credentials::new(
            text("access_key_id").unwrap(),
            text("secret_access_key").unwrap(),
            text("token").map(str::to_owned),
            None,
            "vectors",
        );
        let host = request.headers.iter().find(|(name, _)| name == "host").unwrap().1.trim().to_owned();
        let uri = format!("https://{host}{}", request.target.replace(' ', "%20"));
        let headers = request.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let body = SignableBody::Bytes(request.body.as_bytes());
        let signable = SignableRequest::new(&request.method, uri, headers, body).unwrap();
        let timestamp = context["timestamp"].as_str().unwrap();
        let at =
            time::OffsetDateTime::parse(timestamp, &time::format_description::well_known::Rfc3339).unwrap();
        let (region, service) = (context["region"].as_str().unwrap(), context["service"].as_str().unwrap());
        let signed = instructions(signable, credentials, region, service, at.into()).unwrap();
        let authorization = signed.headers().find(|(name, _)| *name == "authorization").unwrap().1.to_owned();
        let expected = read("header-signature.txt");
        let case = case.file_name().unwrap().to_string_lossy().into_owned();
        assert!(
            authorization.ends_with(&format!("Signature={}", expected.trim())),
            "{case}: {authorization}"
        );
        passed += 1;
    }
    assert!(passed >= 20, "only {passed} vectors apply");
}
