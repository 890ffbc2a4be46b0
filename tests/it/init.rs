//! The command `init`: what it writes passes `check`, and what it shows is what `explain` shows.

use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bedrock_bed::{Dialog, Process, Signal};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::process::{Ended, run};

/// The starting points, with the flags that each needs besides account and region.
const POINTS: [(&str, &[&str]); 9] = [
    ("okta", &["--issuer-url", "https://acme.okta.com/oauth2/default"]),
    ("entra", &["--issuer-url", ENTRA, "--audience", "22222222-2222-3333-4444-555555555555"]),
    ("google", &["--owner", "example.org", "--audience", "1-a.apps.googleusercontent.com"]),
    ("keycloak", &["--issuer-url", "https://sso.example.org/realms/x"]),
    ("cognito", &["--issuer-url", COGNITO, "--audience", "3n4b5urk1ft4fl3mg5e62d9ado"]),
    ("kubernetes", &["--issuer-url", "https://oidc.eks.us-east-1.amazonaws.com/id/9F"]),
    ("github-actions", &["--owner", "87654321"]),
    ("aws", &["--issuer-url", "https://11111111.tokens.sts.global.api.aws"]),
    ("oidc", &["--issuer-url", "https://id.example.org"]),
];
const ENTRA: &str = "https://login.microsoftonline.com/11111111-2222-3333-4444-555555555555/v2.0";
const COGNITO: &str = "https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_Ab3dEf9Gh";
const ACCOUNT: &[&str] = &["--account", "210987654321", "--region", "eu-central-1"];

/// A folder for the files of a test.
struct Desk(TempDir);

impl Desk {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) -> String {
        std::fs::write(self.path(name), text).unwrap();
        self.path(name).to_str().unwrap().to_owned()
    }

    fn read(&self) -> String {
        std::fs::read_to_string(self.path("gateway.toml")).unwrap()
    }

    /// Runs `init` without a terminal.
    fn init(&self, arguments: &[&str]) -> Ended {
        let out = self.path("gateway.toml");
        run(&[&["init", "--out", out.to_str().unwrap()], arguments].concat(), "")
    }

    /// Asserts that `init` writes a file that passes the strictest check.
    fn accepts(&self, arguments: &[&str]) -> Ended {
        let ended = self.init(arguments);
        assert_eq!(ended.code, Some(0), "{arguments:?}: {}{}", ended.out, ended.err);
        self.passes(&["--strict", "--skip-files"]);
        ended
    }

    fn passes(&self, flags: &[&str]) {
        let file = self.path("gateway.toml");
        let checked = run(&[&["check", file.to_str().unwrap()], flags].concat(), "");
        assert_eq!(checked.code, Some(0), "{}{}\n{}", checked.out, checked.err, self.read());
    }

    /// Asserts that `init` fails with this code and these words, and leaves nothing behind.
    fn refuses(&self, arguments: &[&str], code: i32, words: &[&str]) {
        let before = std::fs::read_dir(self.0.path()).unwrap().count();
        let ended = self.init(arguments);
        assert_eq!(ended.code, Some(code), "{arguments:?}: {}{}", ended.out, ended.err);
        for word in words {
            assert!(ended.err.contains(word), "{word} is not in\n{}", ended.err);
        }
        assert_eq!(std::fs::read_dir(self.0.path()).unwrap().count(), before);
    }
}

fn claims_of(point: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/issuers");
    folder.join(format!("{point}.claims.json")).to_str().unwrap().to_owned()
}

/// A token with these claims that nothing signed.
fn token(claims: &Value) -> String {
    let part = |json: &Value| URL_SAFE_NO_PAD.encode(json.to_string());
    format!("{}.{}.c2ln", part(&json!({ "alg": "RS256" })), part(claims))
}

