//! The deny file: one `[[revoke]]` table for each revocation.

use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use schemars::JsonSchema;
use serde::Deserialize;
use toml::value::Datetime;

use super::diagnostics::{ConfigError, Diagnostic, Diagnostics};
use super::raw::{self, Text};
use super::shape;
use crate::clock;
use crate::revoke::{Entry, Selector, SelectorError, SelectorInput};
use crate::verdict::RefusedRequests;

/// The fields of the file.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct DenyFile {
    #[serde(default)]
    revoke: Vec<raw::Spanned<RawEntry>>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RawEntry {
    issuer: Option<Text>,
    subject: Option<Text>,
    principal: Option<Text>,
    expression: Option<Text>,
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    until: Option<raw::Spanned<Datetime>>,
    #[serde(default)]
    cut_streams: bool,
}

/// Parses the content of a deny file. `issuers` are the configured names; an entry with another name is accepted with a
/// warning.
///
/// # Errors
/// All problems at once, by line. If the text is not TOML, only where it is not.
pub fn deny_file(
    content: &[u8],
    path: &Path,
    issuers: &[Arc<str>],
) -> Result<(Vec<Arc<Entry>>, Vec<Diagnostic>), ConfigError> {
    let text = std::str::from_utf8(content)
        .map_err(|_| ConfigError::of_file(path, "the file is not UTF-8".to_owned(), "save it as UTF-8"))?;
    let mut diagnostics = Diagnostics::new(&path.display().to_string(), text);
    let Some(file) = shape::read::<DenyFile>(text, &mut diagnostics, |_, _| {}) else {
        return Err(diagnostics.conclude().map_or_else(|problems| problems, ConfigError));
    };
    let (mut entries, mut line, mut counted) = (Vec::new(), 1, 0);
    for (index, table) in file.revoke.iter().enumerate() {
        let start = table.span().start;
        line += text.get(counted..start).unwrap_or_default().matches('\n').count();
        counted = start;
        entries.extend(entry(index, line, table, issuers, &mut diagnostics).map(Arc::new));
    }
    let warnings = diagnostics.conclude()?;
    Ok((entries, warnings))
}

/// Reads the deny file at `path`.
///
/// # Errors
/// The same as for [`deny_file`], or that the file cannot be read.
pub fn read_deny_file(
    path: &Path,
    issuers: &[Arc<str>],
) -> Result<(Vec<Arc<Entry>>, Vec<Diagnostic>), ConfigError> {
    let content = std::fs::read(path).map_err(|error| {
        let message = format!("the deny file cannot be read: {error}");
        ConfigError::of_file(
            path,
            message,
            "create it, also if it is empty, or remove [revoke] from the configuration",
        )
    })?;
    deny_file(&content, path, issuers)
}

fn entry(
    index: usize,
    line: usize,
    table: &raw::Spanned<RawEntry>,
    issuers: &[Arc<str>],
    diagnostics: &mut Diagnostics<'_>,
) -> Option<Entry> {
    let raw = table.get_ref();
    let word = |text: &'_ Option<Text>| text.as_ref().map(|text| text.get_ref().clone());
    let [issuer, subject, principal, expression] =
        [&raw.issuer, &raw.subject, &raw.principal, &raw.expression].map(word);
    let selector = Selector::of(SelectorInput {
        issuer: issuer.as_deref(),
        subject: subject.as_deref(),
        principal: principal.as_deref(),
        expression: expression.as_deref(),
    });
    if let Err(error) = &selector {
        let at = match error {
            SelectorError::Unclear => None,
            SelectorError::NotAPrincipal => raw.principal.as_ref(),
            SelectorError::Expression(_) => raw.expression.as_ref(),
        };
        diagnostics.error(
            at.map_or_else(|| table.span(), |text| text.span()),
            error.to_string(),
            error.help(),
        );
    }
    if let Some(name) = &raw.issuer
        && !issuers.iter().any(|known| **known == *name.get_ref().as_str())
    {
        let message = format!("no issuer is named \"{name}\", so this entry revokes no caller");
        diagnostics.warn(name.span(), message, "write the `name` of an [[issuer]] of the configuration");
    }
    let until = raw.until.as_ref().and_then(|until| instant(until, diagnostics));
    if let (Some(end), Some(text)) = (until, &raw.until)
        && end <= clock::now()
    {
        diagnostics.warn(
            text.span(),
            "`until` is in the past, so this entry revokes no caller",
            "remove the entry, or correct `until`",
        );
    }
    let origin = format!("entry {index} of the deny file").into();
    Some(Entry {
        selector: selector.ok()?,
        until,
        cut_streams: raw.cut_streams,
        origin,
        line: Some(line),
        since: clock::now(),
        refused: RefusedRequests::default(),
    })
}

