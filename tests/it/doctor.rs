//! `doctor` against the stand-in: each failure that it names is caused here, and has its name and its remedy.

use std::path::{Path, PathBuf};

use bedrock_bed::{Bed, Process, Setup};
use serde_json::{Value, json};

use crate::process::{binary, ended};

mod bedrock;
mod billing;
mod network;
mod roles;

/// A role with exact models, and a second role that no caller of these tests gets.
const ROLES: &str = "[[role]]\nwhen = \"claims.team == 'search'\"\n\
    arn = \"arn:aws:iam::123456789012:role/BedrockUser\"\n\
    models = [\"us.anthropic.claude-sonnet-4-6-v1:0\", \"amazon.nova-*\"]\n\
    [[role]]\narn = \"arn:aws:iam::123456789012:role/Others\"\n";
/// Only the first of them.
const ONE_ROLE: &str = "[[role]]\narn = \"arn:aws:iam::123456789012:role/BedrockUser\"\n\
    models = [\"us.anthropic.claude-sonnet-4-6-v1:0\", \"amazon.nova-*\"]\n";

/// A bed whose gateway runs as a role.
fn bed() -> Bed {
    let bed = Bed::start();
    bed.standin.sts.set_chained(true);
    bed
}

fn setup() -> Setup<'static> {
    let mapping = "[issuer.session]\nname = \"claims.sub + '@acme.org'\"\n\
        [issuer.session.tags]\nteam = \"claims.team\"\n";
    Setup { mapping, roles: ONE_ROLE, ..Setup::default() }
}

/// The claims of a caller, in a file of the bed.
fn claims(bed: &Bed, name: &str) -> PathBuf {
    let file = bed.folder().join(format!("{name}.json"));
    let claims = json!({ "iss": bed.standin.idp.issuer(), "aud": "bedrock-gateway", "sub": name,
        "email": format!("{name}@acme.org"), "team": "search" });
    std::fs::write(&file, claims.to_string()).unwrap();
    file
}

/// The outcome of a run with `--json`.
struct Report {
    code: Option<i32>,
    checks: Vec<Value>,
}

impl Report {
    /// The check of this name, otherwise the only one whose name begins with this.
    fn of(&self, name: &str) -> &Value {
        if let Some(check) = self.checks.iter().find(|check| check["name"] == name) {
            return check;
        }
        let mut found = self.checks.iter().filter(|check| check["name"].as_str().unwrap().starts_with(name));
        let check = found.next().unwrap_or_else(|| panic!("no {name} in {:#?}", self.checks));
        assert!(found.next().is_none(), "{name} twice in {:#?}", self.checks);
        check
    }

    /// Asserts the status of the check and words of its message or fix.
    fn says(&self, name: &str, status: &str, words: &[&str]) {
        let check = self.of(name);
        assert_eq!(check["status"], status, "{check:#}");
        for word in words {
            assert!(check.to_string().contains(word), "{word} is not in {check:#}");
        }
        assert_eq!(check["fix"].is_string(), matches!(status, "warn" | "fail"), "{check:#}");
    }