#[test]
fn each_starting_point_makes_a_file_that_passes_check() {
    let more: [&[&str]; 4] = [
        &[],
        &["--listen", "https://0.0.0.0:8443", "--tls-cert", "tls.crt", "--tls-key", "tls.key"],
        &["--region", "eu-west-1", "--tag", "team=department", "--tag", "cost-center=acme.cost-center"],
        &["--role", "path/Ml=claims.sub == 'x'", "--role", "User", "--model", "eu.*", "--yes"],
    ];
    for (point, flags) in POINTS {
        for more in more {
            let desk = Desk::new();
            let ended = desk.accepts(&[&["--issuer", point], ACCOUNT, flags, more].concat());
            let text = desk.read();
            assert!(
                text.contains(&format!("name = \"{point}\"")) && text.contains(":iam::210987654321:role/")
            );
            assert!(text.lines().all(|line| line.chars().count() <= 120), "{text}");
            let examples = ["acme.org", "12345678'", "8f3c7a52", "123456789012"];
            let pins = text.lines().filter(|line| line.starts_with("expression")).collect::<String>();
            assert!(examples.iter().all(|example| !pins.contains(example)), "{pins}");
            for command in ["check", "explain", "iam", "doctor", "serve"] {
                assert!(
                    ended.out.contains(&format!("\n  bedrock-gateway {command} --config ")),
                    "{}",
                    ended.out
                );
            }
        }
    }
}

#[test]
fn the_default_file_needs_no_other_file() {
    let desk = Desk::new();
    desk.accepts(&[&["--issuer", "okta"], ACCOUNT, POINTS[0].1].concat());
    desk.passes(&["--strict"]);
    let desk = Desk::new();
    let https = &["--listen", "https://127.0.0.1:8443", "--tls-cert", "/nonexistent/tls.crt"];
    let ended = desk.accepts(&[&["--issuer", "okta"], ACCOUNT, POINTS[0].1, https].concat());
    assert!(ended.err.contains("`check` will report: /nonexistent/tls.crt cannot be read"), "{}", ended.err);
}

#[test]
fn claims_propose_the_mapping_and_show_what_explain_shows() {
    for (point, _) in POINTS {
        let desk = Desk::new();
        let claims = claims_of(point);
        let ended = desk.accepts(&[&["--claims", &claims], ACCOUNT].concat());
        let (file, text) = (desk.path("gateway.toml"), desk.read());
        let explained = run(&["explain", "--config", file.to_str().unwrap(), "--claims", &claims], "");
        assert_eq!(explained.code, Some(0), "{}{}", explained.out, explained.err);
        assert!(ended.out.starts_with(&explained.out), "{}\n{}", ended.out, explained.out);
        assert!(text.contains(&format!("[[issuer]]\nname = \"{point}\"")), "{point}:\n{text}");
        assert!(ended.out.contains(&format!("--claims {claims}")), "{}", ended.out);
        assert_eq!(ended.err, "", "the claims of a starting point fit it");
    }
}

#[test]
fn claims_that_the_starting_point_does_not_expect_get_a_mapping_as_well() {
    let desk = Desk::new();
    let claims = json!({
        "iss": "https://acme.okta.com/oauth2/aus1", "aud": "api://bedrock", "sub": "alice@example.org",
        "department": "search", "costCenter": 4711, "groups": ["everyone", "project-apollo"],
    });
    let sample = desk.write("claims.json", &claims.to_string());
    let ended = desk.accepts(&[&["--claims", &sample], ACCOUNT].concat());
    let text = desk.read();
    for part in [
        "url = \"https://acme.okta.com/oauth2/aus1\"",
        "audiences = [\"api://bedrock\"]",
        "# Not in force, because the sample does not meet it. Remove the # to require it.\n# [[issuer.require]]",
        "team = { from = \"claims.department\", default = \"unallocated\" }",
        "cost-center = { from = \"claims.costCenter\", default = \"unallocated\" }",
        "project = { from = \"claims.groups.filter(g, g.startsWith('project-'))[0].substring(8)\"",
    ] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
    for part in ["tag team                  search", "tag project               apollo", "Accepted"] {
        assert!(ended.out.contains(part), "{part} is not in\n{}", ended.out);
    }
    assert!(ended.err.contains("note: a requirement is not in force"), "{}", ended.err);
}

