//! Finds Rust's debug output in what people read: the gateway's own lines, details of the access log, answers.

use std::sync::LazyLock;

use regex::Regex;

/// A variant or a struct as `{:?}` prints it: a name in camel case, and its first parenthesis or field. A list of
/// algorithms, whose names have no quotation marks. A long duration in seconds, where the gateway would write hours.
static SHAPE: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"\b[A-Z][A-Za-z0-9]*[a-z][A-Za-z0-9]*(?:\(| \{ [a-z_]+: )|\bSdkBody\b|\[(?:[REP]S(?:256|384|512)|EdDSA)\b|\b\d{2,}00s\b").unwrap()
});

/// The debug output in `text`, if there is any.
pub(crate) fn debug_text(text: &str) -> Option<&str> {
    SHAPE.find(text).map(|found| found.as_str())
}

/// The gateway's own lines in a part of the process log.
pub(crate) fn own_lines(log: &str) -> impl Iterator<Item = &str> {
    log.lines().filter(|line| {
        let mut words = line.split_whitespace().skip(2);
        words.next().is_some_and(|target| target.starts_with("bedrock_gateway"))
    })
}

#[test]
fn debug_output_is_found_and_prose_is_not() {
    for text in [
        "error=Some(\"x\")",
        "cannot read: Os { code: 2, kind: NotFound, message: \"No such file or directory\" }",
        "Custom { kind: Other, error: \"x\" }",
        "Error { kind: Timeout }",
        "ProviderError(ProviderError { source: x })",
        "status: StatusCode(403)",
        "invalid peer certificate: Other(OtherError(CaUsedAsEndEntity))",
        "an SdkBody of 3 bytes",
        "alg \"none\" is not in algorithms [RS256, ES256]",
        "longer ago than max_token_age 86400s",
    ] {
        assert!(debug_text(text).is_some(), "{text}");
    }
    for text in [
        "Environment (AWS_ACCESS_KEY_ID is not set), Profile (has none)",
        "iss \"https://x\" is not the url of any issuer",
        "audiences [\"bedrock-gateway\"]",
        "AWS(S) refuses {\"message\":\"x\"} [role] has(claims.x) && matches(claims.y)",
        "timeout=\"1m\"",
        "algorithms = [\"RS256\"] timeout=300s",
    ] {
        assert_eq!(debug_text(text), None, "{text}");
    }
}

#[test]
fn only_the_gateways_own_lines_are_searched() {
    let log = "2026-11-24T11:49:19Z  INFO bedrock_gateway::cli: a\n\
               2026-11-24T11:49:19Z DEBUG h2::codec: Frame(x)\n\
               the second line of an event\n";
    assert_eq!(own_lines(log).collect::<Vec<_>>(), ["2026-11-24T11:49:19Z  INFO bedrock_gateway::cli: a"]);
}

/// The proof that the search of the whole suite's log would fail: a deliberate line is found in it.
#[test]
fn a_deliberate_debug_value_in_the_log_is_found() {
    let log = Shared::default();
    let lines = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(log.clone());
    let subscriber = tracing_subscriber::layer::SubscriberExt::with(tracing_subscriber::registry(), lines);
    tracing::subscriber::with_default(subscriber, || {
        tracing::info!(target: "bedrock_gateway::example", left = ?Some(3), "words");
    });
    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert_eq!(own_lines(&text).find_map(debug_text), Some("Some("), "{text}");
}

#[derive(Clone, Default)]
struct Shared(std::sync::Arc<std::sync::Mutex<Vec<u8>>>);

impl std::io::Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl tracing_subscriber::fmt::MakeWriter<'_> for Shared {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}