    fn statuses(&self) -> Vec<(&str, &str)> {
        self.checks.iter().map(|check| (text(&check["name"]), text(&check["status"]))).collect()
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

/// Runs `doctor` with the gateway's credentials, and these arguments and variables. Returns code, output and errors.
async fn run(
    bed: &Bed,
    file: &Path,
    arguments: &[&str],
    variables: &[(&str, &str)],
) -> (Option<i32>, String, String) {
    let mut command = binary();
    command.arg("doctor").arg("--config").arg(file).args(arguments);
    bed.lend_credentials(&mut command).envs(variables.iter().copied());
    let child = Process::spawn(&mut command);
    tokio::task::spawn_blocking(move || ended(child)).await.unwrap()
}

/// [`run`] with `--json`.
async fn report(bed: &Bed, file: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Report {
    let arguments: Vec<&str> = arguments.iter().copied().chain(["--json"]).collect();
    let (code, out, err) = run(bed, file, &arguments, variables).await;
    let printed: Value = serde_json::from_str(&out).unwrap_or_else(|_| panic!("{out}{err}"));
    for secret in [bed.credentials().secret_access_key(), "SessionToken"] {
        assert!(!out.contains(secret) && !err.contains(secret));
    }
    Report { code, checks: printed["checks"].as_array().unwrap().clone() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_healthy_world_gives_no_warning() {
    let bed = bed();
    let file = bed.write(&setup());
    let alice = claims(&bed, "alice");
    let arguments = ["--claims", alice.to_str().unwrap(), "--invoke", "us.anthropic.claude-sonnet-4-6-v1:0"];
    let report = report(&bed, &file, &arguments, &[]).await;
    let statuses = report.statuses();
    assert!(statuses.iter().all(|(_, status)| *status == "ok"), "{:#?}", report.checks);
    let names: Vec<&str> = statuses.iter().map(|(name, _)| *name).collect();
    let caller = format!("caller of {}", alice.display());
    assert_eq!(
        names,
        [
            "configuration",
            "issuer acme",
            &caller,
            "clock",
            "own credentials",
            "role BedrockUser",
            "Bedrock us-east-1 as BedrockUser",
            "Bedrock us-west-2 as BedrockUser",
            "model us.anthropic.claude-sonnet-4-6-v1:0",
            "call of us.anthropic.claude-sonnet-4-6-v1:0",
        ]
    );
    assert_eq!(report.code, Some(0));
    let principal = "arn:aws:sts::123456789012:assumed-role/BedrockUser/alice@acme.org";
    report.says("role BedrockUser", "ok", &[principal, "the tags team", " % of the room"]);
    report.says("call of", "ok", &[principal]);
    report.says("own credentials", "ok", &["environment", "assumed-role/BedrockGateway"]);
    let sessions = bed.standin.sts.calls();
    assert_eq!(sessions.len(), 1, "one canary session");
    assert_eq!(sessions[0].session_name, "alice@acme.org");
}

#[tokio::test(flavor = "multi_thread")]
async fn people_read_marks_lines_of_80_columns_and_a_summary() {
    let bed = bed();
    bed.standin.sts.deny("alice@acme.org");
    let file = bed.write(&setup());
    let alice = claims(&bed, "alice");
    let (code, out, err) = run(&bed, &file, &["--claims", alice.to_str().unwrap()], &[]).await;
    assert_eq!(code, Some(1), "{out}{err}");
    for line in ["✓ clock: this machine agrees with AWS", "✗ role BedrockUser: sts:AssumeRole is not allowed"]
    {
        assert!(out.lines().any(|printed| printed.starts_with(line)), "{line} is not in:\n{out}");
    }
    assert!(out.ends_with("5 checks passed, 1 failed, 1 not tried\n"), "{out}");
    let long = out.lines().filter(|line| line.chars().count() > 80 && line.contains(' '));
    // Only one word can be longer: a path or an ARN.
    for line in long {
        assert!(line.split(' ').any(|word| word.chars().count() > 60), "{line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_caller_it_says_how_to_give_one() {
    let bed = bed();
    let report = report(&bed, &bed.write(&setup()), &[], &[]).await;
    assert_eq!(report.code, Some(0));
    report.says("roles", "skip", &["pass --token FILE or --claims FILE"]);
    report.says("Bedrock", "skip", &["no canary session"]);
    assert!(bed.standin.sts.calls().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invalid_configuration_is_the_only_check() {
    let bed = bed();
    let file = bed.folder().join("bad.toml");
    std::fs::write(&file, bed.text(&setup()).replace("claims.team", "clams.team")).unwrap();
    let found = report(&bed, &file, &[], &[]).await;
    assert_eq!(found.code, Some(1));
    found.says("configuration", "fail", &["bad.toml:", "clams", "bedrock-gateway check"]);
    found.says("all other checks", "skip", &[]);
    assert_eq!(found.checks.len(), 2);
    let missing = report(&bed, Path::new("/nonexistent.toml"), &[], &[]).await;
    missing.says("configuration", "fail", &["cannot be read"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_verified_and_one_that_the_gateway_rejects_is_named() {
    let bed = bed();
    let file = bed.write(&setup());
    let token = bed.folder().join("token.jwt");
    let valid = bed.standin.idp.mint(crate::world::World::claims("alice"));
    std::fs::write(&token, &valid).unwrap();
    let arguments = ["--token", token.to_str().unwrap()];
    let found = report(&bed, &file, &arguments, &[]).await;
    found.says("caller of", "ok", &["BedrockUser/alice@acme.org"]);
    found.says("role BedrockUser", "ok", &["alice@acme.org"]);

    let expired = bed
        .standin
        .idp
        .mint(crate::world::World::claims("alice").expired_for(std::time::Duration::from_secs(600)));
    for (text, words) in [
        (expired, ["the token expired at 20", "get a new token"]),
        ("a.b.c.d.e".to_owned(), ["encrypted (JWE", "turn token encryption off"]),
        ("sk-123".to_owned(), ["not a JWT", "three base64url parts"]),
        (valid[..valid.len() - 8].to_owned() + "AAAAAAAA", ["token rejected", "explain --token-file"]),
    ] {
        std::fs::write(&token, &text).unwrap();
        let found = report(&bed, &file, &arguments, &[]).await;
        assert_eq!(found.code, Some(1));
        found.says("caller of", "fail", &words);
        found.says("roles", "skip", &[]);
        let printed = format!("{:?}", found.checks);
        assert!(text.len() < 20 || !printed.contains(&text), "the token was printed");
    }
    assert_eq!(bed.standin.sts.calls().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_the_mapping_refuses_is_named() {
    let bed = bed();
    let file = bed.write(&setup());
    let nameless = bed.folder().join("nameless.json");
    std::fs::write(&nameless, json!({ "iss": bed.standin.idp.issuer(), "team": "x" }).to_string()).unwrap();
    let found = report(&bed, &file, &["--claims", nameless.to_str().unwrap()], &[]).await;
    found.says(
        "caller of",
        "fail",
        &["the gateway refuses this caller", "the value of name is missing", "explain"],
    );
    std::fs::write(&nameless, "aaa.bbb.ccc").unwrap();
    let (code, out, err) = run(&bed, &file, &["--claims", nameless.to_str().unwrap()], &[]).await;
    assert_eq!(code, Some(2), "{out}");
    assert!(err.contains("the claims are not a JSON object") && !err.contains("bbb"), "{err}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_report_has_no_names_and_overwrites_nothing() {
    let bed = bed();
    let file = bed.write(&setup());
    let alice = claims(&bed, "alice");
    let written = bed.folder().join("report.md");
    let arguments = ["--claims", alice.to_str().unwrap(), "--report", written.to_str().unwrap()];
    let (code, out, err) = run(&bed, &file, &arguments, &[]).await;
    assert_eq!(code, Some(0), "{out}{err}");
    let text = std::fs::read_to_string(&written).unwrap();
    for row in
        ["| A15 | held | ", "| A16 | held | ", "| A11 | held | ", "| A40 | held | ", "| A3 | not tried |"]
    {
        assert!(text.contains(row), "{row} is not in:\n{text}");
    }
    for secret in ["alice", "acme", "123456789012", "arn:", "127.0.0.1", "BedrockUser"] {
        assert!(!text.contains(secret), "{secret} is in:\n{text}");
    }
    let (code, _, err) = run(&bed, &file, &arguments, &[]).await;
    assert_eq!(code, Some(2));
    assert!(err.contains("overwrites no file"), "{err}");
    assert_eq!(std::fs::read_to_string(&written).unwrap(), text);
}

/// The report has a row for each id of the document, in its order, and no other.
#[tokio::test(flavor = "multi_thread")]
async fn the_report_has_the_ids_of_the_assumptions() {
    let bed = bed();
    let written = bed.folder().join("report.md");
    let arguments = ["--report", written.to_str().unwrap()];
    run(&bed, &bed.write(&setup()), &arguments, &[]).await;
    let ids = |text: &str| -> std::collections::BTreeSet<String> {
        let rows = text.lines().filter_map(|line| line.strip_prefix("| A"));
        rows.map(|row| row.split(' ').next().unwrap().to_owned()).collect()
    };
    let reported = ids(&std::fs::read_to_string(&written).unwrap());
    assert!(reported.len() > 40, "{reported:?}");
    assert_eq!(reported, ids(include_str!("../../docs/ASSUMPTIONS.md")));
}
