//! `${NAME}` and `${NAME:-default}` in the parsed file, so that a value can never change its structure.
//!
//! Written here, because the libraries for this accept more than what is documented, for example `$NAME` and `~`.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::diagnostics::Diagnostics;

/// The environment, or a replacement for it in tests.
pub type Environment<'e> = dyn Fn(&str) -> Option<String> + 'e;

/// Expands every string of the file except expressions, where `$` belongs to regular expressions.
pub(super) fn expand(
    table: &mut DeTable<'_>,
    environment: &Environment<'_>,
    diagnostics: &mut Diagnostics<'_>,
) {
    Expansion { environment, diagnostics }.table(table, &mut Vec::new());
}

struct Expansion<'a, 'e, 't> {
    environment: &'a Environment<'e>,
    diagnostics: &'a mut Diagnostics<'t>,
}

impl Expansion<'_, '_, '_> {
    fn table(&mut self, table: &mut DeTable<'_>, path: &mut Vec<String>) {
        for (key, value) in table.iter_mut() {
            path.push(key.get_ref().clone().into_owned());
            if !is_expression(&path.iter().map(String::as_str).collect::<Vec<_>>())
                || value.get_ref().is_table()
            {
                self.value(value, path);
            }
            path.pop();
        }
    }

    fn value(&mut self, value: &mut Spanned<DeValue<'_>>, path: &mut Vec<String>) {
        let at = value.span();
        match value.get_mut() {
            DeValue::String(text) => match expanded(text, self.environment) {
                Ok(expanded) => *text = expanded.into(),
                Err(message) => self.diagnostics.unresolved(at, message.to_string(), message.help()),
            },
            DeValue::Array(items) => items.iter_mut().for_each(|item| self.value(item, path)),
            DeValue::Table(table) => self.table(table, path),
            _ => {}
        }
    }
}

/// Whether the string, or list of strings, of this key is CEL.
fn is_expression(path: &[&str]) -> bool {
    let mapped = match path {
        ["role", "when"] | ["issuer", "require", "expression"] => return true,
        ["issuer", "session", mapped @ ..] => mapped,
        _ => return false,
    };
    matches!(
        mapped,
        ["name" | "source_identity"]
            | ["name" | "source_identity", "from"]
            | ["tags", _]
            | ["tags", _, "from"]
    )
}

/// The cause for which a string cannot be expanded.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
enum ExpansionFault {
    #[error("the environment variable {0} is not set")]
    Unset(String),
    #[error("`${{` has no `}}`")]
    Open(String),
    #[error("\"{0}\" is not a name of an environment variable")]
    Name(String),
    #[error("a single `$` has no meaning here")]
    Dollar,
}

impl ExpansionFault {
    fn help(&self) -> String {
        match self {
            Self::Unset(name) => {
                format!("set it in the environment, or write \"${{{name}:-VALUE}}\" with a default for VALUE")
            }
            Self::Open(name) => format!("write \"${{{name}}}\""),
            Self::Name(_) => "write ${NAME}, with letters, digits and _ in the name".to_owned(),
            Self::Dollar => "write $$ for a dollar sign".to_owned(),
        }
    }
}

/// Expands one string. The default is used if the variable is unset or empty, the same way shells do it.
fn expanded(text: &str, environment: &Environment<'_>) -> Result<String, ExpansionFault> {
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((plain, behind)) = rest.split_once('$') {
        expanded.push_str(plain);
        if let Some(behind) = behind.strip_prefix('$') {
            expanded.push('$');
            rest = behind;
            continue;
        }
        let inner = behind.strip_prefix('{').ok_or(ExpansionFault::Dollar)?;
        let (inner, behind) =
            inner.split_once('}').ok_or_else(|| ExpansionFault::Open(inner.trim().to_owned()))?;
        let (name, default) = match inner.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (inner, None),
        };
        if !is_name(name) {
            return Err(ExpansionFault::Name(name.to_owned()));
        }
        match (environment(name), default) {
            (Some(value), None) => expanded.push_str(&value),
            (Some(value), Some(_)) if !value.is_empty() => expanded.push_str(&value),
            (_, Some(default)) => expanded.push_str(default),
            (None, None) => return Err(ExpansionFault::Unset(name.to_owned())),
        }
        rest = behind;
    }
    expanded.push_str(rest);
    Ok(expanded)
}

fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(name: &str) -> Option<String> {
        match name {
            "HOME" => Some("/root".into()),
            "EMPTY" => Some(String::new()),
            "DOLLARS" => Some("${HOME}$$".into()),
            _ => None,
        }
    }

    #[test]
    fn values_of_the_environment() {
        for (text, expected) in [
            ("plain", "plain"),
            ("${HOME}/x/${HOME}", "/root/x//root"),
            ("${NONE:-a:-b}", "a:-b"),
            ("${EMPTY:-d}", "d"),
            ("${EMPTY}", ""),
            ("${NONE:-}", ""),
            ("$$5 $${HOME}", "$5 ${HOME}"),
            // A value is not expanded again.
            ("${DOLLARS}", "${HOME}$$"),
        ] {
            assert_eq!(expanded(text, &environment).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_expanded() {
        for (text, message) in [
            ("${NONE}", ExpansionFault::Unset("NONE".into())),
            ("${HOME", ExpansionFault::Open("HOME".to_owned())),
            ("${}", ExpansionFault::Name(String::new())),
            ("${1A}", ExpansionFault::Name("1A".into())),
            ("${A-B}", ExpansionFault::Name("A-B".into())),
            ("$HOME", ExpansionFault::Dollar),
            ("a$", ExpansionFault::Dollar),
        ] {
            assert_eq!(expanded(text, &environment), Err(message), "{text}");
        }
    }
}
