//! Text that is not TOML, in words about what the operator wrote.

use toml::de::Error;

use super::words::bare;
use crate::config::diagnostics::{Diagnostics, Span, example};

/// The message about a file whose first line is that of a JSON document.
const JSON: &str = "this file is JSON, but must be TOML";
/// The message about a line of YAML or JSON.
const YAML: &str = "this is YAML or JSON; TOML writes \"=\" between a key and its value";

/// The advice about a file of another language.
const AS_TOML: &str =
    "write two lines, [listen] and http = \"127.0.0.1:8080\", and all other tables and keys in the same way";

/// A header of a table: `[path]` or `[[path]]`.
struct Header<'t> {
    path: &'t str,
    list: bool,
    /// From 1.
    line: usize,
    /// In bytes.
    begins: usize,
}

/// A problem, with its place.
struct Fault {
    at: Span,
    /// Where the line or its wrong value begins: of several faults of a line, the first counts.
    begins: usize,
    message: String,
    help: String,
    kind: FaultKind,
}

enum FaultKind {
    /// The text has no structure from here on.
    Syntax,
    /// A key has two values. The parser keeps the first one.
    Key,
    /// A header contradicts an earlier one. The name of its first key.
    Table(String),
}

/// Everything that the parser rejected.
pub(super) struct Faults {
    faults: Vec<Fault>,
    tables: Vec<String>,
}

impl Faults {
    pub(super) fn of(text: &str, errors: &[Error]) -> Self {
        let headers = headers(text);
        let mut faults: Vec<Fault> = Vec::new();
        for error in errors {
            let fault = fault(text, &headers, error);
            // One mistake makes the parser stumble several times in a line.
            let line = |at: &Span| text.get(..at.start).unwrap_or_default().matches('\n').count();
            match faults.iter_mut().find(|other| line(&other.at) == line(&fault.at)) {
                Some(other) if fault.begins < other.begins => *other = fault,
                Some(_) => {}
                None => faults.push(fault),
            }
        }
        // The keys below a header that is rejected, and a file of another language, are one mistake.
        let rejected = |at: &Span| {
            let header = headers.iter().rev().find(|header| header.begins < at.start);
            header.is_some_and(|header| {
                faults
                    .iter()
                    .any(|fault| matches!(fault.kind, FaultKind::Table(_)) && fault.at.start == header.begins)
            })
        };
        let kept: Vec<bool> = faults
            .iter()
            .map(|fault| !matches!(fault.kind, FaultKind::Key) || !rejected(&fault.at))
            .collect();
        let mut kept = kept.into_iter();
        faults.retain(|_| kept.next().unwrap_or(true));
        let is_yaml = faults.len() > 1 && faults.iter().all(|fault| fault.message == YAML);
        if is_yaml && let Some(first) = faults.first_mut() {
            "this file is YAML, but must be TOML".clone_into(&mut first.message);
            AS_TOML.clone_into(&mut first.help);
        }
        if is_yaml || faults.first().is_some_and(|fault| fault.message == JSON) {
            faults.truncate(1);
        }
        let tables = faults
            .iter()
            .filter_map(|fault| match &fault.kind {
                FaultKind::Table(name) => Some(name.clone()),
                _ => None,
            })
            .collect();
        Self { faults, tables }
    }

    /// Whether nothing can be said about the text but where it is not TOML.
    pub(super) fn is_syntax(&self) -> bool {
        self.faults.iter().any(|fault| matches!(fault.kind, FaultKind::Syntax))
    }

    /// The tables at the top that the parser could not build.
    pub(super) fn tables(&self) -> &[String] {
        &self.tables
    }

    /// Reports each fault, except those of tables whose header is misspelt elsewhere: that is reported.
    pub(super) fn report(self, diagnostics: &mut Diagnostics<'_>, misspelt: &[String]) {
        for Fault { at, message, help, kind, .. } in self.faults {
            if !matches!(&kind, FaultKind::Table(name) if misspelt.contains(name)) {
                diagnostics.error(at, message, help);
            }
        }
    }
}

