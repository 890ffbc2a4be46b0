//! The rules of the module tree, checked on the sources.
//!
//! Each rule is a function from a tree of files to its violations. The real tree must have none. A small tree that breaks
//! the rule must have one, so a rule that no longer finds anything fails its test.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// All modules at the top of the tree, from the lowest floor to the highest. A module imports from lower floors only, so
/// modules on the same floor are independent of each other.
const FLOORS: &[&[&str]] = &[
    &["keep_alive", "spelling", "workers"],
    &[
        "attribution",
        "causes",
        "clock",
        "expression",
        "headers",
        "jitter",
        "limits",
        "reason",
        "route",
        "server",
        "style",
        "trust",
        "verdict",
        "version",
        "wildcard",
    ],
    &["body", "proxy", "telemetry"],
    &["auth", "endpoint"],
    &["identity"],
    &["revoke"],
    &["authorize"],
    &["sessions"],
    &["sign"],
    &["upstream", "config"],
    &["error", "state"],
    &["operator", "record"],
    &["iam", "preflight", "relay"],
    &["doctor", "gateway", "request"],
    &["cli"],
    &["lib", "main"],
];

/// Libraries that only these modules use. Several modules are listed only if each needs the library for a different
/// purpose.
const OWNERS: &[(&str, &[&str])] = &[
    ("annotate_snippets", &["cli"]),
    ("anstream", &["cli", "style"]),
    ("anstyle", &["style"]),
    ("aws_config", &["sessions"]),
    ("aws_credential_types", &["doctor", "gateway", "sessions", "sign"]),
    ("aws_sdk_bedrockruntime", &["doctor", "endpoint"]),
    ("aws_sdk_sts", &["sessions"]),
    ("aws_sigv4", &["doctor", "sign"]),
    ("aws_smithy_eventstream", &["relay"]),
    ("aws_smithy_http_client", &["sessions"]),
    ("aws_smithy_runtime_api", &["sessions"]),
    ("aws_smithy_types", &["relay"]),
    ("base64", &["auth", "cli"]),
    ("cel", &["expression"]),
    ("clap", &["cli", "main"]),
    ("clap_complete", &["cli"]),
    ("clap_mangen", &["cli"]),
    ("fastrand", &["jitter"]),
    ("hmac", &["sessions", "sign"]),
    ("httpdate", &["doctor", "upstream"]),
    ("hyper::client", &["cli", "endpoint", "upstream"]),
    ("hyper::server", &["server"]),
    ("hyper_rustls", &["auth", "doctor", "proxy", "upstream"]),
    ("hyper_util::client", &["auth", "doctor", "proxy", "upstream"]),
    ("ipnet", &["config", "server"]),
    ("itoa", &["telemetry"]),
    ("jsonwebtoken", &["auth", "config"]),
    ("moka", &["auth", "sessions"]),
    ("percent_encoding", &["route"]),
    ("pin_project_lite", &["workers"]),
    ("prometheus_client", &["telemetry"]),
    ("proxy_header", &["server"]),
    ("regex", &["attribution", "expression"]),
    ("rustls_native_certs", &["trust"]),
    ("rustix", &["preflight", "server", "telemetry", "workers"]),
    ("schemars", &["config"]),
    ("strsim", &["config", "spelling"]),
    ("subtle", &["operator"]),
    ("terminal_size", &["cli"]),
    ("tokio_rustls", &["server"]),
    ("toml", &["config"]),
    ("tower_service", &["auth", "proxy", "upstream"]),
    ("tracing_core", &["telemetry"]),
    ("tracing_subscriber", &["telemetry"]),
    ("unicode_width", &["style"]),
    ("uuid", &["record"]),
    ("x509_parser", &["server"]),
];

