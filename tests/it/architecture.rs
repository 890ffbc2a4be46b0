//! The import rules of the module tree, read off the sources: arrows point one way, and each foreign
//! library has one owner.

use std::fs;
use std::path::{Path, PathBuf};

/// A source file below `src`, its path relative to it, and its text less the unit tests.
fn sources() -> Vec<(String, String)> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    walk(&root, &mut found);
    found
        .into_iter()
        .map(|path| {
            let name = path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
            let text = fs::read_to_string(&path).unwrap();
            let code = text.split("#[cfg(test)]").next().unwrap().to_owned();
            (
                name,
                code.lines()
                    .filter(|line| !line.trim_start().starts_with("//"))
                    .collect::<Vec<_>>()
                    .join("\n"),
            )
        })
        .filter(|(name, _)| !name.ends_with("tests.rs") && !name.contains("tests/"))
        .collect()
}

fn within(name: &str, module: &str) -> bool {
    name == format!("{module}.rs") || name.starts_with(&format!("{module}/"))
}

#[test]
fn each_foreign_library_has_one_owner() {
    let owners: &[(&str, &[&str])] = &[
        ("jsonwebtoken", &["auth", "config"]),
        ("cel::", &["identity"]),
        ("aws_sdk_sts", &["sessions"]),
        ("aws_config", &["sessions"]),
        ("aws_sigv4", &["sign"]),
        ("aws_sdk_bedrockruntime", &["upstream"]),
        ("hyper_util::client", &["upstream", "auth"]),
        ("hyper_util::server", &["server"]),
        ("moka", &["auth", "sessions", "identity"]),
        ("toml", &["config"]),
        ("schemars", &["config"]),
        ("prometheus_client", &["telemetry"]),
        ("proxy_header", &["server"]),
        ("ipnet", &["server", "config"]),
    ];
    for (name, text) in sources() {
        for (library, modules) in owners {
            let used = text.lines().any(|line| {
                line.contains(library)
                    && (line.trim_start().starts_with("use ") || line.contains(&format!("{library}::")))
            });
            assert!(
                !used || modules.iter().any(|module| within(&name, module)),
                "{name} uses {library}, which belongs to {modules:?}"
            );
        }
    }
}

#[test]
fn arrows_point_one_way() {
    let forbidden: &[(&str, &[&str])] = &[
        (
            "auth",
            &[
                "identity", "sessions", "sign", "upstream", "meter", "revoke", "request", "error", "config",
                "server", "gateway",
            ],
        ),
        (
            "identity",
            &[
                "sessions", "sign", "upstream", "meter", "revoke", "request", "error", "config", "server",
                "gateway",
            ],
        ),
        (
            "sessions",
            &[
                "auth", "sign", "upstream", "meter", "revoke", "request", "error", "config", "server",
                "gateway",
            ],
        ),
        (
            "route",
            &[
                "auth", "identity", "sessions", "sign", "upstream", "meter", "revoke", "request", "error",
                "config", "server", "gateway", "clock",
            ],
        ),
        (
            "authorize",
            &[
                "auth", "sessions", "sign", "upstream", "meter", "revoke", "request", "error", "config",
                "server", "gateway",
            ],
        ),
        ("sign", &["auth", "meter", "revoke", "request", "error", "config", "server", "gateway", "clock"]),
        (
            "upstream",
            &["auth", "identity", "meter", "revoke", "request", "error", "config", "server", "gateway"],
        ),
        ("meter", &["request", "error", "config", "server", "gateway"]),
        (
            "limits",
            &[
                "auth", "identity", "sessions", "sign", "upstream", "meter", "revoke", "request", "error",
                "config", "server", "gateway",
            ],
        ),
        (
            "revoke",
            &[
                "route",
                "authorize",
                "sessions",
                "sign",
                "upstream",
                "meter",
                "request",
                "error",
                "config",
                "server",
                "gateway",
            ],
        ),
        ("clock", &["auth", "identity", "sessions", "config", "telemetry"]),
        ("error", &["request", "server", "gateway", "config"]),
    ];
    for (name, text) in sources() {
        for (module, others) in forbidden {
            if !within(&name, module) {
                continue;
            }
            for other in *others {
                let known = ["::", ";", "}"].iter().any(|end| text.contains(&format!("crate::{other}{end}")));
                assert!(!known, "{name} must not know {other}");
            }
        }
    }
}

#[test]
fn stages_do_not_speak_in_status_codes() {
    for (name, text) in sources() {
        let may =
            ["error", "server", "request", "meter", "upstream"].iter().any(|module| within(&name, module));
        assert!(may || !text.contains("StatusCode"), "{name} speaks in status codes");
    }
}

#[test]
fn files_are_readable_in_one_sitting_and_have_a_name_of_their_own() {
    for (name, text) in sources() {
        assert!(text.lines().count() <= 450, "{name} is long: split it by meaning");
        for vague in ["utils", "common", "helpers", "types", "prelude"] {
            assert!(!within(&name, vague), "{name} says nothing");
        }
    }
}