#[test]
fn a_name_that_the_sample_does_not_vouch_for_is_not_used() {
    let desk = Desk::new();
    let claims = json!({
        "iss": "https://id.example.org", "aud": "x", "sub": "00u1", "email": "alice@example.org",
        "email_verified": false,
    });
    let sample = desk.write("claims.json", &claims.to_string());
    let ended = desk.accepts(&[&["--claims", &sample], ACCOUNT].concat());
    assert!(desk.read().contains("\nname = \"claims.sub\"\n"), "{}", desk.read());
    assert!(
        ended.out.contains("session name              00u1") && ended.out.contains("Accepted"),
        "{}",
        ended.out
    );
    let hint = "# No claim of the sample looks like a team or a cost center. For example:";
    assert!(desk.read().contains(hint), "{}", desk.read());

    // An address that people can read is better than a hash.
    let desk = Desk::new();
    let claims = json!({
        "iss": "https://acme.okta.com/oauth2/aus1", "aud": "x", "sub": "auth0|7", "email": "alice@example.org",
        "email_verified": true, "groups": ["bedrock-users"],
    });
    let sample = desk.write("claims.json", &claims.to_string());
    let ended = desk.accepts(&[&["--claims", &sample], ACCOUNT].concat());
    assert!(desk.read().contains("\nname = \"claims.email\"\n"), "{}", desk.read());
    assert!(ended.out.contains("require[1]                met: claims.email_verified"), "{}", ended.out);

    // A sample does not loosen the requirement that pins the owner.
    let desk = Desk::new();
    let claims = json!({
        "iss": "https://accounts.google.com", "aud": "x", "sub": "1", "email": "eve@gmail.com", "email_verified": true,
    });
    let sample = desk.write("claims.json", &claims.to_string());
    desk.refuses(
        &[&["--claims", &sample], ACCOUNT].concat(),
        2,
        &["--owner ID", "your Google Workspace domain"],
    );
    let ended = desk.accepts(&[&["--claims", &sample, "--owner", "example.org"], ACCOUNT].concat());
    assert!(desk.read().contains("claims.hd == 'example.org'"), "{}", desk.read());
    assert!(ended.out.contains("Refused: requirement_failed"), "{}", ended.out);
}

#[test]
fn a_sample_token_is_read_and_never_printed() {
    let claims = json!({
        "iss": "https://id.example.org", "aud": ["account", "bedrock-gateway"], "sub": "00u1", "exp": 4_000_000_000_u64,
        "email": "alice@example.org", "email_verified": true, "department": "search",
    });
    let desk = Desk::new();
    let file = desk.write("token.jwt", &format!("{}\n", token(&claims)));
    let ended = desk.accepts(&[&["--token", &file], ACCOUNT].concat());
    assert!(ended.out.contains("alice@example.org") && ended.err.is_empty(), "{}{}", ended.out, ended.err);
    assert!(desk.read().contains("audiences = [\"bedrock-gateway\"]"));
    assert!(!ended.out.contains("c2ln") && !desk.read().contains("c2ln"));
    assert!(
        ended
            .out
            .contains(&format!("doctor --config {} --token {file}", desk.path("gateway.toml").display()))
    );

    let desk = Desk::new();
    let mut claims = claims;
    claims["exp"] = json!(1_700_000_000);
    let file = desk.write("token.jwt", &token(&claims));
    let ended = desk.accepts(&[&["--token-file", &file], ACCOUNT].concat());
    let note = "note: the sample token expired at 2023-11-14T22:13:20Z: its claims are used all the same";
    assert!(ended.err.contains(note), "{}", ended.err);
}

#[test]
fn a_sample_that_cannot_be_read_is_refused_with_the_remedy() {
    let desk = Desk::new();
    for (flag, text, words) in [
        ("--token", "aaaa.bbbb.cccc.dddd.eeee", "the token is encrypted (a JWE)"),
        ("--token", "aaaa.bbbb.cccc.dddd.eeee", "turn the encryption off for this audience"),
        ("--token", "opaque", "ask the identity provider for a JWT access token"),
        ("--token", "", "the file is empty"),
        ("--claims", "aaaa.bbbb.cccc", "the claims are not a JSON object"),
    ] {
        let file = desk.write("sample", text);
        desk.refuses(&[&[flag, &file], ACCOUNT].concat(), 2, &[words, &file]);
    }
    desk.refuses(&["--token", "/nonexistent"], 2, &["/nonexistent cannot be read"]);
}

