//! `check` with the network and with cases, `explain --save`, which writes cases, and the ways to name a file.

use std::path::Path;

use bedrock_bed::{Bed, Process, Setup};
use serde_json::{Value, json};

use crate::process::{binary, ended, run};

/// Runs `check --online` with the gateway's credentials, and with these variables. Returns code and output.
async fn online(bed: &Bed, file: &Path, variables: &[(&str, &str)]) -> (Option<i32>, String) {
    let mut command = binary();
    command.arg("check").arg(file).arg("--online");
    bed.lend_credentials(&mut command);
    command.envs(variables.iter().copied());
    let child = Process::spawn(&mut command);
    let (code, out, err) = tokio::task::spawn_blocking(move || ended(child)).await.unwrap();
    (code, format!("{out}{err}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn online_fetches_keys_and_asks_sts_for_the_gateways_own_arn() {
    let bed = Bed::start();
    let file = bed.write(&Setup::default());
    let (code, text) = online(&bed, &file, &[]).await;
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("ok     issuer acme: "), "{text}");
    assert!(text.contains("ok     STS in us-east-1: the gateway is arn:aws:"), "{text}");
    assert!(bed.standin.sts.calls().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn online_says_for_each_failure_what_to_do() {
    let bed = Bed::start();
    let file = bed.write(&Setup::default());
    bed.standin.idp.set_discovered_issuer(Some("https://x/"));
    let (code, text) = online(&bed, &file, &[("AWS_SECRET_ACCESS_KEY", "wrong")]).await;
    assert_eq!(code, Some(1), "{text}");
    let named = "names the issuer \"https://x/\", and issuer.url is";
    assert!(text.contains("failed issuer acme: ") && text.contains(named), "{text}");
    assert!(
        text.contains("failed STS in us-east-1: the gateway cannot call STS; check its own cred"),
        "{text}"
    );

    let bed = Bed::start();
    let text = std::fs::read_to_string(bed.write(&Setup::default())).unwrap();
    let elsewhere = text.replace(&bed.standin.idp.issuer(), "https://id.acme.invalid");
    std::fs::write(&file, elsewhere).unwrap();
    let (code, text) = online(&bed, &file, &[]).await;
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("its host name cannot be resolved"), "{text}");
}

/// A configuration of one issuer, and the claims of one of its callers.
struct Desk {
    folder: tempfile::TempDir,
}

impl Desk {
    fn new() -> Self {
        let desk = Self { folder: tempfile::tempdir().unwrap() };
        let mapping = "request_headers = [\"x-project\"]\n[issuer.session]\nname = \"claims.email\"\n\
            [issuer.session.tags]\nteam = \"claims.team\"\n\
            project = { from = \"request.headers['x-project']\", required = false }\n";
        desk.write("gateway.toml", &Setup { mapping, ..Setup::default() }.text());
        let claims = json!({ "iss": "https://acme.example", "aud": "bedrock-gateway", "sub": "1",
            "email": "alice@acme.org", "team": "search" });
        desk.write("alice.json", &claims.to_string());
        std::fs::create_dir(desk.folder.path().join("cases")).unwrap();
        desk
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.folder.path().join(name), text).unwrap();
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.folder.path().join(name)).unwrap()
    }

    /// Runs the command in the folder.
    fn run(&self, arguments: &str) -> (Option<i32>, String) {
        let mut command = binary();
        command.args(arguments.split(' ')).current_dir(self.folder.path());
        let (code, out, err) = ended(Process::spawn(&mut command));
        (code, format!("{out}{err}"))
    }
}

#[test]
fn a_saved_explanation_is_a_case_that_passes_until_the_mapping_changes() {
    let desk = Desk::new();
    let saved = "explain -c gateway.toml --claims alice.json --header x-project=apollo \
        --header authorization=hidden --save cases/alice.json";
    let (code, text) = desk.run(saved);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("personal data"), "{text}");
    let case: Value = serde_json::from_str(&desk.read("cases/alice.json")).unwrap();
    assert_eq!(case["issuer"], "acme");
    assert_eq!(case["headers"], json!({ "x-project": "apollo" }));
    assert_eq!(case["expect"]["tags"], json!({ "project": "apollo", "team": "search" }));
    let check = "check gateway.toml --cases cases";
    let (code, text) = desk.run(check);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("ok     cases/alice.json\n1 case: 1 passed, 0 failed"), "{text}");

    desk.write(
        "gateway.toml",
        &desk.read("gateway.toml").replace("claims.email", "claims.sub + '@acme.org'"),
    );
    let (code, text) = desk.run(check);
    assert_eq!(code, Some(1), "{text}");
    let difference = "FAILED cases/alice.json\n";
    assert!(text.contains(difference), "{text}");
    let difference = "session_name: expected \"alice@acme.org\", found \"1@acme.org\"";
    assert!(text.contains(difference), "{text}");
    assert!(text.contains("1 case: 0 passed, 1 failed"), "{text}");
}

#[test]
fn cases_whose_output_is_not_read_fail_without_a_panic() {
    let desk = Desk::new();
    desk.run("explain -c gateway.toml --claims alice.json --save cases/alice.json");
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = binary();
    command.args(["check", "gateway.toml", "--cases", "cases"]).current_dir(desk.folder.path());
    let ended = command.stdout(writer).output().unwrap();
    let errors = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.code() == Some(1) && !errors.contains("panicked"), "{errors}");
}

