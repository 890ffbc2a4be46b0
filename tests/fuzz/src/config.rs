//! Arbitrary text as configuration and as deny file: the gateway accepts it, or reports every problem with its
//! position.

use std::path::Path;

use bedrock_gateway::config::{Config, ConfigError, deny_file};

pub(crate) fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let environment = |name: &str| (name == "SET").then(|| "value".to_owned());
    if let Err(problems) = Config::parse(text, "fuzz.toml", &environment) {
        check_problems(&problems, text);
    }
    if let Err(problems) = deny_file(data, Path::new("deny.toml"), &["acme".into()]) {
        check_problems(&problems, text);
    }
}

fn check_problems(problems: &ConfigError, text: &str) {
    assert!(!problems.0.is_empty(), "rejected without a problem");
    let lines = text.split('\n').count();
    for problem in &problems.0 {
        assert!((1..=lines).contains(&problem.line), "{problem:?} is not on one of the {lines} lines");
        assert!(problem.column >= 1, "{problem:?}");
        assert!(!problem.message.is_empty() && !problem.help.is_empty(), "{problem:?}");
    }
}