#[test]
fn missing_and_wrong_flags_are_one_error() {
    let desk = Desk::new();
    let all =
        ["--issuer NAME", "--issuer-url URL", "--account DIGITS", "--region REGION", "nothing was written"];
    desk.refuses(&[], 2, &all);
    desk.refuses(&["--issuer", "github-actions"], 2, &["--owner ID", "gh api /orgs/NAME --jq .id"]);
    let wrong = ["--issuer", "okta", "--region", "eu-centrl-1", "--account", "123", "--tag", "aws:x=team"];
    let words = [
        "--issuer-url URL     the exact `iss`",
        "--region             AWS has no region \"eu-centrl-1\"; did you mean \"eu-central-1\"?",
        "--account            the account \"123\" has 3 digits, and must have 12",
        "--tag                \"aws:x\" cannot be a tag key",
    ];
    desk.refuses(&wrong, 2, &words);
    desk.refuses(&["--tag", "team"], 2, &["write it as key=value"]);
}

#[test]
fn a_file_is_never_overwritten() {
    let desk = Desk::new();
    let complete = [&["--issuer", "okta"], ACCOUNT, POINTS[0].1].concat();
    desk.write("gateway.toml", "mine");
    desk.refuses(&complete, 1, &["exists and is not overwritten; pass another --out FILE"]);
    assert_eq!(desk.read(), "mine");
    std::fs::remove_file(desk.path("gateway.toml")).unwrap();
    std::os::unix::fs::symlink("/nonexistent", desk.path("gateway.toml")).unwrap();
    desk.refuses(&complete, 1, &["exists and is not overwritten"]);
    let desk = Desk::new();
    let out = desk.path("none/gateway.toml");
    let ended = run(&[&["init", "--out", out.to_str().unwrap()], &complete[..]].concat(), "");
    assert!(ended.code == Some(1) && ended.err.contains("there is no folder"), "{}", ended.err);
}

#[test]
fn standard_output_has_the_configuration_alone() {
    let claims = claims_of("okta");
    let ended = run(&[&["init", "--out", "-", "--claims", &claims], ACCOUNT].concat(), "");
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    let checked = run(&["check", "--config", "-", "--strict"], &ended.out);
    assert_eq!(checked.code, Some(0), "{}", checked.err);
    assert!(ended.err.contains("Accepted"), "{}", ended.err);
}

/// `init` on a terminal, in the desk's folder.
fn dialog(desk: &Desk, arguments: &[&str]) -> (Process, Dialog) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bedrock-gateway"));
    command.current_dir(desk.0.path()).arg("init").args(arguments);
    command.env_remove("AWS_DEFAULT_REGION").env("AWS_REGION", "eu-central-1");
    let dialog = Dialog::of(&mut command);
    (Process::spawn(&mut command), dialog)
}

