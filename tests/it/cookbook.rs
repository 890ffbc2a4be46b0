//! `docs/MAPPING-COOKBOOK.md`: its tokens, configurations and rows are those of `config/issuers`, its cases pass, and its
//! commands run. `docs/CLIENT-COOKBOOK.md`: its blocks are those of `examples/clients`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use bedrock_gateway::config::Config;
use serde_json::Value;

use crate::process::{binary, run, run_with};
use crate::world::World;

#[path = "../../examples/clients/aws_sdk_rust.rs"]
#[allow(unreachable_pub, clippy::disallowed_methods, reason = "the program does not use the gateway's clock")]
mod aws_sdk_rust;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const PAGE: &str = include_str!("../../docs/MAPPING-COOKBOOK.md");

/// The heading of each provider's section, and its starting point in `config/issuers`.
const PROVIDERS: [(&str, &str); 8] = [
    ("Entra", "entra"),
    ("Okta", "okta"),
    ("Cognito", "cognito"),
    ("Keycloak", "keycloak"),
    ("Google", "google"),
    ("Kubernetes", "kubernetes"),
    ("GitHub Actions", "github-actions"),
    ("AWS", "aws"),
];

fn section(heading: &str) -> &'static str {
    let begin = format!("\n## {heading}\n");
    let (_, rest) = PAGE.split_once(&begin).unwrap_or_else(|| panic!("the page has no section {heading}"));
    rest.split("\n## ").next().unwrap()
}

/// The blocks of this language in a text.
fn blocks<'a>(text: &'a str, language: &str) -> Vec<&'a str> {
    let begin = format!("```{language}\n");
    text.split(&begin).skip(1).map(|rest| rest.split("```").next().unwrap()).collect()
}

