//! The pages for those who roll the gateway out: their columns, figures, commands, keys and metrics are real.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use bedrock_gateway::config::Config;
use serde_json::Value;

use crate::process::run;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

const BILLING: &str = include_str!("../../../docs/BILLING.md");
const SIZING: &str = include_str!("../../../docs/SIZING.md");
const PRIVACY: &str = include_str!("../../../docs/PRIVACY.md");
const OPERATIONS: &str = include_str!("../../../docs/OPERATIONS.md");
const METRICS: &str = include_str!("../../../docs/METRICS.md");

/// The pages that name keys of the configuration as `table.key`.
const PAGES: [(&str, &str); 6] = [
    ("BILLING", BILLING),
    ("SIZING", SIZING),
    ("PRIVACY", PRIVACY),
    ("UPGRADING", include_str!("../../../docs/UPGRADING.md")),
    ("HARDENING", include_str!("../../../docs/HARDENING.md")),
    ("ALTERNATIVES", include_str!("../../../docs/ALTERNATIVES.md")),
];

/// The parts of prose within single backticks.
fn code(text: &str) -> impl Iterator<Item = &str> {
    text.split("```").step_by(2).flat_map(|prose| prose.split('`').skip(1).step_by(2))
}

/// The rows of the first table below a line that contains `above`, as cells, without the head.
fn table<'a>(text: &'a str, above: &str) -> Vec<Vec<&'a str>> {
    let (_, rest) = text.split_once(above).unwrap_or_else(|| panic!("no line has {above}"));
    let rows =
        rest.lines().skip_while(|line| !line.starts_with('|')).take_while(|line| line.starts_with('|'));
    let cells = |line: &'a str| line.trim_matches('|').split(" | ").map(str::trim).collect();
    rows.skip(2).map(cells).collect()
}

#[test]
fn the_columns_of_the_billing_page_are_those_that_doctor_looks_for() {
    let source = include_str!("../../../src/doctor/billing.rs");
    let (_, list) = source.split_once("const COLUMNS: [&str;").unwrap();
    let wanted: BTreeSet<&str> = list.split("];").next().unwrap().split('"').skip(1).step_by(2).collect();
    assert!(wanted.len() > 10, "{wanted:?}");
    let rows = table(BILLING, "The columns that a report");
    let shown: BTreeSet<&str> = rows.iter().flat_map(|row| code(row[0])).collect();
    assert_eq!(shown, wanted);
}

/// The number in a row of `docs/SPEED.md`, in the gateway's column.
fn measured(what: &str) -> f64 {
    let speed = include_str!("../../../docs/SPEED.md");
    let row = speed.lines().find(|line| line.starts_with(&format!("| {what} |")));
    let cells: Vec<&str> = row.unwrap_or_else(|| panic!("no row {what}")).split(" | ").collect();
    cells[3].split(' ').next().unwrap().parse().unwrap()
}

#[test]
fn the_sizing_table_follows_from_the_measured_figures() {
    let request = measured("… 100 KiB, 16 connections");
    let tls = measured("TLS on both sides: CPU per request, 1 KiB, 16 connections")
        - measured("CPU per request, 1 KiB, 16 connections");
    let frame = measured("CPU per stream frame, 1,000 streams");
    let (idle, streams) = (measured("resident memory: idle"), measured("… 1,000 streams open"));
    let stream = (streams - idle) / 1_000.0;
    let session = 5.0 * 1_024.0 / 1e6;
    let recent = 12.0;
    for figure in [
        format!("{frame} µs"),
        format!("{request} µs"),
        format!("about {tls:.0} µs"),
        format!("{} µs", measured("a request whose token is new (RS256)")),
        format!("{idle} MB"),
        format!("{:.0} KB", stream * 1_000.0),
    ] {
        assert!(SIZING.contains(&figure), "docs/SIZING.md does not have {figure}");
    }
    assert!(
        OPERATIONS.contains("5 KiB for a session")
            && OPERATIONS.contains("about 20 KiB for an idle connection")
    );
    assert!(OPERATIONS.contains("requests in memory: about 12 MB"));

    let rows = table(SIZING, "\n## Worked examples\n");
    assert_eq!(rows.len(), 3);
    for row in rows {
        let number = |index: usize| row[index].replace(',', "").parse::<f64>().unwrap();
        let (callers, replicas, requests, open) = (number(0), number(1), number(2), number(3));
        assert_eq!(row[4], format!("{:.1}", callers * replicas / 3_000.0), "{row:?}");
        assert!((number(5) - callers * replicas).abs() < f64::EPSILON, "{row:?}");
        let cores = (requests * (request + tls) + open * 30.0 * frame) / 1e6;
        assert_eq!(row[6], format!("{cores:.1}"), "{row:?}");
        let memory = idle + recent + callers * session + open / replicas * stream;
        assert_eq!(row[7], format!("{memory:.0} MB"), "{row:?}");
    }
}

/// The page sorts each field of the access log, and no other.
#[test]
fn the_fields_of_the_privacy_page_are_those_of_the_access_log() {
    let known: BTreeSet<&str> =
        table(OPERATIONS, "JSON has every field:").iter().flat_map(|row| code(row[0])).collect();
    assert!(known.contains("subject") && known.contains("principal"), "{known:?}");
    let rows = table(PRIVACY, "\n### The fields of the access log\n");
    let named: Vec<&str> = rows.iter().flat_map(|row| code(row[1])).collect();
    let sorted: BTreeSet<&str> = named.iter().copied().collect();
    assert_eq!(sorted, known);
    assert_eq!(named.len(), known.len(), "a field is of two kinds: {named:?}");
}