/// Libraries that any module may use: types of HTTP and of asynchronous code, text formats, errors, locks.
const SHARED: &[&str] = &[
    "arc_swap",
    "bytes",
    "foldhash",
    "http",
    "http_body",
    "http_body_util",
    "parking_lot",
    "rustls",
    "serde",
    "serde_json",
    "sha2",
    "thiserror",
    "time",
    "tokio",
    "tracing",
    "url",
];

/// Modules that may use status codes: the table of answers, and the modules that exchange HTTP with a peer.
const STATUS_CODES: &[&str] = &["doctor", "error", "operator", "record", "request", "server", "upstream"];

/// Most lines of `request.rs`, comments included, so that the path of a request can be read in one sitting.
const STORY: usize = 150;
/// Most lines of any other file, tests and comments included.
const LONGEST: usize = 500;

/// The files below `src`: path and text.
struct Tree(BTreeMap<String, String>);

impl Tree {
    fn real() -> Self {
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
        let name = |path: &Path| path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
        Self(found.iter().map(|path| (name(path), fs::read_to_string(path).unwrap())).collect())
    }

    fn of(files: &[(&str, &str)]) -> Self {
        Self(files.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect())
    }

    /// The files without tests, each without its comments and unit tests.
    fn code(&self) -> impl Iterator<Item = (&str, String)> {
        let tests = |name: &str| name.ends_with("tests.rs") || name.contains("tests/");
        self.0.iter().filter(move |(name, _)| !tests(name)).map(|(name, text)| {
            let code = text.split("#[cfg(test)]\nmod tests").next().unwrap();
            let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
            (name.as_str(), lines.collect::<Vec<_>>().join("\n"))
        })
    }

    /// The file with the module of this path, or with the item of this path.
    fn holder(&self, path: &[String]) -> Option<&str> {
        let name = |length: usize| format!("{}.rs", path[..length].join("/"));
        (1..=path.len())
            .rev()
            .find_map(|length| self.0.get_key_value(&name(length)))
            .map(|(name, _)| name.as_str())
    }
}

/// The module path of a file, for example `a::b` for `a/b.rs`.
fn module(name: &str) -> Vec<String> {
    name.trim_end_matches(".rs").split('/').map(str::to_owned).collect()
}

fn top(name: &str) -> String {
    module(name).swap_remove(0)
}

/// All paths in the code that begin with `crate`, `super` or `self`, as paths from the crate's root.
fn paths(name: &str, code: &str) -> BTreeSet<Vec<String>> {
    let mut found = BTreeSet::new();
    let words = code.split(|c: char| !(c.is_alphanumeric() || c == '_')).scan(0, |at, word| {
        let start = *at;
        *at += word.len();
        *at += code[*at..].chars().next().map_or(0, char::len_utf8);
        Some((start, word))
    });
    for (start, word) in words {
        let mut base = match word {
            "crate" => Vec::new(),
            "super" | "self" => module(name),
            _ => continue,
        };
        // Skips the later part of another path, and words that begin no path: `super::super`, `pub(super)`, `&self`.
        let rest = &code[start + word.len()..];
        if code[..start].ends_with("::") || !rest.starts_with("::") {
            continue;
        }
        if word == "super" {
            base.pop();
        }
        expand(&base, rest, &mut found);
    }
    found
}

/// Follows a path, and each branch of a group in braces. Returns the text after it.
fn expand<'t>(base: &[String], rest: &'t str, found: &mut BTreeSet<Vec<String>>) -> &'t str {
    let Some(next) = rest.strip_prefix("::") else {
        found.insert(base.to_vec());
        return rest;
    };
    if let Some(mut group) = next.strip_prefix('{') {
        loop {
            group = group.trim_start_matches(|c: char| c.is_whitespace() || c == ',');
            if let Some(after) = group.strip_prefix('}') {
                return after;
            }
            let length = group.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(group.len());
            if length == 0 {
                return group;
            }
            group = expand(&child(base, &group[..length]), &group[length..], found);
            group = group.trim_start();
            if let Some(renamed) = group.strip_prefix("as ") {
                group = renamed.trim_start_matches(|c: char| c.is_alphanumeric() || c == '_');
            }
        }
    }
    let length = next.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(next.len());
    expand(&child(base, &next[..length]), &next[length..], found)
}