#[test]
fn a_case_can_expect_a_refusal() {
    let desk = Desk::new();
    let case = json!({ "issuer": "acme", "claims": { "sub": "1", "team": "x" },
        "expect": { "reason": "value_missing" } });
    desk.write("cases/nameless.json", &case.to_string());
    let (_, text) = desk.run("check gateway.toml --cases cases");
    let explained = desk.run("explain -c gateway.toml --claims alice.json --json").1;
    assert!(explained.contains("\"reason\": \"ok\""), "{explained}");
    assert!(text.contains("ok     cases/nameless.json"), "{text}");
}

#[test]
fn a_case_can_expect_the_decision_about_a_call() {
    let desk = Desk::new();
    let explain =
        "explain -c gateway.toml --claims alice.json --operation responses-stored --save cases/stored.json";
    let (code, text) = desk.run(explain);
    assert_eq!(code, Some(1), "{text}");
    let mut case: Value = serde_json::from_str(&desk.read("cases/stored.json")).unwrap();
    assert_eq!(case["call"], json!({ "operation": "responses-stored" }));
    assert_eq!(case["expect"], json!({ "reason": "operation_forbidden" }));
    let check = "check gateway.toml --cases cases";
    let (code, text) = desk.run(check);
    assert_eq!(code, Some(0), "{text}");

    case["call"] = json!({ "operation": "converse" });
    desk.write("cases/stored.json", &case.to_string());
    let (_, text) = desk.run(check);
    assert!(text.contains("reason: expected \"operation_forbidden\", found \"ok\""), "{text}");
    case["call"] = json!({ "operation": "chat" });
    desk.write("cases/stored.json", &case.to_string());
    let (code, text) = desk.run(check);
    assert!(code == Some(1) && text.contains("the operations are invoke, converse"), "{text}");
}

#[test]
fn no_case_and_a_file_that_is_no_case_fail() {
    let desk = Desk::new();
    let (code, text) = desk.run("check gateway.toml --cases cases");
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("error: no case in cases"), "{text}");
    desk.write("cases/a.json", "{\"claims\": {}, \"expects\": {}}");
    let (code, text) = desk.run("check gateway.toml --cases cases");
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("FAILED cases/a.json") && text.contains("unknown field `expects`"), "{text}");
}

#[test]
fn the_issuer_comes_from_the_claims_or_is_asked_for() {
    let desk = Desk::new();
    desk.write("alice.json", "{\"iss\": \"https://other.example\"}");
    let (code, text) = desk.run("explain -c gateway.toml --claims alice.json");
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("no issuer has the url \"https://other.example\""), "{text}");
    assert!(text.contains("acme (https://acme.example)"), "{text}");
    desk.write("alice.json", "{}");
    let (code, text) = desk.run("explain -c gateway.toml --claims alice.json");
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("the claims have no `iss`; set --issuer"), "{text}");
}

#[test]
fn standard_input_is_a_configuration_except_for_serve() {
    let desk = Desk::new();
    let checked = run(&["check", "-c", "-"], &desk.read("gateway.toml"));
    assert_eq!(checked.code, Some(0), "{}", checked.err);
    let broken = desk.read("gateway.toml").replace("claims.email", "clams.email");
    let checked = run(&["check", "-"], &broken);
    assert_eq!(checked.code, Some(1));
    assert!(checked.err.contains("<stdin>:"), "{}", checked.err);
    let served = run(&["serve", "-c", "-"], &desk.read("gateway.toml"));
    assert_eq!(served.code, Some(2));
    assert!(served.err.contains("pass the path of a file"), "{}", served.err);
}

#[test]
fn files_are_opened_unless_they_are_skipped() {
    let desk = Desk::new();
    let text = desk.read("gateway.toml");
    desk.write(
        "gateway.toml",
        &text.replacen("[listen]\n", "[listen]\nadmin = \"127.0.0.1:0\"\nadmin_token_file = \"nope\"\n", 1),
    );
    let (code, text) = desk.run("check gateway.toml");
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("nope cannot be read: no such"), "{text}");
    assert_eq!(desk.run("check gateway.toml --skip-files").0, Some(0));
    let (code, text) = desk.run("serve -c gateway.toml");
    assert_eq!(code, Some(78), "{text}");
    assert!(text.contains("gateway.toml:3:") && text.contains("listen.admin_token_file"), "{text}");
}

#[test]
fn a_deny_file_is_checked_before_it_is_in_place() {
    let desk = Desk::new();
    desk.write("good.toml", "[[revoke]]\nexpression = \"claims.team == 'search'\"\n");
    desk.write("bad.toml", "[[revoke]]\nexpression = \"claims.team == 'search' &&\"\n");
    let (code, text) = desk.run("check gateway.toml --skip-files --deny-file good.toml");
    assert_eq!(code, Some(0), "{text}");
    for options in ["--deny-file", "--skip-files --deny-file"] {
        let (code, text) = desk.run(&format!("check gateway.toml {options} bad.toml"));
        assert_eq!(code, Some(1), "{text}");
        assert!(text.contains("bad.toml:2:"), "{text}");
    }
    let (code, text) = desk.run("check gateway.toml --deny-file nope.toml");
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("nope.toml") && text.contains("cannot be read"), "{text}");

    // The configured one is missing, and is not opened.
    let configuration = desk.read("gateway.toml") + "\n[revoke]\nfile = \"missing.toml\"\n";
    desk.write("gateway.toml", &configuration);
    assert_eq!(desk.run("check gateway.toml").0, Some(1));
    assert_eq!(desk.run("check gateway.toml --deny-file good.toml").0, Some(0));
}
