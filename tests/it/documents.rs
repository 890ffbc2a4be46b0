//! What the documentation shows is true.

use bedrock_gateway::config::Config;

const README: &str = include_str!("../../README.md");

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
fn the_policies_are_json_and_the_readmes_is_the_deployed_one() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/iam/");
    let policy = |name: &str| -> serde_json::Value {
        serde_json::from_str(&std::fs::read_to_string(format!("{folder}{name}")).unwrap()).unwrap()
    };
    let (_, rest) = README.split_once("```json\n").unwrap();
    let (shown, _) = rest.split_once("```").unwrap();
    let mut shown: serde_json::Value = serde_json::from_str(shown).unwrap();
    let trust = policy("invocation-role-trust.json");
    shown["Statement"][0]["Sid"] = trust["Statement"][0]["Sid"].clone();
    assert_eq!(shown, trust);
    for name in ["invocation-role.json", "gateway-role.json"] {
        assert_eq!(policy(name)["Version"], "2012-10-17");
    }
}
