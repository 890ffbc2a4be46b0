//! The JSON Schema: fresh, and true of every configuration that loads.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{GOOD, parse};
use crate::config::{json_schema, schema_document};
use crate::route::Operation;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("config")
}

#[test]
fn the_schema_in_the_repository_is_what_the_command_prints() {
    let kept = std::fs::read_to_string(folder().join("gateway.schema.json")).unwrap_or_default();
    let help = "cargo run -- schema > config/gateway.schema.json";
    assert!(kept == json_schema(), "config/gateway.schema.json is stale; run: {help}");
}

#[test]
fn the_document_of_the_schema_is_what_the_command_prints() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/CONFIGURATION.md");
    let kept = std::fs::read_to_string(path).unwrap_or_default();
    let help = "cargo run -- schema --format markdown > docs/CONFIGURATION.md";
    assert!(kept == schema_document(), "docs/CONFIGURATION.md is stale; run: {help}");
}

/// Every key of the schema has a row, in the section of its table.
#[test]
fn the_document_has_every_key() {
    let schema: Value = serde_json::from_str(&json_schema()).unwrap();
    let document = schema_document();
    let tables = schema["$defs"].as_object().unwrap().values();
    let keys = tables.filter_map(|table| table.get("properties")?.as_object()).flat_map(|keys| keys.keys());
    let mut count = 0;
    for key in keys {
        assert!(document.contains(&format!("\n| `{key}` | ")), "{key} has no row");
        count += 1;
    }
    assert!(count > 60, "{count}");
    for heading in
        ["[listen.tls]", "[aws.region_endpoints.NAME]", "[[issuer.require]]", "[issuer.session.tags]"]
    {
        assert!(document.contains(&format!("\n## `{heading}`\n")), "{heading}");
    }
}

/// Validates a configuration against the schema.
fn check(text: &str) -> Result<(), String> {
    let schema: Value = serde_json::from_str(&json_schema()).unwrap();
    let mut compiler = boon::Compiler::new();
    compiler.set_default_draft(boon::Draft::V2020_12);
    compiler.add_resource("schema.json", schema).unwrap();
    let mut schemas = boon::Schemas::new();
    let index = compiler.compile("schema.json", &mut schemas).unwrap();
    let value: Value = toml::from_str(text).unwrap();
    schemas.validate(&value, index).map_err(|error| error.to_string())
}

#[test]
fn every_configuration_in_the_repository_is_valid() {
    let issuers = std::fs::read_dir(folder().join("issuers")).unwrap().map(|entry| entry.unwrap().path());
    let files = issuers.chain([folder().join("gateway.toml")]);
    let files: Vec<_> = files.filter(|path| path.extension().is_some_and(|end| end == "toml")).collect();
    assert_eq!(files.len(), 10);
    for path in files {
        let text = std::fs::read_to_string(&path).unwrap();
        check(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert!(text.starts_with("#:schema "), "{} does not name its schema", path.display());
    }
}

#[test]
fn what_loads_is_valid_and_what_is_not_does_not_load() {
    let operations = Operation::ALL.map(|name| format!("{:?}", name.as_str())).join(", ");
    let role = |line: &str| format!("{GOOD}{line}\n");
    let long = "name = { from = [\"claims.a\", \"claims.b\"], default = \"ab\", on_invalid = \"reject\" }";
    for good in [
        GOOD.to_owned(),
        role(&format!("operations = [{operations}]")),
        role("operations = [\"${NONE:-converse}\"]"),
        role("[log]\nformat = \"${NONE:-json}\""),
        GOOD.replace("name = \"claims.sub\"", long),
    ] {
        check(&good).unwrap();
        parse(&good).unwrap();
    }
    for bad in [
        role("operations = [\"fly\"]"),
        role("operations = []"),
        role("colour = \"red\""),
        role("[log]\nformat = \"yaml\""),
        GOOD.replace("[sessions]", "[sessions]\ncapacity = 0"),
        GOOD.replace("region = \"us-east-1\"", ""),
        GOOD.replace("audiences = [\"bedrock-gateway\"]", "audiences = []"),
        GOOD.replace("\"claims.sub\"", "7"),
        GOOD.replace("\"claims.sub\"", "{ form = \"claims.sub\" }"),
    ] {
        check(&bad).expect_err(&bad);
        parse(&bad).expect_err(&bad);
    }
}