/// The headers of the text. A line of a long text can look like one, so this is for messages only.
fn headers(text: &str) -> Vec<Header<'_>> {
    let mut begins = 0;
    let mut found = Vec::new();
    for (index, line) in text.split_inclusive('\n').enumerate() {
        let inner = line.trim_start();
        if let Some(inner) = inner.strip_prefix('[') {
            let list = inner.starts_with('[');
            let path = inner.trim_start_matches('[').split(']').next().unwrap_or_default().trim();
            found.push(Header { path, list, line: index + 1, begins });
        }
        begins += line.len();
    }
    found
}

fn fault(text: &str, headers: &[Header<'_>], error: &Error) -> Fault {
    let at = error.span().unwrap_or(0..0);
    let begins = text.get(..at.start).and_then(|before| before.rfind('\n')).map_or(0, |end| end + 1);
    let line = text.get(begins..).unwrap_or_default().lines().next().unwrap_or_default();
    let written = text.get(at.clone()).unwrap_or_default();
    let message = error.message();
    if message == "duplicate key" || message.starts_with("cannot extend value") {
        return duplicate(text, headers, at, begins);
    }
    let (words, help) = words(line, written, message);
    // The parser's place is behind the mistake; the line as a whole shows it better.
    let whole = begins..begins + line.trim_end().len();
    let at = match line.split_once('=') {
        _ if message.contains("missing comma") && !at.is_empty() => at,
        Some(_) if message.contains("unexpected key or value") && line.trim_end().ends_with([',', ';']) => {
            whole.end - 1..whole.end
        }
        // The parser reads the beginning of an address as a number.
        Some((key, value))
            if !at.is_empty() && !value.trim_start().starts_with(['[', '{', '"', '\'', '=']) =>
        {
            let spaces = value.len() - value.trim_start().len();
            (begins + key.len() + 1 + spaces).min(at.start)..at.end
        }
        _ if at.is_empty() || written == "=" => whole,
        _ => at,
    };
    let first = at.start;
    let at = wrong_part(line, message).map_or(at, |part| begins + part.start..begins + part.end);
    Fault { at, begins: first, message: words, help, kind: FaultKind::Syntax }
}

/// The same key or table a second time.
fn duplicate(text: &str, headers: &[Header<'_>], at: Span, begins: usize) -> Fault {
    let Some(own) = headers.iter().find(|header| header.begins == begins) else {
        let key = text.get(at.clone()).unwrap_or_default().trim_matches('"');
        let table = headers.iter().rev().find(|header| header.begins < begins);
        let within =
            table.map_or_else(String::new, |table| format!(" in {}", brackets(table.path, table.list)));
        let sets_it =
            |line: &str| line.split_once('=').is_some_and(|(name, _)| name.trim().trim_matches('"') == key);
        let (top, above) = table.map_or((0, 0), |table| (table.line, table.begins));
        let between = text.get(above..begins).unwrap_or_default().lines();
        let first = between.zip(top.max(1)..).find(|(line, _)| sets_it(line));
        let first = first.map_or_else(String::new, |(_, line)| format!(", first on line {line}"));
        return Fault {
            begins: at.start,
            at,
            message: format!("\"{key}\" is set twice{within}{first}"),
            help: "remove one of the two lines, or rename one key".to_owned(),
            kind: FaultKind::Key,
        };
    };
    let first = own.path.split('.').next().unwrap_or_default().trim_matches('"').to_owned();
    let below = format!("{}.", own.path);
    let earlier = headers.iter().find(|header| {
        header.begins < begins && (header.path == own.path || header.path.starts_with(&below))
    });
    let header = brackets(own.path, own.list);
    let (message, help) = match earlier {
        Some(other) if other.path == own.path && other.list == own.list => (
            format!("the table {header} appears twice, first in line {}", other.line),
            format!("move the keys below the first {header}, and remove this header"),
        ),
        Some(other) if other.path == own.path => {
            let two = brackets(own.path, true);
            let place = if own.list { format!("line {}", other.line) } else { "this line".to_owned() };
            (
                format!(
                    "this header is {header}, but line {} has {}",
                    other.line,
                    brackets(other.path, other.list)
                ),
                format!("write {two} with two brackets in {place}: there can be several"),
            )
        }
        Some(other) => (
            format!("{header} follows {}, which is in line {}", brackets(other.path, other.list), other.line),
            format!("write {header} above it: a table must begin before its parts"),
        ),
        None => (
            format!("the table {header} appears twice"),
            format!("remove this header, or the keys that begin with {}.", bare(own.path)),
        ),
    };
    let at = begins..at.end.max(begins + header.len());
    Fault { at, begins, message, help, kind: FaultKind::Table(first) }
}

fn brackets(path: &str, list: bool) -> String {
    if list { format!("[[{path}]]") } else { format!("[{path}]") }
}

/// The part of a line that is wrong, if the parser's message shows which it is.
fn wrong_part(line: &str, message: &str) -> Option<Span> {
    let value = line.find('=').map_or(0, |equals| equals + 1);
    let after = |from: usize| line.get(from..).unwrap_or_default();
    if message.contains("extra `=`") {
        return line.find("==").map(|at| at..at + 2);
    }
    if message.contains("escape") {
        let at = line.find('\\')?;
        return Some(at..at + 1 + after(at + 1).chars().next().map_or(0, char::len_utf8));
    }
    if message.contains("missing assignment") || line.split_once(':').is_some_and(|(key, _)| is_key(key)) {
        let colon = after(value).find(':').map(|at| value + at).or_else(|| line.find(':'))?;
        return Some(colon..colon + 1);
    }
    if message.contains("missing comma") {
        // Between a closing and an opening quote, there is nothing but space.
        let gap = after(value).find("\" \"")? + value;
        return Some(gap + 1..gap + 2);
    }
    if message.contains("invalid basic string") || message.contains("invalid literal string") {
        let quote = after(value).find(['"', '\''])? + value;
        return Some(quote..quote + 1);
    }
    None
}

/// Words for the parser's message about a line.
fn words(line: &str, written: &str, message: &str) -> (String, String) {
    let trimmed = line.trim();
    let (key, value) =
        trimmed.split_once('=').map_or((trimmed, ""), |(key, value)| (key.trim(), value.trim()));
    let first = trimmed.chars().next().unwrap_or(' ');
    let of = |message: &str, help: String| (message.to_owned(), help);
    if first == '{' || first == '}' {
        return of(JSON, AS_TOML.to_owned());
    }
    if trimmed.starts_with("//") || first == ';' {
        return of(
            "this is not a comment in TOML",
            format!("write # {}", trimmed.trim_start_matches(['/', ';', ' '])),
        );
    }
    if message.contains("unclosed") && trimmed.starts_with('[') {
        let close = if trimmed.starts_with("[[") { "]]" } else { "]" };
        return of(
            "the header has no closing bracket",
            format!("write {}{close}", trimmed.trim_end_matches(']')),
        );
    }
    if let Some((key, value)) = trimmed.split_once(':').filter(|(key, _)| is_key(key)) {
        let key = key.trim().trim_start_matches("- ").trim_matches('"');
        let value = value.trim().trim_end_matches(',');
        let help = match value {
            "" => format!("write the header [{key}], and its keys below it as NAME = VALUE"),
            quoted if quoted.starts_with(['"', '[', '\'', '{']) => format!("write {key} = {quoted}"),
            plain => format!("write {key} = \"{plain}\""),
        };
        return of(YAML, help);
    }
    if line.contains(['\u{201c}', '\u{201d}', '\u{2018}', '\u{2019}']) {
        return of(
            "these are typographic quotes",
            format!(
                "write {}",
                trimmed.replace(['\u{201c}', '\u{201d}'], "\"").replace(['\u{2018}', '\u{2019}'], "'")
            ),
        );
    }
    if message.contains("with no value") {
        let help = match trimmed.split_once(' ').filter(|(key, _)| is_key(key)) {
            Some((key, value)) => format!("write {key} = {value}"),
            None => format!("write {trimmed} = and its value, or remove the line"),
        };
        return of("this line has no \"=\"", help);
    }
    if message.contains("must be quoted")
        || message.contains("invalid float")
        || message.contains("invalid boolean")
        || message.contains("invalid integer")
    {
        return match value {
            "" => {
                let line = example(key).map_or_else(|| format!("{key} = \"…\""), str::to_owned);
                of(
                    &format!("\"{key}\" has no value"),
                    format!("write, for example, {line}, or remove the line"),
                )
            }
            "True" | "False" | "yes" | "no" | "on" | "off" => {
                let truth = matches!(value, "True" | "yes" | "on");
                of(&format!("\"{value}\" is not a truth value of TOML"), format!("write {key} = {truth}"))
            }
            "null" | "nil" | "None" => of(
                "TOML has no null",
                format!("remove the line: a key that is absent has its default, like {key}"),
            ),
            value if value.starts_with('[') => {
                of(&format!("the text {written} in the list has no quotes"), format!("write \"{written}\""))
            }
            value if value.starts_with('{') => {
                of(&format!("the text {written} has no quotes"), format!("write \"{written}\""))
            }
            value => of("a text needs quotes", format!("write {key} = \"{value}\"")),
        };
    }
    value_words(trimmed, key, value, message)
}

/// Words for the parser's message about a value that begins as one and does not end as one.
fn value_words(line: &str, key: &str, value: &str, message: &str) -> (String, String) {
    let of = |message: &str, help: String| (message.to_owned(), help);
    if message.contains("missing assignment") {
        return of(
            "a table in braces has \"=\" between a key and its value",
            format!("write {}", line.replace(": ", " = ")),
        );
    }
    if message.contains("unexpected key or value") {
        if value.ends_with([',', ';']) {
            return of(
                "in TOML a line does not end with a comma or a semicolon",
                format!("write {key} = {}", value.trim_end_matches([',', ';'])),
            );
        }
        return of(
            "the text ends at the second quote, and more follows",
            format!("write {key} = {}", other_quotes(value)),
        );
    }
    if message.contains("invalid basic string")
        || message.contains("invalid literal string")
        || message.contains("multi-line")
    {
        let quote = if value.starts_with('\'') { '\'' } else { '"' };
        return of("the text has no closing quote", format!("write {key} = {value}{quote}"));
    }
    if message.contains("escape") {
        return of(
            "in double quotes a backslash has a special meaning",
            format!("write {key} = {}", other_quotes(value)),
        );
    }
    if message.contains("missing comma") && value.contains("\" \"") {
        return of(
            "a comma is missing between two items",
            format!("write {key} = {}", value.replace("\" \"", "\", \"")),
        );
    }
    if message.contains("missing comma") {
        return of(
            "a comma is missing between two items, or a closing bracket",
            "write the items as [\"a\", \"b\"], and the keys as { a = \"x\", b = \"y\" }".to_owned(),
        );
    }
    if message.contains("unclosed") {
        return of(
            "a bracket is not closed",
            "write ] at the end of a list, and } at the end of a table".to_owned(),
        );
    }
    if message.contains("leading zero") {
        return of(
            "a number cannot begin with 0",
            format!("write {key} = \"{value}\" for a text, or the number without 0"),
        );
    }
    if message.contains("extra `=`") {
        return of(
            "there is one \"=\" too many",
            format!("write {key} = {}", value.trim_start_matches(['=', ' '])),
        );
    }
    (
        format!("this is not TOML: {}", message.replace('`', "\"")),
        "write NAME = \"VALUE\", or a header like [listen]".to_owned(),
    )
}

/// The text with quotes around it that do not occur in it. In single quotes nothing is an escape sequence.
fn other_quotes(value: &str) -> String {
    let inner = value.trim_matches('"');
    let inner = inner.strip_prefix('\'').and_then(|inner| inner.strip_suffix('\'')).unwrap_or(inner);
    if inner.contains('\'') { format!("'''{inner}'''") } else { format!("'{inner}'") }
}

/// Whether the text before a colon looks like a key of YAML or JSON.
fn is_key(text: &str) -> bool {
    let text = text.trim().trim_start_matches("- ").trim_matches('"');
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
}
