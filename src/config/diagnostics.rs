//! The problems of a configuration, each with its place, its cause and the fix.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Whether a problem keeps the configuration from being used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// The gateway rejects the configuration.
    Error,
    /// The value is valid but probably a mistake.
    Warning,
}

impl Severity {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// One problem of a configuration file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    pub severity: Severity,
    pub file: Arc<str>,
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
    /// The path of the key, for example `issuer[0].session.tags.team`; empty if the text is not TOML.
    pub key: String,
    /// The cause.
    pub message: String,
    /// The fix.
    pub help: String,
    /// The line with the value; `None` if the file cannot be read.
    pub source: Option<SourceLine>,
}

/// A line of the file, and the part of it that a problem is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceLine {
    /// Without the line break.
    pub text: String,
    /// In bytes of `text`. Empty if the place is between two characters, or at the end.
    pub marked: Span,
}

impl SourceLine {
    /// The first line of the place `at`.
    fn of(text: &str, at: &Span) -> Self {
        let start = at.start.min(text.len());
        let begin = text.get(..start).and_then(|before| before.rfind('\n')).map_or(0, |end| end + 1);
        let line = text.get(begin..).unwrap_or_default().lines().next().unwrap_or_default();
        let from = line.floor_char_boundary(start - begin);
        let to = line.floor_char_boundary(at.end.saturating_sub(begin)).max(from);
        Self { text: line.to_owned(), marked: from..to }
    }
}

/// One line, for logs.
impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, column, key, message, help, .. } = self;
        write!(f, "{file}:{line}:{column}: ")?;
        if !key.is_empty() {
            write!(f, "{key}: ")?;
        }
        write!(f, "{message}; {help}")
    }
}

/// The errors of a configuration, at least one, and its warnings, by line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError(pub Vec<Diagnostic>);

impl ConfigError {
    /// The one problem of a file that cannot be read.
    pub(super) fn of_file(path: &Path, message: String, help: &str) -> Self {
        let file = path.display().to_string().into();
        Self(vec![Diagnostic {
            severity: Severity::Error,
            file,
            line: 1,
            column: 1,
            key: String::new(),
            message,
            help: help.to_owned(),
            source: None,
        }])
    }

    /// The problems without the warnings.
    pub fn errors(&self) -> impl Iterator<Item = &Diagnostic> {
        self.0.iter().filter(|problem| problem.severity == Severity::Error)
    }
}

/// The errors, one a line.
impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, problem) in self.errors().enumerate() {
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

/// The place of a value in the text, in bytes.
pub(super) type Span = Range<usize>;

/// Collects problems and warnings, and knows the line and key of every value in the file.
#[derive(Debug)]
pub(super) struct Diagnostics<'t> {
    file: Arc<str>,
    text: &'t str,
    /// Keys of everything in the file, outer before inner.
    keys: Vec<(Span, String)>,
    /// Values of which no further problem is reported: their `${…}` could not be expanded, or their type is wrong.
    unresolved: Vec<Span>,
    problems: Vec<Diagnostic>,
}

