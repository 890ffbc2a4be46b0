//! The problems of a configuration as an operator reads them: what is wrong, the line with a caret below the value, and
//! what to write instead.

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};

use serde_json::{Value, json};

use crate::config::{Diagnostic, Severity, counted};

/// Columns of a line. Narrow terminals and logs of build servers have 80.
const WIDTH: usize = 80;

/// Prints the problems to standard error, with colours on a terminal (`NO_COLOR` and `CLICOLOR` are respected).
pub(super) fn print(problems: &[Diagnostic]) {
    let renderer = Renderer::styled().term_width(WIDTH);
    for problem in problems {
        anstream::eprintln!("{}\n", renderer.render(&[group(problem)]));
    }
}

/// Prints the problems of a configuration that is rejected, and their number in each file.
pub(super) fn print_rejected(problems: &[Diagnostic]) {
    print(problems);
    let mut files: Vec<&str> = problems.iter().map(|problem| &*problem.file).collect();
    files.sort_unstable();
    files.dedup();
    for file in files {
        eprintln!("{file}: {}", count(problems, file));
    }
}

/// The numbers of errors and warnings in the file, for example `3 errors, 2 warnings`.
fn count(problems: &[Diagnostic], file: &str) -> String {
    let of = |severity| {
        problems.iter().filter(|problem| &*problem.file == file && problem.severity == severity).count()
    };
    let (errors, warnings) = (of(Severity::Error), of(Severity::Warning));
    match (errors, warnings) {
        (_, 0) => counted(errors, "error"),
        (0, _) => counted(warnings, "warning"),
        (_, _) => format!("{}, {}", counted(errors, "error"), counted(warnings, "warning")),
    }
}

/// How many of the problems have this severity.
pub(super) fn number(problems: &[Diagnostic], severity: Severity) -> usize {
    problems.iter().filter(|problem| problem.severity == severity).count()
}

/// The problems for programs (`docs/check.schema.json`).
pub(super) fn json(problems: &[Diagnostic]) -> Value {
    problems.iter().map(object).collect()
}

fn object(problem: &Diagnostic) -> Value {
    json!({
        "severity": problem.severity.as_str(),
        "file": *problem.file,
        "line": problem.line,
        "column": problem.column,
        "key": problem.key,
        "message": problem.message,
        "help": problem.help,
        "source": problem.source.as_ref().map(|line| &line.text),
    })
}

fn group(problem: &Diagnostic) -> Group<'_> {
    let level = match problem.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let gutter = problem.line.to_string().len();
    let title = wrapped(&title(problem), WIDTH - problem.severity.as_str().len() - ": ".len());
    let help = wrapped(&problem.help, WIDTH - gutter - " = help: ".len());
    let group = Group::with_title(level.primary_title(title));
    let group = match &problem.source {
        Some(source) => group.element(
            Snippet::source(source.text.as_str())
                .path(&*problem.file)
                .line_start(problem.line)
                .annotation(AnnotationKind::Primary.span(source.marked.clone())),
        ),
        None => group.element(Origin::path(&*problem.file)),
    };
    group.element(Level::HELP.message(help))
}

/// The message with its key, unless it quotes the key.
fn title(problem: &Diagnostic) -> String {
    let Diagnostic { key, message, .. } = problem;
    let last = key.rsplit('.').next().unwrap_or_default().trim_matches('"');
    let last = last.split('[').next().unwrap_or_default();
    if key.is_empty() || message.contains(&format!("\"{last}\"")) || message.contains(&format!("{last}]")) {
        message.clone()
    } else {
        format!("{key}: {message}")
    }
}

/// The text in lines of at most `width` characters, where its words allow it.
pub(super) fn wrapped(text: &str, width: usize) -> String {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines.join("\n")
}
