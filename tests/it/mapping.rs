//! The cases in `tests/cases/mapping`: claims and the identity that a mapping makes from them.

use std::collections::BTreeMap;

use bedrock_bed::Setup;
use bedrock_gateway::config::Config;
use http::{HeaderMap, HeaderName};
use serde_json::{Map, Value};

#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    claims: Map<String, Value>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    name: Option<String>,
    tags: Option<BTreeMap<String, String>>,
    source_identity: Option<String>,
    role: Option<usize>,
    reason: Option<String>,
}

#[test]
fn claims_get_the_expected_identities() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cases/mapping");
    let mut cases = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        let mapping = std::fs::read_to_string(&path).unwrap();
        let file = Setup { mapping: &mapping, roles: "", ..Setup::default() }.text();
        let name = path.file_name().unwrap().to_str().unwrap();
        let config = Config::parse(&file, name, &|_| None).unwrap_or_else(|problems| panic!("{problems}"));
        let listed = std::fs::read_to_string(path.with_extension("json")).unwrap();
        let listed: Vec<Case> =
            serde_json::from_str(&listed).unwrap_or_else(|error| panic!("{name}: {error}"));
        for case in listed {
            cases += 1;
            let headers: HeaderMap = case
                .headers
                .iter()
                .map(|(name, value)| (name.parse::<HeaderName>().unwrap(), value.parse().unwrap()))
                .collect();
            let at = format!("{name}: {}", Value::from(case.claims.clone()));
            match config.mapping.explain("acme", &case.claims, &headers).outcome {
                Ok(becomes) => {
                    assert_eq!((case.reason, case.role), (None, Some(becomes.rule)), "{at}");
                    assert_eq!(Some(becomes.session_name), case.name, "{at}");
                    assert_eq!(becomes.source_identity, case.source_identity, "{at}");
                    assert_eq!(Some(becomes.tags.into_iter().collect()), case.tags, "{at}");
                }
                Err(error) => {
                    assert_eq!(case.reason.as_deref(), Some(error.reason().as_str()), "{at}: {error}");
                }
            }
        }
    }
    assert!(cases >= 30, "{cases}");
}