impl<'t> Diagnostics<'t> {
    pub(super) fn new(file: &str, text: &'t str) -> Self {
        Self { file: file.into(), text, keys: Vec::new(), unresolved: Vec::new(), problems: Vec::new() }
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

    /// Reports a problem of the value at `at`.
    pub(super) fn error(&mut self, at: Span, message: impl Into<String>, help: impl Into<String>) {
        self.report(Severity::Error, at, None, message.into(), help.into());
    }

    /// Reports a problem of a part of the string at `at`, whose content is `value`. `part` counts its bytes. The place is
    /// that of the whole string if it has escape sequences.
    pub(super) fn error_inside(
        &mut self,
        at: Span,
        value: &str,
        part: Option<Span>,
        message: String,
        help: String,
    ) {
        let written = self.text.get(at.clone()).unwrap_or_default();
        let begins = at.start + written.find(value).unwrap_or_default();
        let is_verbatim = !value.is_empty() && written.contains(value);
        let Some(part) = part.filter(|_| is_verbatim) else { return self.error(at, message, help) };
        if !self.unresolved.contains(&at) {
            let narrow = begins + part.start..begins + part.end;
            let narrow = self.problem(Severity::Error, narrow, None, message, help);
            let key = self.problem(Severity::Error, at, None, String::new(), String::new()).key;
            self.problems.push(Diagnostic { key, ..narrow });
        }
    }

    /// Reports that `key` is missing in the table at `at`.
    pub(super) fn error_in(
        &mut self,
        at: Span,
        key: &str,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.report(Severity::Error, at, Some(key), message.into(), help.into());
    }

    /// Reports that the value at `at` cannot be used, so that no further problem of it is reported.
    pub(super) fn unresolved(&mut self, at: Span, message: String, help: String) {
        self.error(at.clone(), message, help);
        self.mute(at);
    }

    /// Reports no further problem of the value at `at`.
    pub(super) fn mute(&mut self, at: Span) {
        self.unresolved.push(at);
    }

    /// The place of values that are not in the file. No problem of them is reported.
    pub(super) fn nowhere(&self) -> Span {
        self.text.len() + 1..self.text.len() + 1
    }

    fn report(&mut self, severity: Severity, at: Span, within: Option<&str>, message: String, help: String) {
        if !self.unresolved.contains(&at) && at != self.nowhere() {
            let problem = self.problem(severity, at, within, message, help);
            self.problems.push(problem);
        }
    }

    /// Reports that the value at `at` is valid but probably a mistake.
    pub(super) fn warn(&mut self, at: Span, message: impl Into<String>, help: impl Into<String>) {
        self.report(Severity::Warning, at, None, message.into(), help.into());
    }

    /// Reports a difference from the configuration's shape that only the library found.
    pub(super) fn refused_by_toml(&mut self, error: &toml::de::Error) {
        let help = "compare it with the reference configuration, config/gateway.toml";
        self.error(error.span().unwrap_or(0..0), error.message().replace('`', "\""), help);
    }

    /// The path of a file whose name is written in the configuration: relative paths count from its folder.
    pub(super) fn beside(&self, written: &str) -> PathBuf {
        Path::new(&*self.file).parent().map_or_else(|| PathBuf::from(written), |folder| folder.join(written))
    }

    /// The line of the place `at`, from 1.
    pub(super) fn line(&self, at: &Span) -> usize {
        self.text.get(..at.start).unwrap_or_default().matches('\n').count() + 1
    }

    /// The line of the value of a key, for example `aws.region`.
    pub(super) fn line_of(&self, key: &str) -> Option<usize> {
        self.keys.iter().find(|(_, known)| known == key).map(|(at, _)| self.line(at))
    }

    /// The place of the value at `at`, for a problem that is found later.
    pub(super) fn place(&self, at: Span) -> Diagnostic {
        self.problem(Severity::Error, at, None, String::new(), String::new())
    }

    /// The warnings if there are no errors, otherwise all problems.
    pub(super) fn conclude(mut self) -> Result<Vec<Diagnostic>, ConfigError> {
        self.problems.sort_by_key(|problem| (problem.line, problem.column));
        let valid = self.problems.iter().all(|problem| problem.severity == Severity::Warning);
        if valid { Ok(self.problems) } else { Err(ConfigError(self.problems)) }
    }

    fn problem(
        &self,
        severity: Severity,
        at: Span,
        within: Option<&str>,
        message: String,
        help: String,
    ) -> Diagnostic {
        let before = self.text.get(..at.start).unwrap_or_default();
        let line = self.line(&at);
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        // A list of tables and its first table have the same place; the problem is in the inner one.
        let known = self.keys.iter().rev().find(|(span, _)| *span == at);
        let mut key = known.map_or_else(String::new, |(_, key)| key.clone());
        if let Some(within) = within {
            key = join(&key, within);
        }
        // A table that is missing in the file has no line.
        let source = (at != (0..0) || within.is_none()).then(|| SourceLine::of(self.text, &at));
        Diagnostic { severity, file: Arc::clone(&self.file), line, column, key, message, help, source }
    }
}

/// An example of a required key.
pub(super) fn example(key: &str) -> Option<&'static str> {
    Some(match key {
        "http" => "http = \"127.0.0.1:8080\"",
        "https" => "https = \"0.0.0.0:8443\"",
        "probe" => "probe = \"0.0.0.0:9090\"",
        "admin" => "admin = \"127.0.0.1:9091\"",
        "region" => "region = \"us-east-1\"",
        "expression" => "expression = \"claims.email_verified\"",
        "message" => "message = \"the e-mail address is not verified\"",
        "file" => "file = \"/etc/bedrock-gateway/deny.toml\"",
        "name" => "name = \"okta\"",
        "audiences" => "audiences = [\"bedrock-gateway\"]",
        "url" => "url = \"https://acme.okta.com/oauth2/default\"",
        "arn" => "arn = \"arn:aws:iam::123456789012:role/BedrockUser\"",
        "cert" => "cert = \"/etc/bedrock-gateway/tls.crt\"",
        "key" => "key = \"/etc/bedrock-gateway/tls.key\"",
        "peers" => "peers = [\"10.0.0.0/16\"]",
        "client_address" => "client_address = \"proxy-protocol\"",
        _ => return None,
    })
}

/// `path.key`, with the key quoted if TOML requires it.
fn join(path: &str, key: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
    let key = if !key.is_empty() && key.chars().all(bare) { key.to_owned() } else { format!("{key:?}") };
    if path.is_empty() { key } else { format!("{path}.{key}") }
}