fn instant(until: &raw::Spanned<Datetime>, diagnostics: &mut Diagnostics<'_>) -> Option<SystemTime> {
    let text = until.get_ref().to_string();
    let instant = clock::parse_rfc3339(&text);
    if instant.is_none() {
        let message =
            format!("{text} is not a point in time: the date, the time or the time zone is missing");
        diagnostics.error(until.span(), message, "write it like 2026-12-01T18:00:00Z");
    }
    instant
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRINCIPAL: &str = "arn:aws:sts::123456789012:assumed-role/BedrockUser/alice@acme.org";

    fn parse(text: &str) -> Result<(Vec<Arc<Entry>>, Vec<Diagnostic>), ConfigError> {
        deny_file(text.as_bytes(), Path::new("deny.toml"), &["okta".into()])
    }

    #[test]
    fn every_kind_of_entry_is_read() {
        let (entries, warnings) = parse(&format!(
            "[[revoke]]\nissuer = \"okta\"\nsubject = \"00u1\"\nuntil = 2026-12-01T18:00:00+01:00\n\
             [[revoke]]\nprincipal = \"{PRINCIPAL}\"\ncut_streams = true\n\
             [[revoke]]\nexpression = \"claims.team == 'search'\"\n",
        ))
        .unwrap();
        assert!(warnings.is_empty(), "{warnings:?}");
        assert_eq!(entries[0].selector, Selector::Subject { issuer: "okta".into(), subject: "00u1".into() });
        let until = entries[0].until.unwrap().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        assert_eq!(until.as_secs(), 1_796_144_400);
        assert_eq!(entries[1].selector, Selector::Principal(PRINCIPAL.into()));
        assert_eq!((entries[0].cut_streams, entries[1].cut_streams), (false, true));
        assert_eq!([entries[0].line, entries[1].line, entries[2].line], [Some(1), Some(5), Some(8)]);
        assert_eq!((entries[2].until, &*entries[2].origin), (None, "entry 2 of the deny file"));
        assert!(parse("").unwrap().0.is_empty());
    }

    #[test]
    fn every_problem_has_its_line_and_a_fix() {
        let problems = parse(
            "[[revoke]]\n\
             [[revoke]]\nissuer = \"okta\"\n\
             [[revoke]]\nprincipal = \"alice\"\n\
             [[revoke]]\nexpression = \"clams.team\"\nuntil = 2026-12-01\n\
             [[revoke]]\nprincipal = \"alice\"\nexpression = \"true\"\n",
        )
        .unwrap_err();
        let found: Vec<_> = problems.0.iter().map(|problem| (problem.line, problem.key.as_str())).collect();
        assert_eq!(
            found,
            [
                (1, "revoke[0]"),
                (2, "revoke[1]"),
                (5, "revoke[2].principal"),
                (7, "revoke[3].expression"),
                (8, "revoke[3].until"),
                (9, "revoke[4]"),
            ],
            "{problems}"
        );
        assert!(problems.0.iter().all(|problem| problem.help.len() > 10));
        // Without the misspelt key, the entry also selects no caller.
        let misspelt = parse("[[revoke]]\nsub = \"x\"\n").unwrap_err();
        assert_eq!(misspelt.0.iter().map(|problem| problem.line).collect::<Vec<_>>(), [1, 2], "{misspelt}");
        assert_eq!(parse("[[revoke]\n").unwrap_err().0[0].line, 1);
        let (entries, warnings) = parse("[[revoke]]\nissuer = \"otka\"\nsubject = \"x\"\n").unwrap();
        assert_eq!((entries.len(), warnings[0].line), (1, 2));
    }
}
