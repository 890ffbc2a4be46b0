//! The annotated reference configuration: it is valid, names every key, and its defaults are the defaults.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::*;

fn reference() -> (PathBuf, String) {
    let path = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/config/gateway.toml"));
    let text = std::fs::read_to_string(&path).unwrap();
    (path, text)
}

#[test]
fn the_reference_configuration_is_valid() {
    let (path, text) = reference();
    let config =
        Config::parse(&text, "gateway.toml", &|_| None).unwrap_or_else(|problems| panic!("{problems}"));
    assert!(config.warnings.is_empty(), "{:?}", config.warnings);
    assert_eq!(config.issuers[0].url, "https://acme.okta.com/oauth2/default");
    assert_eq!(config.mapping.roles.len(), 2);
    assert_eq!(config.mapping.issuers[0].tags.len(), 4);
    assert_eq!(load(&path).unwrap().aws, config.aws);
}

#[test]
fn the_reference_configuration_names_every_key() {
    let (_, text) = reference();
    let words: BTreeSet<&str> = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').collect();
    let fields = include_str!("../raw.rs").lines().filter_map(|line| line.trim().strip_prefix("pub(super) "));
    let fields: Vec<_> = fields.filter_map(|field| field.split_once(": ").map(|(name, _)| name)).collect();
    assert!(fields.len() > 60, "{fields:?}");
    for field in fields {
        assert!(words.contains(field), "{field} is not in config/gateway.toml");
    }
}

/// Each commented line with a default shows the real one: without the `#` it changes nothing.
#[test]
fn the_defaults_in_the_reference_configuration_are_the_defaults() {
    let (_, text) = reference();
    let mut spelt_out = String::new();
    for line in text.lines() {
        let default =
            ["max_body", "drain_timeout", "fips", "dual_stack", "duration = \"1h\"", "refresh_before"]
                .iter()
                .chain(&[
                    "capacity",
                    "max_sts_rate",
                    "per_name",
                    "algorithms",
                    "types",
                    "leeway",
                    "shared_names",
                ])
                .chain(&["format", "level", "upstream_messages"])
                .chain(&["format", "level", "connections =", "streams_per_connection =", "requests ="])
                .chain(&["requests_per_principal =", "body_memory =", "body_memory_per_principal ="])
                .chain(&["connect_timeout =", "first_byte_timeout =", "stream_idle_timeout ="])
                .chain(&["sts_timeout ="])
                .any(|key| line.starts_with(&format!("# {key}")));
        spelt_out.push_str(if default { line.trim_start_matches("# ") } else { line });
        spelt_out.push('\n');
    }
    let parse = |text: &str| Config::parse(text, "gateway.toml", &|_| None).unwrap_or_else(|p| panic!("{p}"));
    let (short, long) = (parse(&text), parse(&spelt_out));
    assert_eq!((short.listen, short.aws, short.sessions), (long.listen, long.aws, long.sessions));
    assert_eq!((short.issuers, short.log), (long.issuers, long.log));
    assert_eq!(short.upstream_messages, long.upstream_messages);
    assert_eq!(short.mapping.default_duration, long.mapping.default_duration);
    assert_ne!(text, spelt_out);
}
