use std::fmt;
use std::io::Write;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::*;
use crate::telemetry::log::LogFormat;

pub(super) fn record() -> AccessRecord<'static> {
    AccessRecord {
        time: SystemTime::UNIX_EPOCH + Duration::from_millis(1_800_000_000_007),
        request_id: "r-1",
        aws_request_id: None,
        client: Some(Ipv4Addr::LOCALHOST.into()),
        user_agent: Some("aws-sdk\u{1b}[2J\nforged line"),
        issuer: None,
        subject: None,
        jti: None,
        unverified: Some(Unverified { issuer: Some("https://evil"), subject: None }),
        role_rule: None,
        principal: Some("arn:aws:sts::123456789012:assumed-role/BedrockUser/alice@acme.org"),
        tags: vec![("team", "search"), ("unit", "a b")],
        access_key_id: None,
        operation: Some("converse"),
        model: None,
        region: None,
        protocol: "h2",
        status: 200,
        error_type: None,
        reason: None,
        detail: None,
        claims: vec![],
        upstream_message: None,
        request_bytes: 0,
        response_bytes: 0,
        first_byte_ms: Some(12),
        duration_ms: 34,
        upstream_attempts: 1,
        session: Some("hit"),
        ended: Ended::Complete,
    }
}

#[test]
fn the_json_line_has_the_documented_names_and_leaves_out_what_is_unknown() {
    let log = AccessLog::memory();
    log.write(&record());
    let lines = log.lines();
    let line: Value = serde_json::from_str(&lines[0]).unwrap();
    assert_eq!(line["time"], "2027-01-15T08:00:00.007Z");
    assert_eq!(line["request_id"], "r-1");
    assert_eq!(line["client"], "127.0.0.1");
    assert_eq!(line["tags"]["team"], "search");
    assert_eq!(line["unverified"]["issuer"], "https://evil");
    assert_eq!(line["ended"], "complete");
    assert_eq!(line["session"], "hit");
    assert!(line.get("model").is_none() && line.get("reason").is_none());
    assert!(!lines[0].contains('\n'));
}

/// An ordinary request, as its access log line shows it.
fn shown(record: &AccessRecord<'_>) -> String {
    one_line::of(record, Stamp::Time, false)
}

#[test]
fn the_line_for_people_has_what_they_look_for_first() {
    let model = Some("us.anthropic.claude-sonnet-4-6-v1:0");
    let id = "0ad596fd-5b1e-4d5c-9a55-0d3f6a1b2c3d";
    let answered = AccessRecord { model, request_id: id, tags: vec![("team", "search")], ..record() };
    assert_eq!(
        shown(&answered),
        "08:00:00Z 200 converse        sonnet-4-6 alice@acme.org  search  34 ms 0ad596fd"
    );
    let in_file = one_line::of(&answered, Stamp::DateAndTime, false);
    assert!(in_file.starts_with("2027-01-15T08:00:00Z 200 converse "), "{in_file}");
    let refused = AccessRecord {
        status: 403,
        reason: Some(Reason::ModelForbidden),
        detail: Some("role rule 0 allows no model of this name"),
        ..answered.clone()
    };
    assert_eq!(
        shown(&refused),
        "08:00:00Z 403 converse        sonnet-4-6 alice@acme.org  search  34 ms 0ad596fd model_forbidden: role \
         rule 0 allows no …"
    );
    let anonymous = AccessRecord {
        status: 401,
        reason: Some(Reason::TokenMissing),
        principal: None,
        tags: Vec::new(),
        ..refused.clone()
    };
    assert!(shown(&anonymous).contains(" - "), "{}", shown(&anonymous));
    assert!(!shown(&anonymous).contains("alice"), "{}", shown(&anonymous));
    let left = AccessRecord { ended: Ended::Client, reason: Some(Reason::Ok), ..answered };
    assert!(shown(&left).ends_with(" 0ad596fd ended=client"), "{}", shown(&left));
}

