//! Checks that the documentation is true.

use bedrock_gateway::config::Config;
use bedrock_gateway::reason::Reason;
use bedrock_gateway::route::Operation;

const README: &str = include_str!("../../README.md");
const CLIENTS: &str = include_str!("../../docs/CLIENTS.md");
const DEPLOYING: &str = include_str!("../../docs/DEPLOYING.md");

#[test]
fn the_readmes_configuration_loads() {
    let (_, rest) = README.split_once("```toml\n").unwrap();
    let (example, _) = rest.split_once("```").unwrap();
    let config =
        Config::parse(example, "README.md", &|_| None).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(config.mapping.roles.len(), 2);
    assert!(config.warnings.is_empty(), "{:?}", config.warnings);
}

#[test]
fn the_policies_are_json_and_the_documented_one_is_the_deployed_one() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/iam/");
    let policy = |name: &str| -> serde_json::Value {
        serde_json::from_str(&std::fs::read_to_string(format!("{folder}{name}")).unwrap()).unwrap()
    };
    let (_, rest) = DEPLOYING.split_once("```json\n").unwrap();
    let (shown, _) = rest.split_once("```").unwrap();
    let mut shown: serde_json::Value = serde_json::from_str(shown).unwrap();
    let trust = policy("invocation-role-trust.json");
    shown["Statement"][0]["Sid"] = trust["Statement"][0]["Sid"].clone();
    assert_eq!(shown, trust);
    for name in ["invocation-role.json", "gateway-role.json"] {
        assert_eq!(policy(name)["Version"], "2012-10-17");
    }
}

/// The example policy allows exactly the actions of the operations that a role has by default. It allows no access to
/// objects that the account's users share.
#[test]
fn the_invocation_roles_policy_covers_the_operations() {
    let policy: serde_json::Value =
        serde_json::from_str(include_str!("../../deploy/iam/invocation-role.json")).unwrap();
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

/// Every reason is documented, and no other.
#[test]
fn reasons_are_documented() {
    let document = include_str!("../../docs/operations.md");
    let (_, table) = document.split_once("## Reasons").unwrap();
    let (table, _) = table.split_once("## The probe port").unwrap();
    let documented: std::collections::BTreeSet<&str> = table
        .lines()
        .filter(|line| line.starts_with("| `"))
        .flat_map(|line| line.split('|').nth(1).unwrap().split('`'))
        .filter(|word| !word.trim().is_empty() && *word != ", ")
        .collect();
    let given: std::collections::BTreeSet<&str> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
    assert_eq!(documented, given);
    assert_eq!(given.len(), Reason::ALL.len(), "two reasons have one word");
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
