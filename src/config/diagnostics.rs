//! What is wrong with a configuration, said so that it can be put right: where, what, and what would
//! be right.

use std::fmt;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// One fault of a configuration file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    pub file: Arc<str>,
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
    /// As in `issuer[0].session.tags.team`; empty where the text is no TOML.
    pub key: String,
    /// What is wrong.
    pub message: String,
    /// What would be right.
    pub help: String,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, column, key, message, help } = self;
        write!(f, "{file}:{line}:{column}: ")?;
        if !key.is_empty() {
            write!(f, "{key}: ")?;
        }
        write!(f, "{message}; {help}")
    }
}

/// Everything that is wrong with a configuration, by line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError(pub Vec<Diagnostic>);

impl ConfigError {
    /// The one problem of a file that cannot be looked into.
    pub(super) fn of_file(path: &Path, message: String, help: &str) -> Self {
        let file = path.display().to_string().into();
        Self(vec![Diagnostic {
            file,
            line: 1,
            column: 1,
            key: String::new(),
            message,
            help: help.to_owned(),
        }])
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, problem) in self.0.iter().enumerate() {
            if number > 0 {
                writeln!(f)?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

/// The number with its noun, in the plural except for 1: `1 problem`, `2 problems`.
pub fn counted(number: usize, noun: &str) -> String {
    let ending = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{ending}")
}

/// Where something stands in the text.
pub(super) type Span = Range<usize>;

/// Collects problems and warnings, and knows line and key of everything in the file.
#[derive(Debug)]
pub(super) struct Diagnostics<'t> {
    file: Arc<str>,
    text: &'t str,
    /// Keys of everything in the file, outer before inner.
    keys: Vec<(Span, String)>,
    /// Values whose `${…}` could not be expanded: nothing else is said of those.
    unresolved: Vec<Span>,
    problems: Vec<Diagnostic>,
    warnings: Vec<Diagnostic>,
}

impl<'t> Diagnostics<'t> {
    pub(super) fn new(file: &str, text: &'t str) -> Self {
        Self {
            file: file.into(),
            text,
            keys: Vec::new(),
            unresolved: Vec::new(),
            problems: Vec::new(),
            warnings: Vec::new(),
        }
    }

    /// Learns the keys of a parsed file.
    pub(super) fn learn(&mut self, table: &DeTable<'_>, path: &str) {
        for (key, value) in table {
            let path = join(path, key.get_ref());
            self.keys.push((key.span(), path.clone()));
            self.learn_value(value, &path);
        }
    }

    fn learn_value(&mut self, value: &Spanned<DeValue<'_>>, path: &str) {
        self.keys.push((value.span(), path.to_owned()));
        match value.get_ref() {
            DeValue::Table(table) => self.learn(table, path),
            DeValue::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    self.learn_value(item, &format!("{path}[{index}]"));
                }
            }
            _ => {}
        }
    }

    /// Something is wrong with what stands at `at`.
    pub(super) fn error(&mut self, at: Span, message: impl Into<String>, help: impl Into<String>) {
        if !self.unresolved.contains(&at) {
            let problem = self.problem(at, None, message.into(), help.into());
            self.problems.push(problem);
        }
    }

    /// The table at `at` lacks `key`, or what it needs together with others.
    pub(super) fn error_in(
        &mut self,
        at: Span,
        key: &str,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        let problem = self.problem(at, Some(key), message.into(), help.into());
        self.problems.push(problem);
    }

    /// The string at `at` cannot be expanded.
    pub(super) fn unresolved(&mut self, at: Span, message: String, help: String) {
        self.error(at.clone(), message, help);
        self.unresolved.push(at);
    }

    /// What stands at `at` works but is probably not meant.
    pub(super) fn warn(&mut self, at: Span, message: impl Into<String>, help: impl Into<String>) {
        let problem = self.problem(at, None, message.into(), help.into());
        self.warnings.push(problem);
    }

    /// Text that is no TOML, or a shape that is not the configuration's. TOML's message is split
    /// where it begins to say what would be right.
    pub(super) fn refused_by_toml(&mut self, error: &toml::de::Error) {
        let (message, help) = match error.message().split_once(", expected") {
            Some((message, expected)) => (message.to_owned(), format!("expected{expected}")),
            None if error.message().starts_with("missing field") => (
                error.message().to_owned(),
                "give it; the reference configuration documents every key".to_owned(),
            ),
            None => (
                error.message().to_owned(),
                "see the reference configuration, config/gateway.toml".to_owned(),
            ),
        };
        // serde names keys in backticks: `missing field `region``.
        let missing = message.strip_prefix("missing field `").and_then(|name| name.strip_suffix('`'));
        let problem = self.problem(error.span().unwrap_or(0..0), missing, message.clone(), help);
        self.problems.push(problem);
    }

    /// `Ok` with the warnings if nothing is wrong.
    pub(super) fn conclude(mut self) -> Result<Vec<Diagnostic>, ConfigError> {
        let by_place = |problem: &Diagnostic| (problem.line, problem.column);
        self.problems.sort_by_key(by_place);
        self.warnings.sort_by_key(by_place);
        if self.problems.is_empty() { Ok(self.warnings) } else { Err(ConfigError(self.problems)) }
    }

    fn problem(&self, at: Span, within: Option<&str>, message: String, help: String) -> Diagnostic {
        let before = self.text.get(..at.start).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        // A list of tables and its first table stand at the same place: the inner one is meant.
        let known = self.keys.iter().rev().find(|(span, _)| *span == at);
        let mut key = known.map_or_else(String::new, |(_, key)| key.clone());
        if let Some(within) = within {
            key = join(&key, within);
        }
        Diagnostic { file: Arc::clone(&self.file), line, column, key, message, help }
    }
}

/// `path.key`, the key quoted where TOML would want it quoted.
fn join(path: &str, key: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
    let key = if !key.is_empty() && key.chars().all(bare) { key.to_owned() } else { format!("{key:?}") };
    if path.is_empty() { key } else { format!("{path}.{key}") }
}