fn child(base: &[String], name: &str) -> Vec<String> {
    let mut path = base.to_vec();
    match name {
        "super" => drop(path.pop()),
        "self" | "" => {}
        name => path.push(name.to_owned()),
    }
    path
}

/// Rule: a module imports from lower floors only, and each module has a floor.
fn arrows_up(tree: &Tree) -> Vec<String> {
    let floor = |module: &str| FLOORS.iter().position(|floor| floor.contains(&module));
    let mut violations = Vec::new();
    for (name, code) in tree.code() {
        let own = top(name);
        let Some(here) = floor(&own) else {
            violations.push(format!("{name}: {own} has no floor"));
            continue;
        };
        let known: BTreeSet<String> =
            paths(name, &code).into_iter().filter_map(|p| p.into_iter().next()).collect();
        for other in known {
            // A name that is not a module is an item of the crate's root, through which an import could evade the rule.
            if other != own && floor(&other).is_none_or(|there| there >= here) {
                violations.push(format!("{name} must not know {other}"));
            }
        }
    }
    violations
}

/// Rule: no two files import from each other, directly or through other files. A file and the folder of the same name
/// are one module, so the files in the folder may use the items of the file.
fn circles(tree: &Tree) -> Vec<String> {
    let mut arrows: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let reexports = reexports(tree);
    for (name, code) in tree.code() {
        let parent = |holder: &str| name.starts_with(&format!("{}/", holder.trim_end_matches(".rs")));
        let known = paths(name, &code).into_iter().map(|path| reexports.get(&path).cloned().unwrap_or(path));
        let known: Vec<_> = known.collect();
        let known = known.iter().filter_map(|path| tree.holder(path));
        arrows.insert(name, known.filter(|holder| *holder != name && !parent(holder)).collect());
    }
    let mut violations = Vec::new();
    for start in arrows.keys() {
        let (mut seen, mut open) = (BTreeSet::new(), vec![*start]);
        while let Some(file) = open.pop() {
            for next in arrows.get(file).into_iter().flatten() {
                if next == start {
                    violations.push(format!("{start} is in a circle, through {file}"));
                }
                if seen.insert(*next) {
                    open.push(next);
                }
            }
        }
    }
    violations
}

/// Re-exported paths, each with the original path: a file that uses the first depends on the second.
fn reexports(tree: &Tree) -> BTreeMap<Vec<String>, Vec<String>> {
    let mut found = BTreeMap::new();
    for (name, code) in tree.code() {
        for statement in code.split("pub use ").skip(1).filter_map(|rest| rest.split(';').next()) {
            let rooted = ["crate::", "super::", "self::"].iter().any(|root| statement.starts_with(root));
            let statement = if rooted { statement.to_owned() } else { format!("self::{statement}") };
            for path in paths(name, &statement) {
                let own = module(name).into_iter().chain(path.last().cloned()).collect();
                found.insert(own, path);
            }
        }
    }
    found
}

/// Rule: only its owners use a library.
fn strangers(tree: &Tree) -> Vec<String> {
    let mut violations = Vec::new();
    for (name, code) in tree.code() {
        for (library, owners) in OWNERS {
            if owners.contains(&top(name).as_str()) {
                continue;
            }
            let wanted: Vec<&str> = library.split("::").collect();
            if uses(&code, wanted[0]).iter().any(|path| path.iter().zip(&wanted).all(|(a, b)| a == b)) {
                violations.push(format!("{name} uses {library}, which belongs to {owners:?}"));
            }
        }
    }
    violations
}