#[test]
fn no_value_of_a_peer_makes_the_line_longer_than_a_terminal_or_acts_on_it() {
    let hostile = "\u{1b}[2J\n\u{202e}\u{9b}31m漢字の名前".repeat(40);
    for stamp in [Stamp::Time, Stamp::DateAndTime] {
        let all = AccessRecord {
            request_id: &hostile,
            principal: Some(&hostile),
            subject: Some(&hostile),
            tags: vec![("team", &hostile), ("unit", &hostile)],
            operation: Some("responses-stored"),
            model: Some(&hostile),
            status: 403,
            reason: Some(Reason::RequestHeaderRepeated),
            detail: Some(&hostile),
            duration_ms: u64::MAX,
            ..record()
        };
        let line = one_line::of(&all, stamp, false);
        assert!(style::columns(&line) <= one_line::COLUMNS, "{} columns: {line}", style::columns(&line));
        assert!(line.contains("request_header_repeated"), "{line}");
        assert!(!line.contains(|c: char| c.is_control() || c == '\u{202e}'), "{line}");
        let detail = AccessRecord {
            request_id: "0ad596fd-5b1e",
            detail: Some(&hostile),
            reason: Some(Reason::NoRole),
            ..record()
        };
        let line = one_line::of(&detail, stamp, false);
        assert!(style::columns(&line) <= one_line::COLUMNS && line.ends_with('…'), "{line}");
        assert!(!line.contains(|c: char| c.is_control() || c == '\u{202e}'), "{line}");
    }
}

#[test]
fn colours_tell_answers_from_refusals_and_change_nothing_else() {
    let plain = |line: &str| anstream::adapter::strip_str(line).to_string();
    for (status, code) in [(200, "\u{1b}[32m200"), (403, "\u{1b}[33m403"), (503, "\u{1b}[31m503")] {
        let record = AccessRecord { status, ..record() };
        let line = one_line::of(&record, Stamp::Time, true);
        assert!(line.contains(code), "{line:?}");
        assert_eq!(plain(&line), shown(&record));
    }
}

/// The members of a JSON object in the order in which they were written.
struct Fields(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Fields;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

/// The record has every field set. A new field must be added here, and none may be missing from the line.
#[test]
fn every_field_of_the_documentation_is_written() {
    let full = AccessRecord {
        aws_request_id: Some("a"),
        issuer: Some("okta"),
        subject: Some("s"),
        jti: Some("j"),
        role_rule: Some(1),
        access_key_id: Some("ASIA"),
        model: Some("m"),
        region: Some("us-east-1"),
        error_type: Some("T"),
        reason: Some(Reason::NoRole),
        detail: Some("d"),
        claims: vec![("groups", "[]")],
        upstream_message: Some("m"),
        ..record()
    };
    let Fields(fields) = serde_json::from_str(&full.json()).unwrap();
    let names: Vec<_> = fields.iter().map(|(name, _)| name.as_str()).collect();
    let documented = "time request_id aws_request_id client user_agent issuer subject jti unverified role_rule \
        principal tags access_key_id operation model region protocol status error_type reason detail claims upstream_message \
        request_bytes response_bytes first_byte_ms duration_ms upstream_attempts session ended";
    assert_eq!(names, documented.split_whitespace().collect::<Vec<_>>());
}

#[test]
fn lines_of_many_threads_reach_the_file_whole() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let settings =
        LogSettings { format: LogFormat::Auto, file: Some(file.path().to_owned()), level: "info".into() };
    let log = Arc::new(AccessLog::open(&settings, None).unwrap());
    std::thread::scope(|threads| {
        for _ in 0..8 {
            threads.spawn(|| (0..200).for_each(|_| log.write(&record())));
        }
    });
    log.flush();
    let text = std::fs::read_to_string(file.path()).unwrap();
    assert_eq!(text.lines().count(), 1600);
    assert!(text.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()));
    log.write(&record());
    drop(log);
    assert_eq!(std::fs::read_to_string(file.path()).unwrap().lines().count(), 1601);
}

#[test]
fn a_full_disk_does_not_delay_requests() {
    struct Full;
    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let log = AccessLog {
        form: Form::Json,
        sink: Sink::Thread(Writer::start(Output::stream(Box::new(Full))).unwrap()),
        recent: Recent::default(),
    };
    (0..20_000).for_each(|_| log.write(&record()));
    log.flush();
}

#[test]
fn a_file_that_cannot_be_opened_is_named() {
    let settings =
        LogSettings { format: LogFormat::Json, file: Some("/no/such/place".into()), level: "info".into() };
    let fault = AccessLog::open(&settings, None).unwrap_err().to_string();
    assert!(fault.contains("/no/such/place"), "{fault}");
}
