use proptest::prelude::*;

use super::*;

fn parsed(method: &Method, target: &str) -> Result<Route, RouteError> {
    let regions = ["us-west-2".into()];
    parse(&head(method, target.parse().unwrap()), &regions)
}

fn call(target: &str) -> Call {
    match parsed(&Method::POST, target) {
        Ok(Route::Call(call)) => call,
        other => panic!("{target}: {other:?}"),
    }
}

fn model(call: &Call) -> &str {
    match call.model_in() {
        ModelIn::Path(model) => model.as_str(),
        other => panic!("no model in the path: {other:?}"),
    }
}

#[test]
fn the_four_actions_of_two_operations() {
    for (action, operation) in [
        ("invoke", Operation::Invoke),
        ("invoke-with-response-stream", Operation::Invoke),
        ("converse", Operation::Converse),
        ("converse-stream", Operation::Converse),
    ] {
        let call = call(&format!("/model/amazon.nova-lite-v1%3A0/{action}"));
        assert_eq!(call.operation(), operation);
        assert_eq!(model(&call), "amazon.nova-lite-v1:0");
        assert_eq!(call.target().as_str(), format!("/model/amazon.nova-lite-v1%3A0/{action}"));
        assert_eq!(call.region(), None);
    }
}

#[test]
fn an_escaped_arn_is_decoded_and_sent_unchanged() {
    let arn = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc";
    for raw in [
        "arn%3Aaws%3Abedrock%3Aus-east-1%3A123456789012%3Aapplication-inference-profile%2Fabc",
        "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile%2fabc",
    ] {
        let call = call(&format!("/us-west-2/model/{raw}/invoke"));
        assert_eq!(model(&call), arn);
        assert_eq!(call.region().map(|region| &**region), Some("us-west-2"));
        assert_eq!(call.target().as_str(), format!("/model/{raw}/invoke"));
    }
}

#[test]
fn probes_and_unknown_routes() {
    assert_eq!(parsed(&Method::GET, "/"), Ok(Route::Probe));
    assert_eq!(parsed(&Method::HEAD, "/"), Ok(Route::Probe));
    for (method, target) in [
        (Method::POST, "/"),
        (Method::GET, "/model/m/invoke"),
        (Method::PUT, "/model/m/converse"),
        (Method::POST, "/model/m"),
        (Method::POST, "/model/m/invoke/x"),
        (Method::POST, "/eu-west-1/model/m/invoke"),
        (Method::POST, "/us-west-2/us-west-2/model/m/invoke"),
        (Method::POST, "/Model/m/invoke"),
        (Method::POST, "/mod%65l/m/invoke"),
    ] {
        assert_eq!(parsed(&method, target), Err(RouteError::Unknown { instead: None }), "{method} {target}");
    }
    assert_eq!(
        parsed(&Method::POST, "/model/m/invoke-with-bidirectional-stream"),
        Err(RouteError::Bidirectional)
    );
}

#[test]
fn targets_that_can_be_read_in_two_ways_are_refused() {
    for target in [
        "//model/m/invoke",
        "/model//m/invoke",
        "/model/m/invoke/",
        "/model/../model/m/invoke",
        "/model/./m/invoke",
        "/model/%2e%2E/invoke",
        "/model/.%2e/invoke",
        "/model/m;v=1/invoke",
        "/model/m%3Bv/invoke",
        "/model/m%0d%0aHost:x/invoke",
        "/model/m%00/invoke",
        "/model/m%7f/invoke",
        "/model/m%2F..%2Fother/invoke",
        "/model/m%2F%2Fother/invoke",
        "/model/m%/invoke",
        "/model/m%zz/invoke",
        "/model/%ff/invoke",
        "/model/m%20x/invoke",
        "/model/m%253A0/invoke",
        "/model/m/invoke?X-Amz-Signature=1",
        "/model/m/invoke?x%2Damz-date=1",
    ] {
        assert!(matches!(parsed(&Method::POST, target), Err(RouteError::Malformed(_))), "{target}");
    }
}

#[test]
fn the_query_is_sent_as_it_is_signed() {
    assert_eq!(
        call("/model/m/invoke?a=b+c&d=%2F&e&%C3%A9=1").target().as_str(),
        "/model/m/invoke?a=b%20c&d=%2F&e=&%C3%A9=1"
    );
}

