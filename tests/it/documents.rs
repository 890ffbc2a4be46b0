//! Checks that the documentation is true.

use bedrock_gateway::config::Config;
use bedrock_gateway::operator::problem::ProblemCode;
use bedrock_gateway::reason::Reason;
use bedrock_gateway::route::Operation;

mod assumptions;
mod metrics;
mod numbers;
mod pages;
mod unit;

const README: &str = include_str!("../../README.md");
const CLIENTS: &str = include_str!("../../docs/CLIENTS.md");
const DEPLOYING: &str = include_str!("../../docs/DEPLOYING.md");

#[test]
fn the_readme_is_read_in_one_sitting() {
    let lines = README.lines().count();
    assert!(lines <= 150, "README.md has {lines} lines; move detail into docs");
}

#[test]
fn the_readmes_configuration_loads() {
    let (_, rest) = README.split_once("```toml\n").unwrap();
    let (example, _) = rest.split_once("```").unwrap();
    let config =
        Config::parse(example, "README.md", &|_| None).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(config.mapping.roles.len(), 2);
    assert!(config.warnings.is_empty(), "{:?}", config.warnings);
}

/// A file of `deploy/iam`, which `BLESS=1` may have to write first.
fn deployed(name: &str) -> String {
    std::fs::read_to_string(format!("{}/deploy/iam/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

#[test]
fn the_documented_trust_policy_is_the_deployed_one() {
    let (_, rest) = DEPLOYING.split_once("```json\n").unwrap();
    let (shown, _) = rest.split_once("```").unwrap();
    assert_eq!(shown, deployed("123456789012/BedrockUser-trust.json"));
}

/// The policy of a role without `operations` allows exactly the actions of the operations that a role has by default. It
/// allows no access to objects that the account's users share.
#[test]
fn the_invocation_roles_policy_covers_the_operations() {
    let policy: serde_json::Value =
        serde_json::from_str(&deployed("210987654321/BedrockMl-permissions.json")).unwrap();
    let list = |value: &serde_json::Value| -> Vec<String> {
        match value {
            serde_json::Value::Array(items) => {
                items.iter().map(|item| item.as_str().unwrap().to_owned()).collect()
            }
            one => vec![one.as_str().unwrap().to_owned()],
        }
    };
    let allowed: std::collections::BTreeSet<String> = policy["Statement"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|statement| list(&statement["Action"]))
        .collect();
    let needed: std::collections::BTreeSet<String> = Operation::ALL
        .iter()
        .filter(|operation| !operation.is_shared())
        .flat_map(|operation| operation.iam_actions())
        .map(|action| (*action).to_owned())
        .collect();
    assert_eq!(allowed, needed);
}

/// The reference configuration and the document for application developers name each operation.
#[test]
fn operations_are_documented() {
    let reference = include_str!("../../config/gateway.toml");
    for operation in Operation::ALL {
        let name = operation.as_str();
        assert!(reference.contains(name), "{name} is not in config/gateway.toml");
        assert!(CLIENTS.contains(&format!("`{name}`")), "{name} is not in docs/CLIENTS.md");
    }
}

/// A row of a table whose first cell is one word of code: that word, and the second cell.
fn row(line: &str) -> Option<(&str, &str)> {
    let mut cells = line.strip_prefix("| ")?.split(" | ");
    Some((cells.next()?.strip_prefix('`')?.strip_suffix('`')?, cells.next()?))
}

/// Every reason has one row, with the status of its answers, and no other word has one.
#[test]
fn reasons_are_documented() {
    let document = include_str!("../../docs/TROUBLESHOOTING.md");
    let (_, section) = document.split_once("\n## Every reason\n").unwrap();
    let (section, _) = section.split_once("\n## ").unwrap();
    let mut documented: Vec<&str> = section.lines().filter_map(row).map(|(word, _)| word).collect();
    let mut given: Vec<&str> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
    documented.sort_unstable();
    given.sort_unstable();
    assert_eq!(documented, given);
    given.dedup();
    assert_eq!(given.len(), Reason::ALL.len(), "two reasons have one word");
    let statuses = statuses();
    assert!(statuses.len() > 50, "{statuses:?}");
    for (word, status) in section.lines().filter_map(row) {
        assert!(statuses.get(word).is_none_or(|known| known == status), "{word}: {status}, not {statuses:?}");
    }
}

/// Every problem code of `/readyz` has one row, and no other word has one.
#[test]
fn problem_codes_are_documented() {
    let document = include_str!("../../docs/TROUBLESHOOTING.md");
    let (_, section) = document.split_once("\n## `/readyz` or the log reports a problem\n").unwrap();
    let section = section.split("\n## ").next().unwrap();
    let documented: Vec<&str> = section.lines().filter_map(row).map(|(word, _)| word).collect();
    assert_eq!(documented, ProblemCode::ALL.map(ProblemCode::as_str));
}

/// The statuses of the gateway's own answers by reason, as the cases of answers have them.
fn statuses() -> std::collections::BTreeMap<String, String> {
    let folder = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cases/answers")).unwrap();
    let files = folder.map(|entry| entry.unwrap().path());
    let files = files.filter(|path| path.extension().is_some_and(|end| end == "toml"));
    let cases = files.map(|path| std::fs::read_to_string(path).unwrap());
    let cases: Vec<toml::Table> = cases.map(|text| text.parse().unwrap()).collect();
    let answers = cases.iter().flat_map(|table| table.values());
    answers.map(|case| (case["reason"].as_str().unwrap().to_owned(), case["status"].to_string())).collect()
}

/// Every link of a document to a file, folder or heading of the repository leads to one that is there.
#[test]
fn links_between_the_documents_lead_somewhere() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let anchors = |text: &str| -> Vec<String> {
        let headings = text.lines().filter(|line| line.starts_with('#'));
        let anchor = |heading: &str| {
            let words = heading.trim_start_matches('#').trim().to_lowercase().replace(' ', "-");
            words.chars().filter(|c| c.is_alphanumeric() || "-_".contains(*c)).collect()
        };
        headings.map(anchor).collect()
    };
    let deployed = std::fs::read_dir(root.join("deploy")).unwrap().map(|entry| entry.unwrap().path());
    let documents = [root.to_owned(), root.join("docs"), root.join("deploy/kubernetes/bedrock-gateway")]
        .into_iter()
        .chain(deployed.filter(|path| path.is_dir()))
        .flat_map(|folder| std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()));
    let mut count = 0;
    for path in documents.filter(|path| path.extension().is_some_and(|end| end == "md")) {
        let (name, folder) = (path.display(), path.parent().unwrap());
        let text = std::fs::read_to_string(&path).unwrap();
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            if file.starts_with("http") {
                continue;
            }
            let at = if file.is_empty() { path.clone() } else { folder.join(file) };
            assert!(at.exists(), "{name}: {target}");
            let there = std::fs::read_to_string(&at).unwrap_or_default();
            assert!(
                anchor.is_empty() || anchors(&there).iter().any(|known| known == anchor),
                "{name}: {target}"
            );
            count += 1;
        }
    }
    assert!(count > 60, "{count}");
}

/// The tests that the threat model names exist, so it claims nothing that was removed.
#[test]
fn the_threat_models_tests_exist() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it");
    let named: Vec<(&str, &str)> =
        include_str!("../../SECURITY.md").split('`').filter_map(|word| word.split_once("::")).collect();
    assert!(named.len() > 20, "{named:?}");
    for (file, test) in named {
        let at = [format!("{file}.rs"), format!("smuggling/{file}.rs")].map(|path| folder.join(path));
        let text = at.iter().find_map(|path| std::fs::read_to_string(path).ok());
        assert!(
            text.is_some_and(|text| text.contains(&format!("fn {test}("))),
            "{file}::{test} is not there"
        );
    }
    assert!(
        include_str!("../../src/config/tests.rs")
            .contains("fn issuers_that_serve_the_whole_world_need_their_owner_pinned()")
    );
}
