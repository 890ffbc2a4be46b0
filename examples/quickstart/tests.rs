//! The quickstart, and what the folder `config` shows, with real calls.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bedrock_bed::until;
use bedrock_gateway::telemetry::access::AccessLog;
use serde_json::Value;

use crate::calls;
use crate::console::Command;
use crate::ground::Ground;
use crate::{own, paste, story};

const HOUR: Duration = Duration::from_secs(3600);
/// The worked example allows it to programs as well.
const HAIKU: &str = "us.anthropic.claude-haiku-4-5-v1:0";

fn of_sources(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Makes one call for each caller, and returns their records in the access log.
async fn records(ground: &Ground) -> Vec<Value> {
    let mut records = Vec::new();
    for person in &ground.people {
        let client = calls::client(&ground.bed, &ground.endpoint().unwrap(), &ground.token(person));
        let answer = calls::ask(&client, HAIKU, "hello").await;
        let number = records.len();
        let line = until("the record", async || ground.gateway.lines().into_iter().nth(number)).await;
        let record: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(answer.is_ok(), record["status"] == 200, "{}: {record}", person.name);
        records.push(record);
    }
    records
}

#[tokio::test(flavor = "multi_thread")]
async fn the_story_ends_well() {
    let ground = Ground::start(HOUR, AccessLog::memory()).await.unwrap();
    story::tell(&ground).await.unwrap();
    let bill = &ground.bed.standin.bill;
    assert_eq!(bill.call_count(), 9);
    assert_eq!(bill.principals().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_must_listen_before_callers_call() {
    for (program, words) in [("/none", "no such program"), ("/bin/false", "ended at once: exit status: 1")] {
        let started = Ground::start_program(HOUR, Path::new(program)).await;
        let error = started.err().unwrap().to_string();
        assert!(error.starts_with(program) && error.contains(words), "{error}");
    }
}

/// The cases are the claims of callers, and what the gateway makes of them.
#[tokio::test(flavor = "multi_thread")]
async fn the_worked_example_serves_its_callers_as_its_cases_say() {
    let (config, cases) = (of_sources("config/examples/acme.toml"), of_sources("config/examples/acme"));
    let ground = own::start(&config, std::slice::from_ref(&cases), HOUR, AccessLog::memory()).await.unwrap();
    assert!(ground.people.len() >= 9);
    for (person, record) in ground.people.iter().zip(records(&ground).await) {
        let case = std::fs::read_to_string(cases.join(format!("{}.json", person.name))).unwrap();
        let case: Value = serde_json::from_str(&case).unwrap();
        for (name, expected) in case["expect"].as_object().unwrap() {
            if name != "role_arn" {
                assert_eq!(record[name], *expected, "{}: {record}", person.name);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_starting_point_serves_the_claims_beside_it() {
    let folder = of_sources("config/issuers");
    for name in
        ["aws", "cognito", "entra", "github-actions", "google", "keycloak", "kubernetes", "oidc", "okta"]
    {
        let (config, claims) = (format!("{name}.toml"), folder.join(format!("{name}.claims.json")));
        let ground = own::start(&folder.join(config), &[claims], HOUR, AccessLog::memory()).await.unwrap();
        assert_eq!(records(&ground).await[0]["status"], 200, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mistake_in_a_claims_file_is_explained() {
    let folder = of_sources("config/issuers");
    let beside = tempfile::tempdir().unwrap();
    for (claims, words) in [
        ("[]", "not a JSON object of claims"),
        ("{}", "the claim iss is missing"),
        (r#"{"iss":"https://x"}"#, "the configuration has okta (https://acme.okta.com/oauth2/default)"),
        (r#"{"issuer":"x","claims":{},"expect":{}}"#, "no issuer is named x"),
    ] {
        let file = beside.path().join("alice.json");
        std::fs::write(&file, claims).unwrap();
        let started = own::start(&folder.join("okta.toml"), &[file], HOUR, AccessLog::memory()).await;
        let error = started.err().unwrap().to_string();
        assert!(error.contains("alice.json: ") && error.contains(words), "{error}");
    }
    let (okta, missing) = (folder.join("okta.toml"), beside.path().join("none"));
    let started = own::start(&okta, &[missing], HOUR, AccessLog::memory()).await;
    assert!(started.err().unwrap().to_string().contains("none: "));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_variables_are_plain_exports() {
    let ground = Ground::start(HOUR, AccessLog::memory()).await.unwrap();
    paste::write(&ground).unwrap();
    let lines = paste::variables(&ground, &ground.people[1]).unwrap();
    for line in lines.lines() {
        assert!(line.starts_with("export ") && !line.contains(['#', '!', '*', '?', '~']), "{line}");
    }
    assert!(lines.contains("/bob.jwt") && !lines.contains("alice"), "{lines}");
    let written = std::fs::read_to_string(ground.bed.folder().join("bob.env")).unwrap();
    assert_eq!(written, lines);
    assert_eq!(paste::quoted(Path::new("/a b/it's")), r"'/a b/it'\''s'");
}

#[test]
fn commands_are_letters_or_words() {
    assert_eq!(Command::read("r"), Some(Command::Revoke(None)));
    assert_eq!(Command::read(" revoke bob "), Some(Command::Revoke(Some("bob".to_owned()))));
    assert_eq!(Command::read("b"), Some(Command::Bill));
    assert_eq!(Command::read("q"), Some(Command::Quit));
    assert_eq!(Command::read("quit now"), Some(Command::Unknown("quit now".to_owned())));
    assert_eq!(Command::read("  "), None);
}