#[test]
fn an_absolute_target_must_match_the_host() {
    let check = |version: Version, target: &str, hosts: &[&'static str]| {
        let mut head = head(&Method::POST, target.parse().unwrap());
        head.version = version;
        head.headers.clear();
        for host in hosts {
            head.headers.append(http::header::HOST, http::HeaderValue::from_static(host));
        }
        check_head(&head)
    };
    let absolute = "http://gateway:1/model/m/invoke";
    assert_eq!(check(Version::HTTP_11, absolute, &["GATEWAY:1"]), Ok(()));
    assert_eq!(check(Version::HTTP_11, absolute, &[]), Ok(()));
    assert!(check(Version::HTTP_11, absolute, &["elsewhere"]).is_err());
    let standard = "https://gateway/model/m/invoke";
    assert_eq!(check(Version::HTTP_11, standard, &["gateway:443"]), Ok(()));
    assert!(check(Version::HTTP_11, standard, &["gateway:80"]).is_err());
    let origin = "/model/m/invoke";
    assert_eq!(check(Version::HTTP_11, origin, &["x"]), Ok(()));
    assert!(check(Version::HTTP_11, origin, &["x", "x"]).is_err());
    assert!(check(Version::HTTP_11, origin, &[]).is_err());
    assert_eq!(check(Version::HTTP_10, origin, &[]), Ok(()));
}

/// Every row of `tests/cases/routes/served.txt`, and none of `refused.txt`.
#[test]
fn the_table_matches_the_cases() {
    for line in
        include_str!("../../tests/cases/routes/served.txt").lines().filter(|line| !line.starts_with('#'))
    {
        let [method, target, operation, service, model_in, sent] =
            line.split_whitespace().collect::<Vec<_>>().try_into().unwrap();
        let call = match parsed(&method.parse().unwrap(), target) {
            Ok(Route::Call(call)) => call,
            other => panic!("{line}: {other:?}"),
        };
        let found = match call.model_in() {
            ModelIn::Path(model) => format!("path={}", model.as_str()),
            ModelIn::Body(member) => format!("body={member}"),
            ModelIn::None => "none".to_owned(),
        };
        assert_eq!(call.operation().as_str(), operation, "{line}");
        assert_eq!(format!("{:?}", call.service()).to_lowercase(), service, "{line}");
        assert_eq!((found.as_str(), call.target().as_str()), (model_in, sent), "{line}");
        assert_eq!(call.method().as_str(), method);
    }
    for line in
        include_str!("../../tests/cases/routes/refused.txt").lines().filter(|line| !line.starts_with('#'))
    {
        let (method, target) = line.split_once(' ').unwrap();
        let refused = parsed(&method.parse().unwrap(), target);
        assert!(
            matches!(refused, Err(RouteError::Unknown { .. } | RouteError::Malformed(_))),
            "{line}: {refused:?}"
        );
    }
}

#[test]
fn an_unknown_path_names_the_row_that_ends_like_it() {
    for (method, target, expected) in [
        (Method::POST, "/v1/messages", Some("POST /anthropic/v1/messages")),
        (Method::GET, "/anthropic/v1/messages", Some("POST /anthropic/v1/messages")),
        (Method::POST, "/v1/messages/count_tokens", Some("POST /mantle/anthropic/v1/messages/count_tokens")),
        (Method::POST, "/chat/completions", Some("POST /openai/v1/chat/completions")),
        (Method::POST, "/v1/responses", Some("POST /openai/v1/responses")),
        (Method::GET, "/openai/v1/models", Some("GET /mantle/v1/models")),
        (Method::POST, "/v1/embeddings", None),
    ] {
        assert_eq!(
            parsed(&method, target),
            Err(RouteError::Unknown { instead: expected }),
            "{method} {target}"
        );
        if let Some((method, target)) = expected.and_then(|expected| expected.split_once(' ')) {
            assert!(parsed(&method.parse().unwrap(), target).is_ok(), "{method} {target}");
        }
    }
}

#[test]
fn every_path_has_the_dialect_of_its_clients() {
    let regions = ["us-west-2".into()];
    for (path, dialect) in [
        ("/model/m/converse", Dialect::Aws),
        ("/openai/v1/chat/completions", Dialect::OpenAi),
        ("/us-west-2/openai/v1/none", Dialect::OpenAi),
        ("/mantle/v1/models", Dialect::OpenAi),
        ("/us-west-2/mantle/openai/v1/responses/r", Dialect::OpenAi),
        ("/anthropic/v1/messages", Dialect::Anthropic),
        ("/mantle/anthropic/v1/messages/count_tokens", Dialect::Anthropic),
        ("/eu-west-1/openai/v1/x", Dialect::Aws),
        ("/", Dialect::Aws),
    ] {
        assert_eq!(Dialect::of(&path.parse().unwrap(), &regions), dialect, "{path}");
    }
}

proptest! {
    /// Every path of an operation has a legal id and is sent with the bytes that were received.
    #[test]
    fn no_path_is_rewritten(segments in prop::collection::vec("[a-zA-Z0-9.:%;/~ -]{0,12}|model|invoke|%2[eEfF]|\\.\\.", 1..5)) {
        let path = format!("/{}", segments.join("/"));
        if let Ok(uri) = path.parse::<Uri>()
            && let Ok(Route::Call(call)) = parse(&head(&Method::POST, uri), &[])
        {
            prop_assert_eq!(call.target().as_str(), path.as_str());
            if let ModelIn::Path(model) = call.model_in() {
                prop_assert!(ModelId::parse(model.as_str()).is_ok());
            }
        }
    }
}