/// The pseudonym of the page takes the place of the name in the starting point of Entra.
#[test]
fn the_pseudonym_of_the_privacy_page_is_a_valid_mapping() {
    let (_, block) = PRIVACY.split_once("```toml\n").unwrap();
    let lines: Vec<&str> = block.split("```").next().unwrap().lines().map(str::trim).collect();
    let pseudonym = lines.join("\n");
    let entra = include_str!("../../../config/issuers/entra.toml");
    let (before, rest) = entra.split_once("[issuer.session]\n").unwrap();
    let (_, after) = rest.split_once("[issuer.session.tags]\n").unwrap();
    let team = after.lines().filter(|line| !line.starts_with("user =")).collect::<Vec<_>>().join("\n");
    let whole = format!("{before}{pseudonym}\n[issuer.session.tags]\n{team}");
    let config =
        Config::parse(&whole, "docs/PRIVACY.md", &|_| None).unwrap_or_else(|problems| panic!("{problems}"));
    assert!(config.warnings.is_empty(), "{:?}", config.warnings);
}

/// All keys of the configuration, as `table.key`, at every depth.
fn keys(schema: &Value, node: &Value, path: &str, found: &mut BTreeSet<String>) {
    let node = match node["$ref"].as_str() {
        Some(reference) => &schema["$defs"][reference.rsplit('/').next().unwrap()],
        None => node,
    };
    for part in ["anyOf", "oneOf", "allOf"].iter().filter_map(|name| node[name].as_array()).flatten() {
        keys(schema, part, path, found);
    }
    if node["items"].is_object() {
        keys(schema, &node["items"], path, found);
    }
    for (name, value) in node["properties"].as_object().into_iter().flatten() {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        if found.insert(path.clone()) {
            keys(schema, value, &path, found);
        }
    }
}

#[test]
fn the_keys_and_metrics_that_the_pages_name_exist() {
    let schema: Value = serde_json::from_str(include_str!("../../../config/gateway.schema.json")).unwrap();
    let mut known = BTreeSet::new();
    keys(&schema, &schema, "", &mut known);
    assert!(known.contains("listen.tls.cert") && known.contains("issuer.session.name"), "{known:?}");
    let tables =
        ["listen", "aws", "sessions", "limits", "log", "issuer", "role", "revoke", "session", "endpoints"];
    let mut count = 0;
    for (page, text) in PAGES {
        for word in code(text) {
            let is_path = word
                .split('.')
                .all(|part| !part.is_empty() && part.chars().all(|c| c.is_ascii_lowercase() || c == '_'));
            if is_path && word.split_once('.').is_some_and(|(table, _)| tables.contains(&table)) {
                let ends = format!(".{word}");
                assert!(known.iter().any(|key| key == word || key.ends_with(&ends)), "{page}: no key {word}");
                count += 1;
            }
            if word.starts_with("bedrock_gateway_") {
                let metric = word.split('{').next().unwrap();
                assert!(METRICS.contains(&format!("| `{metric}` |")), "{page}: no metric {metric}");
                count += 1;
            }
        }
    }
    assert!(count > 20, "{count}");
}

/// The commands `bedrock-gateway …` of a document: each with its words, up to a pipe, a comment or the next command.
fn commands(text: &str) -> Vec<Vec<String>> {
    let joined = text.replace("\\\n", " ");
    let mut found = Vec::new();
    for (index, part) in joined.split("```").enumerate() {
        let lines: Vec<&str> =
            if index % 2 == 1 { part.lines().skip(1).collect() } else { code(part).collect() };
        for line in lines {
            let line = line.trim().trim_start_matches("$ ");
            let Some(rest) = line.strip_prefix("bedrock-gateway ") else { continue };
            let stops = ["|", ">", "<", "#", "&&", ";"];
            let words = rest.split_whitespace().take_while(|word| !stops.contains(word));
            found.push(words.map(str::to_owned).collect());
        }
    }
    found
}

#[test]
fn the_commands_and_flags_that_documents_name_exist() {
    let folder = std::fs::read_dir(Path::new(ROOT).join("docs")).unwrap();
    let paths = folder.map(|entry| entry.unwrap().path()).chain([Path::new(ROOT).join("README.md")]);
    let (mut helps, mut count) = (BTreeMap::<String, String>::new(), 0);
    for path in paths.filter(|path| path.extension().is_some_and(|end| end == "md")) {
        let text = std::fs::read_to_string(&path).unwrap();
        for words in commands(&text) {
            let Some(name) = words.first().filter(|word| word.chars().all(|c| c.is_ascii_lowercase())) else {
                continue;
            };
            let help = helps.entry(name.clone()).or_insert_with(|| {
                let ended = run(&[name, "--help"], "");
                assert_eq!(ended.code, Some(0), "{}: there is no command {name}", path.display());
                ended.out
            });
            for flag in words.iter().filter(|word| word.starts_with("--") && word.len() > 2) {
                let flag = flag.split('=').next().unwrap().trim_end_matches(|c: char| !c.is_alphanumeric());
                // `--token` is the short form of `--token-file`, which some help texts show alone.
                let long = if flag == "--token" { "--token-file" } else { flag };
                let words = help.split(|c: char| !(c.is_alphanumeric() || c == '-'));
                let has = words.into_iter().any(|word| word == flag || word == long);
                assert!(has, "{}: {name} has no {flag}", path.display());
                count += 1;
            }
        }
    }
    assert!(count > 40, "{count}");
}
