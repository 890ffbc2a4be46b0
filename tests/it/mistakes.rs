//! The cases in `tests/cases/mistakes`: mistakes in a configuration, and what the command prints about each. The README
//! there describes their form.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cases/mistakes");
const MARK: &str = "=== ";

/// A section: the words of its first line, and the text below it.
type Section<'t> = (&'t str, String);

/// The sections of a case. The first one, without a mark, says what the mistake is.
fn sections(text: &str) -> Vec<Section<'_>> {
    let mut sections = vec![("", String::new())];
    for line in text.lines() {
        match line.strip_prefix(MARK) {
            Some(title) => sections.push((title, String::new())),
            None => sections.last_mut().unwrap().1.extend([line, "\n"]),
        }
    }
    sections
}

/// `base` with the changes of the case.
fn configuration(base: &str, sections: &[Section<'_>]) -> String {
    let mut text = base.to_owned();
    for pair in sections.windows(2) {
        if let [("replace", from), ("with", to)] = pair {
            assert_eq!(text.matches(from.as_str()).count(), 1, "this must occur once:\n{from}");
            text = text.replace(from.as_str(), to);
        }
    }
    let whole = sections.iter().find(|(title, _)| *title == "config");
    whole.map_or(text, |(_, whole)| whole.clone())
}

/// Runs the case. Returns its last section, as the command's output makes it.
fn outcome(base: &str, sections: &[Section<'_>]) -> String {
    // Lines break by the length of paths, so the folder's path has the same length on every machine.
    let folder = TempDir::new_in("/tmp").unwrap();
    fs::write(folder.path().join("gateway.toml"), configuration(base, sections)).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_bedrock-gateway"));
    command.current_dir(folder.path()).env_clear();
    let mut arguments = "check --config gateway.toml";
    let mut input = "";
    for (title, text) in sections {
        match title.split_once(' ').unwrap_or((title, "")) {
            ("file", name) => {
                let path = folder.path().join(name);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, text).unwrap();
            }
            ("environment", _) => drop(command.envs(text.lines().map(|line| line.split_once('=').unwrap()))),
            ("arguments", _) => arguments = text.trim(),
            ("input", _) => input = text,
            ("" | "replace" | "with" | "config" | "exit", _) => {}
            _ => panic!("no section is called {title:?}"),
        }
    }
    let standard_input = folder.path().join("standard-input");
    fs::write(&standard_input, input).unwrap();
    command.stdin(Stdio::from(fs::File::open(standard_input).unwrap()));
    let ended = command.args(arguments.split(' ')).output().unwrap();
    let printed = [ended.stderr, ended.stdout].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
    let printed = printed.replace(folder.path().to_str().unwrap(), "FOLDER");
    let code = ended.status.code().map_or_else(|| "by a signal".to_owned(), |code| code.to_string());
    format!("{MARK}exit {code}\n{printed}")
}

fn cases(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut found: Vec<_> = entries
        .flat_map(|path| if path.is_dir() { cases(&path) } else { vec![path] })
        .filter(|path| path.extension().is_some_and(|extension| extension == "txt"))
        .collect();
    found.sort();
    found
}

#[test]
fn every_mistake_is_reported_with_the_expected_text() {
    let base = fs::read_to_string(Path::new(FOLDER).join("base.toml")).unwrap();
    let bless = std::env::var_os("BLESS").is_some();
    let mut wrong = String::new();
    let cases = cases(Path::new(FOLDER));
    assert!(!cases.is_empty());
    for path in cases {
        let text = fs::read_to_string(&path).unwrap();
        let given = text.find("=== exit").map_or(text.as_str(), |at| &text[..at]);
        let becomes = outcome(&base, &sections(given));
        if bless {
            fs::write(&path, format!("{given}{becomes}")).unwrap();
        } else if text != format!("{given}{becomes}") {
            writeln!(wrong, "{}:\n{becomes}", path.display()).unwrap();
        }
    }
    assert!(wrong.is_empty(), "write the expected texts again with BLESS=1, and read them:\n{wrong}");
}

/// Every line of a message fits a terminal of 80 columns, except the lines of the configuration and paths.
#[test]
fn messages_fit_eighty_columns() {
    for path in cases(Path::new(FOLDER)) {
        let text = fs::read_to_string(&path).unwrap();
        let Some((_, printed)) = text.split_once("=== exit") else { continue };
        let words =
            printed.lines().filter(|line| !line.contains(" | ") && !line.trim_start().starts_with('"'));
        for line in words {
            assert!(line.chars().count() <= 80, "{}: {line}", path.display());
        }
    }
}

/// Every report for programs that a case expects, of `check` and of `explain`, has the documented form.
#[test]
fn reports_for_programs_follow_the_schema() {
    let text = include_str!("../../docs/check.schema.json");
    let mut compiler = boon::Compiler::new();
    compiler.add_resource("check.schema.json", serde_json::from_str(text).unwrap()).unwrap();
    let mut schemas = boon::Schemas::new();
    let schema = compiler.compile("check.schema.json", &mut schemas).unwrap();
    let mut reports = 0;
    for path in cases(Path::new(FOLDER)) {
        let text = fs::read_to_string(&path).unwrap();
        let Some((_, printed)) = text.split_once("=== exit") else { continue };
        let Some((_, report)) = printed.split_once("\n{") else { continue };
        let report: serde_json::Value = serde_json::from_str(&format!("{{{report}")).unwrap();
        schemas.validate(&report, schema).unwrap_or_else(|error| panic!("{}: {error:#}", path.display()));
        reports += 1;
    }
    assert!(reports >= 2, "{reports}");
}