/// The paths in the code that begin with the name of a library.
fn uses(code: &str, library: &str) -> BTreeSet<Vec<String>> {
    let mut found = BTreeSet::new();
    for (at, _) in code.match_indices(library) {
        let (before, rest) = (&code[..at], &code[at + library.len()..]);
        let before = before
            .strip_suffix("::")
            .filter(|b| !b.ends_with(|c: char| c.is_alphanumeric()))
            .unwrap_or(before);
        let begins = !before.ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':');
        if begins && (rest.starts_with("::") || before.ends_with("use ") && rest.starts_with(';')) {
            expand(&[library.to_owned()], rest, &mut found);
        }
    }
    found
}

/// The dependencies in the manifest that have no owner and are not shared.
fn without_owner(manifest: &str) -> Vec<String> {
    let (_, rest) = manifest.split_once("[dependencies]\n").unwrap();
    let (table, _) = rest.split_once("\n[").unwrap();
    let names =
        table.lines().filter_map(|line| line.split_once(" = ")).map(|(name, _)| name.replace('-', "_"));
    let owned = |name: &String| OWNERS.iter().any(|(library, _)| library.split("::").next() == Some(name));
    names.filter(|name| !owned(name) && !SHARED.contains(&name.as_str())).collect()
}

/// Rule: stages use no status codes.
fn status_codes(tree: &Tree) -> Vec<String> {
    let may = |name: &str| STATUS_CODES.contains(&top(name).as_str());
    let users = tree.code().filter(|(name, code)| !may(name) && code.contains("StatusCode"));
    users.map(|(name, _)| format!("{name} uses status codes")).collect()
}

/// Rule: a file is short enough to be read in one sitting.
fn too_long(tree: &Tree) -> Vec<String> {
    let mut violations = Vec::new();
    for (name, text) in &tree.0 {
        let (lines, most) = (text.lines().count(), if name == "request.rs" { STORY } else { LONGEST });
        if lines > most {
            violations.push(format!("{name} has {lines} lines, more than {most}: split it by meaning"));
        }
    }
    violations
}

/// Rule: the name of a module says what it is for.
fn vague(tree: &Tree) -> Vec<String> {
    let vague = ["utils", "util", "common", "helpers", "types", "prelude", "misc"];
    let says_nothing = |name: &&String| vague.contains(&module(name).last().unwrap().as_str());
    tree.0.keys().filter(says_nothing).map(|name| format!("{name} says nothing")).collect()
}

#[test]
fn the_tree_keeps_every_rule() {
    let tree = Tree::real();
    assert!(tree.0.len() > 100);
    for rule in [arrows_up, circles, strangers, status_codes, too_long, vague] {
        assert_eq!(rule(&tree), Vec::<String>::new());
    }
}

/// Every module of the table exists. Otherwise a mistyped name would exempt a module from the rules.
#[test]
fn the_floors_name_modules_that_exist() {
    let tree = Tree::real();
    for module in FLOORS.iter().copied().flatten() {
        assert!(tree.0.contains_key(&format!("{module}.rs")), "{module}");
    }
}

#[test]
fn every_library_has_an_owner_or_is_shared() {
    assert_eq!(without_owner(include_str!("../../Cargo.toml")), Vec::<String>::new());
    assert_eq!(without_owner("[dependencies]\nmoka = \"1\"\nleft-pad = \"1\"\n[x]"), ["left_pad"]);
}

#[test]
fn an_import_from_the_same_or_a_higher_floor_fails() {
    for import in [
        "use crate::sessions::Session;",
        "use crate::{clock, gateway::{reload, files}};",
        "fn f() { crate::sign::sign() }",
        "use super::super::upstream;",
    ] {
        let tree = Tree::of(&[("auth/token_cache.rs", import)]);
        assert_eq!(arrows_up(&tree).len(), 1, "{import}: {:?}", arrows_up(&tree));
    }
    let along = Tree::of(&[("route.rs", "use crate::headers::Forwarded;")]);
    assert_eq!(arrows_up(&along), ["route.rs must not know headers"]);
    let down =
        Tree::of(&[("auth/token_cache.rs", "use crate::clock;\n// crate::sessions\nuse super::Caller;")]);
    assert_eq!(arrows_up(&down), Vec::<String>::new());
}

