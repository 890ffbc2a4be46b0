//! Configuration text, of the deny file too: whatever it is, it is taken or every fault is said with its place.

use std::path::Path;

use bedrock_gateway::config::{Config, ConfigError, deny_file};

pub(crate) fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let environment = |name: &str| (name == "SET").then(|| "value".to_owned());
    if let Err(problems) = Config::parse(text, "fuzz.toml", &environment) {
        told(&problems, text);
    }
    if let Err(problems) = deny_file(data, Path::new("deny.toml"), &["acme".into()]) {
        told(&problems, text);
    }
}

fn told(problems: &ConfigError, text: &str) {
    assert!(!problems.0.is_empty(), "refused without a reason");
    let lines = text.split('\n').count();
    for problem in &problems.0 {
        assert!((1..=lines).contains(&problem.line), "{problem:?} is on none of {lines} lines");
        assert!(problem.column >= 1, "{problem:?}");
        assert!(!problem.message.is_empty() && !problem.help.is_empty(), "{problem:?}");
    }
}