fn issuers(name: &str) -> String {
    let path = Path::new(ROOT).join("config/issuers").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Whether `whole` has all that `part` shows: an object may have more members, everything else is equal.
fn has(whole: &Value, part: &Value) -> bool {
    match (whole, part) {
        (Value::Object(whole), Value::Object(part)) => {
            part.iter().all(|(key, value)| whole.get(key).is_some_and(|there| has(there, value)))
        }
        (whole, part) => whole == part,
    }
}

#[test]
fn the_page_shows_the_tokens_configurations_and_rows_of_the_starting_points() {
    for (heading, name) in PROVIDERS {
        let section = section(heading);
        let claims: Value = serde_json::from_str(&issuers(&format!("{name}.claims.json"))).unwrap();
        let [token] = blocks(section, "json")[..] else { panic!("{heading} shows one token") };
        let shown: Value = serde_json::from_str(token).unwrap_or_else(|error| panic!("{heading}: {error}"));
        assert!(has(&claims, &shown), "{heading}: {shown} is not in {name}.claims.json");

        let file = issuers(&format!("{name}.toml"));
        let mut parts = 0;
        for block in blocks(section, "toml") {
            if let Some(addition) = block.strip_prefix("# Add:\n") {
                let whole = file.replacen("[issuer.session]", &format!("{addition}\n[issuer.session]"), 1);
                let config = Config::parse(&whole, heading, &|_| None);
                let config = config.unwrap_or_else(|problems| panic!("{problems}"));
                assert!(config.warnings.is_empty(), "{heading}: {:?}", config.warnings);
            } else {
                assert!(file.contains(block), "{heading}: this is not in {name}.toml:\n{block}");
                parts += 1;
            }
        }
        assert!(parts > 0, "{heading} shows no part of {name}.toml");

        let explained = issuers(&format!("{name}.explain.txt"));
        let (_, bill) = explained.split_once("In the Cost and Usage Report\n").unwrap();
        let bill = bill.split("\n\n").next().unwrap();
        let [row] = blocks(section, "text")[..] else { panic!("{heading} shows one row of the bill") };
        assert_eq!(row.trim_end(), bill, "{heading}");
    }
}

#[test]
fn every_case_of_the_page_passes_and_every_case_is_on_the_page() {
    let folders = PROVIDERS.map(|(heading, name)| {
        (heading, format!("config/issuers/cases/{name}"), format!("config/issuers/{name}.toml"))
    });
    let groups =
        ("Entra", "config/examples/entra-groups".to_owned(), "config/examples/entra-groups.toml".to_owned());
    for (heading, folder, config) in folders.into_iter().chain([groups]) {
        let linked: BTreeSet<PathBuf> = section(heading)
            .split("](../")
            .skip(1)
            .filter_map(|rest| rest.split(')').next())
            .map(PathBuf::from)
            .filter(|target| target.starts_with(&folder))
            .collect();
        let there = std::fs::read_dir(Path::new(ROOT).join(&folder)).unwrap();
        let there: BTreeSet<PathBuf> =
            there.map(|entry| Path::new(&folder).join(entry.unwrap().file_name())).collect();
        let unlinked: Vec<_> = there.difference(&linked).collect();
        // The page shows the traps only, and these two are the expected way.
        let expected = ["few-groups.json", "not-a-member.json"];
        assert!(unlinked.iter().all(|path| expected.iter().any(|name| path.ends_with(name))), "{unlinked:?}");
        assert!(linked.is_subset(&there), "{linked:?}");
        let path = |name: &str| Path::new(ROOT).join(name).to_str().unwrap().to_owned();
        let ended =
            run(&["check", "--skip-files", "--strict", "-c", &path(&config), "--cases", &path(&folder)], "");
        assert_eq!(ended.code, Some(0), "{heading}: {}{}", ended.out, ended.err);
        assert!(ended.out.contains(&format!("{} passed, 0 failed", there.len())), "{}", ended.out);
    }
}

#[test]
fn the_page_says_refused_where_a_case_is_refused() {
    for (heading, _) in PROVIDERS {
        for row in section(heading).lines().filter(|line| line.starts_with("| ") && line.contains(".json)")) {
            let cells: Vec<&str> = row.trim_matches('|').split(" | ").collect();
            let [_, happens, cases] = cells[..] else { panic!("{heading}: {row}") };
            for target in cases.split("](../").skip(1).filter_map(|rest| rest.split(')').next()) {
                let text = std::fs::read_to_string(Path::new(ROOT).join(target)).unwrap();
                let case: Value = serde_json::from_str(&text).unwrap();
                let reason = case["expect"]["reason"].as_str().unwrap();
                let says_refused = happens.starts_with("refused");
                assert_eq!(
                    says_refused,
                    reason != "ok",
                    "{heading}, {target}: {reason}, and the page: {happens}"
                );
                if let Some((_, rest)) = happens.split_once("refused (`") {
                    assert!(
                        rest.starts_with(reason),
                        "{heading}, {target}: {reason}, and the page: {happens}"
                    );
                }
            }
        }
    }
}

#[test]
fn the_commands_of_the_page_run() {
    let mut count = 0;
    for line in blocks(PAGE, "sh").into_iter().flat_map(str::lines) {
        let arguments = line.strip_prefix("bedrock-gateway ").unwrap_or_else(|| panic!("not run: {line}"));
        let ended = run_with(binary().current_dir(ROOT).args(arguments.split(' ')));
        assert_eq!(ended.code, Some(0), "{line}: {}{}", ended.out, ended.err);
        count += 1;
    }
    assert_eq!(count, 2);
}

const CLIENTS: &str = include_str!("../../docs/CLIENT-COOKBOOK.md");

fn client_file(name: &str) -> String {
    std::fs::read_to_string(Path::new(ROOT).join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[test]
fn the_programs_of_the_client_cookbook_are_parts_of_the_examples() {
    let mut count = 0;
    for (language, comment) in [("python", "# "), ("js", "// "), ("rust", "// ")] {
        for block in blocks(CLIENTS, language) {
            let (first, code) = block.split_once('\n').unwrap();
            let name = first.strip_prefix(comment).unwrap();
            assert!(name.starts_with("examples/clients/"), "the block names no example: {block}");
            let file = client_file(name);
            assert!(file.contains(code), "this is not in {name}:\n{code}");
            count += 1;
        }
    }
    assert!(count >= 7, "{count}");
}

#[test]
fn the_settings_of_the_client_cookbook_are_those_of_the_examples() {
    let json =
        |text: &str| serde_json::from_str::<Value>(text).unwrap_or_else(|error| panic!("{error}: {text}"));
    let [settings] = blocks(CLIENTS, "json")[..] else { panic!("one block of settings") };
    assert_eq!(json(settings), json(&client_file("examples/clients/claude-code/settings-with-helper.json")));

    let toml = |text: &str| text.parse::<toml::Table>().unwrap_or_else(|error| panic!("{error}: {text}"));
    let [codex, renewal] = blocks(CLIENTS, "toml")[..] else { panic!("two blocks of Codex") };
    assert_eq!(toml(codex), toml(&client_file("examples/clients/codex/config.toml")));
    let table = toml(renewal)["model_providers"]["gateway"]["auth"].clone();
    assert_eq!(table["command"].as_str(), json(settings)["apiKeyHelper"].as_str(), "the same command");

    let [profile] = blocks(CLIENTS, "ini")[..] else { panic!("one profile") };
    let help = run(&["credentials", "--help"], "").out;
    let lines: Vec<&str> = help.lines().map(str::trim).collect();
    for line in profile.lines().map(str::trim).filter(|line| !line.is_empty()) {
        assert!(lines.contains(&line), "the help of `credentials` does not have: {line}");
    }
}

/// A shell reads each block without running it.
#[test]
fn the_shell_blocks_of_the_client_cookbook_parse() {
    for block in blocks(CLIENTS, "sh") {
        let ended = run_with(
            Command::new("bash").args(["-n", "-c", block]).stdout(Stdio::piped()).stderr(Stdio::piped()),
        );
        assert_eq!(ended.code, Some(0), "{block}: {}", ended.err);
    }
}

/// The SDK asks for a token again when the one that it has is about to expire: so the second call is bob's.
#[tokio::test(flavor = "multi_thread")]
async fn the_example_in_rust_renews_its_token() {
    let world = World::start().await;
    let tokens = Mutex::new(vec![world.token("bob"), world.token("alice")]);
    let print = move || {
        let token = tokens.lock().unwrap().pop().ok_or(std::io::ErrorKind::NotFound)?;
        Ok((token, Duration::from_secs(1)))
    };
    let client = aws_sdk_rust::client(world.sdk_config(&world.https()), aws_sdk_rust::Tokens(print));
    for _ in ["alice", "bob"] {
        assert!(aws_sdk_rust::ask(&client).await.unwrap().contains("Who pays for this?"));
    }
    let calls = world.standin.bill.calls();
    let names: Vec<&str> = calls.iter().map(|call| call.principal.rsplit('/').next().unwrap()).collect();
    assert_eq!(names, ["alice@acme.org", "bob@acme.org"]);
}