#[test]
fn an_import_of_an_item_of_the_root_fails() {
    let tree = Tree::of(&[("auth.rs", "#[cfg(test)]\nmod for_tests;\nuse crate::Gateway;")]);
    assert_eq!(arrows_up(&tree), ["auth.rs must not know Gateway"]);
}

#[test]
fn a_module_without_a_floor_fails() {
    let tree = Tree::of(&[("budget.rs", "")]);
    assert_eq!(arrows_up(&tree), ["budget.rs: budget has no floor"]);
}

#[test]
fn a_circle_of_files_fails() {
    let two = Tree::of(&[
        ("auth.rs", ""),
        ("auth/a.rs", "use super::b::B;"),
        ("auth/b.rs", "use crate::auth::{a::A, Caller as Known};"),
    ]);
    assert_eq!(
        circles(&two),
        ["auth/a.rs is in a circle, through auth/b.rs", "auth/b.rs is in a circle, through auth/a.rs"]
    );
    let three = Tree::of(&[
        ("auth/a.rs", "use super::b::B;"),
        ("auth/b.rs", "use super::c::C;"),
        ("auth/c.rs", "fn f() { super::a::g() }"),
    ]);
    assert_eq!(circles(&three).len(), 3);
    let by_the_parent = Tree::of(&[
        ("auth.rs", "pub use b::{B, Other};"),
        ("auth/a.rs", "use crate::auth::B;"),
        ("auth/b.rs", "use super::a::A;"),
    ]);
    assert_eq!(circles(&by_the_parent).len(), 2);
    let none = Tree::of(&[("auth.rs", "use self::a::A;"), ("auth/a.rs", "use super::Caller;")]);
    assert_eq!(circles(&none), Vec::<String>::new());
}

#[test]
fn a_library_with_another_owner_fails() {
    for code in [
        "use moka::sync::Cache;",
        "use ::moka::Expiry;",
        "use moka;",
        "fn f() { moka::sync::Cache::new(1); }",
    ] {
        let tree = Tree::of(&[("route.rs", code)]);
        assert_eq!(strangers(&tree), [r#"route.rs uses moka, which belongs to ["auth", "sessions"]"#]);
    }
    let grouped = Tree::of(&[("route.rs", "use hyper::{body::Incoming, server::conn};")]);
    assert_eq!(strangers(&grouped).len(), 1);
    assert_eq!(strangers(&Tree::of(&[("auth/token_cache.rs", "use moka::Expiry;")])), Vec::<String>::new());
    assert_eq!(
        strangers(&Tree::of(&[("route.rs", "use self::moka::X; fn f() { my_moka::g(); }")])),
        Vec::<String>::new()
    );
}

#[test]
fn a_stage_with_a_status_code_fails() {
    let tree = Tree::of(&[("authorize.rs", "fn f() -> StatusCode {}")]);
    assert_eq!(status_codes(&tree), ["authorize.rs uses status codes"]);
}

#[test]
fn a_long_story_and_a_long_file_fail() {
    let tree = Tree::of(&[("request.rs", &"\n".repeat(STORY + 1)), ("auth.rs", &"\n".repeat(LONGEST + 1))]);
    assert_eq!(too_long(&tree).len(), 2);
    let tree = Tree::of(&[("request.rs", &"\n".repeat(STORY)), ("auth.rs", &"\n".repeat(LONGEST))]);
    assert_eq!(too_long(&tree), Vec::<String>::new());
}

#[test]
fn a_vague_name_fails() {
    assert_eq!(vague(&Tree::of(&[("auth/utils.rs", "")])), ["auth/utils.rs says nothing"]);
}