#[test]
fn a_terminal_asks_for_what_no_flag_says() {
    let desk = Desk::new();
    let (mut child, mut terminal) = dialog(&desk, &["--model", "eu.*"]);
    let issuer = "Identity provider (oidc is any other): ";
    let (account, tags) = (
        "AWS account of the role, 12 digits: ",
        "Session tags, as KEY=CLAIM [those of the starting point]: ",
    );
    let (listen, write) = ("Address for callers [http://127.0.0.1:8080]: ", "Write gateway.toml [yes]: ");
    for (before, prompt, answer) in [
        ("okta, entra, google", issuer, "okto"),
        ("write one of okta, entra", issuer, "okta"),
        ("for example\r\n  https://acme.okta.com/oauth2/default", "Issuer URL: ", "acme.okta.com"),
        ("it is not a URL", "Issuer URL: ", "https://example.okta.com/oauth2/default"),
        ("", "Audience of the tokens [bedrock-gateway]: ", ""),
        ("", account, ""),
        ("there is no default; write an answer", account, "12345"),
        ("the account \"12345\" has 5 digits, and must have 12", account, "210987654321"),
        ("", "Region of Bedrock, or several [eu-central-1]: ", "eu-west-1, eu-central-1"),
        ("", "IAM role that callers get [BedrockUser]: ", ""),
        ("", tags, "aws:x=y"),
        ("\"aws:x\" cannot be a tag key", tags, "team=department cost-center=cc"),
        ("", listen, "localhost:1"),
        ("has no scheme; write, for example", listen, ""),
        ("", write, "perhaps"),
        ("write yes or no", write, ""),
    ] {
        terminal.expect(before);
        terminal.answer(prompt, answer);
    }
    terminal.expect("gateway.toml is written and valid (1 issuer, 1 role).");
    let text = terminal.text();
    assert_eq!(child.wait().unwrap().code(), Some(0), "{text}");
    assert!(!text.contains("Models that it allows"), "{text}");
    // The answer to the question of the tags is a long one.
    let own = text.lines().filter(|line| !line.contains("team=department"));
    assert!(own.map(|line| line.trim_end().chars().count()).max() <= Some(80), "{text}");
    desk.passes(&["--strict"]);
    for part in [
        "region = \"eu-west-1\"\nregions = [\"eu-central-1\"]",
        "cost-center = { from = \"claims.cc\", default = \"unallocated\" }",
        "models = [\"eu.*\"]",
        "arn = \"arn:aws:iam::210987654321:role/BedrockUser\"",
    ] {
        assert!(desk.read().contains(part), "{part} is not in\n{}", desk.read());
    }
}

#[test]
fn a_sample_answers_most_questions_of_a_terminal() {
    let desk = Desk::new();
    let claims = claims_of("keycloak");
    let (mut child, mut terminal) = dialog(&desk, &["--claims", &claims, "--account", "210987654321"]);
    for (words, answer) in [
        ("Identity provider (oidc is any other) [keycloak]: ", ""),
        ("Issuer URL [https://sso.acme.org/realms/acme]: ", ""),
        ("Audience of the tokens [bedrock-gateway]: ", ""),
        ("Region of Bedrock, or several [eu-central-1]: ", ""),
        ("IAM role that callers get [BedrockUser]: ", ""),
        ("Models that it allows [*anthropic.claude-*]: ", ""),
        ("Session tags, as KEY=CLAIM [those that fit the sample]: ", ""),
        ("Address for callers [http://127.0.0.1:8080]: ", ""),
    ] {
        terminal.answer(words, answer);
    }
    terminal.expect("Accepted");
    terminal.answer("Write gateway.toml [yes]: ", "");
    let text = terminal.text();
    assert_eq!(child.wait().unwrap().code(), Some(0), "{text}");
    desk.passes(&["--strict"]);
}

#[test]
fn a_stopped_dialog_leaves_nothing() {
    for way in ["interrupt", "end of input", "no"] {
        let desk = Desk::new();
        let needed =
            [&["--issuer", "okta", "--role", "X", "--model", "*", "--tag", "team=team"], ACCOUNT].concat();
        let (mut child, mut terminal) = dialog(&desk, &needed);
        terminal.answer("Issuer URL", "https://acme.okta.com/oauth2/default");
        terminal.answer("Audience", "");
        terminal.expect("Address for callers");
        match way {
            "interrupt" => child.signal(Signal::INT),
            "no" => {
                terminal.answer(": ", "");
                terminal.answer("Write gateway.toml [yes]: ", "no");
            }
            // Ctrl-D.
            _ => terminal.answer(": ", "\u{4}\u{4}"),
        }
        let text = terminal.text();
        let status = child.wait().unwrap();
        assert!(!status.success(), "{text}");
        if way != "interrupt" {
            assert!(text.contains("nothing was written") && status.code() == Some(1), "{way}: {text}");
        }
        assert_eq!(std::fs::read_dir(desk.0.path()).unwrap().count(), 0, "{way}");
    }
}
