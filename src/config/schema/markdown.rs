//! The JSON Schema as a document: one table of keys for each TOML table.

use std::fmt::Write as _;

use serde_json::{Map, Value};

/// The first lines of the document.
const INTRODUCTION: &str = "# Configuration

This document is generated: `bedrock-gateway schema --format markdown > docs/CONFIGURATION.md`. The same facts as a
JSON Schema are in `config/gateway.schema.json`; `config/gateway.toml` shows every key in use, with the reasons.
`bedrock-gateway check --config FILE` reports every problem of a file at once.
";

/// The document of a schema that [`super::json_schema`] made.
pub(super) fn document(schema: &Value) -> String {
    let mut document = Document { schema, text: INTRODUCTION.to_owned(), long_forms: Vec::new() };
    if let Some(description) = text(schema, "description") {
        document.line(&format!("\n{description}"));
    }
    for (key, value) in members(schema, "properties") {
        document.table_of(key, value);
    }
    while let Some(name) = document.long_forms.pop() {
        document.long_form(&name);
    }
    document.text
}

/// The document as far as it is written.
struct Document<'a> {
    schema: &'a Value,
    text: String,
    /// Definitions of tables that may replace a string, and that have no section yet.
    long_forms: Vec<String>,
}

impl<'a> Document<'a> {
    /// Writes the section of the TOML table at `path`, then those of the tables within.
    fn table_of(&mut self, path: &str, value: &'a Value) {
        let (heading, table) = match (self.resolve(value), value.get("items"), map_of(value)) {
            (_, Some(item), _) => (format!("[[{path}]]"), self.resolve(item)),
            (_, _, Some(entry)) => (format!("[{path}.NAME]"), self.resolve(entry)),
            (table, _, _) => (format!("[{path}]"), table),
        };
        self.line(&format!("\n## `{heading}`"));
        for schema in [value, table] {
            let (description, _default) = split_default(text(schema, "description").unwrap_or_default());
            if !description.is_empty() {
                self.line(&format!("\n{description}"));
            }
        }
        self.keys(table);
        for (key, value) in members(table, "properties") {
            let path = format!("{path}.{key}");
            if self.is_table(value) {
                self.table_of(&path, value);
            } else if let Some(entry) = map_of(value) {
                self.map(&path, value, entry);
            }
        }
    }

    /// Writes the section of a table whose keys the operator chooses and whose values are not tables.
    fn map(&mut self, path: &str, value: &'a Value, entry: &'a Value) {
        self.line(&format!("\n## `[{path}]`"));
        let (description, _default) = split_default(text(value, "description").unwrap_or_default());
        let kind = self.kind(entry);
        self.line(&format!("\n{description} You choose the keys. Each value: {kind}."));
    }

    /// Writes the section of a table that replaces a string.
    fn long_form(&mut self, name: &str) {
        self.line(&format!("\n## {}", long_form_heading(name)));
        let Some(table) = self.schema.get("$defs").and_then(|all| all.get(name)) else { return };
        self.keys(table);
    }

    /// Writes the rows of a table, required keys first.
    fn keys(&mut self, table: &'a Value) {
        self.line("\n| Key | Type | Default | Description |\n|---|---|---|---|");
        let required = |key: &str| {
            let names = table.get("required").and_then(Value::as_array);
            names.is_some_and(|names| names.iter().any(|name| name == key))
        };
        let mut keys: Vec<_> = members(table, "properties").collect();
        keys.sort_by_key(|(key, _)| !required(key));
        for (key, value) in keys {
            let (description, written) = split_default(text(value, "description").unwrap_or_default());
            let default = match (required(key), written, value.get("default")) {
                (true, _, _) => "required".to_owned(),
                (false, Some(default), _) => default.to_owned(),
                (false, None, Some(default)) => format!("`{default}`"),
                (false, None, None) => "none".to_owned(),
            };
            let kind = self.kind(value);
            let mut description = description.to_owned();
            for (name, meaning) in self.choices(value) {
                let _ok = write!(description, " `{name}`: {meaning}");
            }
            let cells = [format!("`{key}`"), kind, default, description];
            let cells = cells.map(|cell| cell.trim().replace('|', "\\|"));
            self.line(&format!("| {} |", cells.join(" | ")));
        }
    }

    /// The type of a key, in words.
    fn kind(&mut self, value: &'a Value) -> String {
        if self.is_table(value) || map_of(value).is_some() {
            return "table".to_owned();
        }
        if let Some(name) = self.names(value) {
            return name;
        }
        let value = self.resolve(value);
        if let Some(forms) = value.get("anyOf").and_then(Value::as_array) {
            let kinds: Vec<String> = forms.iter().map(|form| self.form(form)).collect();
            return kinds.join(" or ");
        }
        match text(value, "type") {
            Some("array") => {
                let item = value.get("items").map_or_else(|| "anything".to_owned(), |item| self.kind(item));
                let item = if item == "string" { "strings".to_owned() } else { item };
                let some = if value.get("minItems").is_some() { " (at least one)" } else { "" };
                format!("list{some} of {item}")
            }
            Some("integer") => match value.get("minimum").and_then(Value::as_u64) {
                Some(least) if least > 0 => format!("integer, at least {least}"),
                Some(_) | None => "integer".to_owned(),
            },
            Some(name) => name.to_owned(),
            None => "anything".to_owned(),
        }
    }

    /// One of several forms: a table among them has a section of its own.
    fn form(&mut self, form: &'a Value) -> String {
        let Some(name) = text(form, "$ref").and_then(|path| path.strip_prefix("#/$defs/")) else {
            return self.kind(form);
        };
        if !self.long_forms.iter().any(|known| known == name) {
            self.long_forms.push(name.to_owned());
        }
        let heading = long_form_heading(name);
        format!("[a table](#{})", heading.to_lowercase().replace(' ', "-"))
    }

    /// The names of a closed list.
    fn names(&self, value: &'a Value) -> Option<String> {
        let names: Vec<String> = self.closed(value)?.iter().map(|name| format!("`{name}`")).collect();
        Some(names.join(", "))
    }

    /// The names of a closed list, each with its description. Names without a description are left out.
    fn choices(&self, value: &'a Value) -> Vec<(&'a Value, &'a str)> {
        let described = |form: &'a Value| Some((form.get("const")?, text(form, "description")?));
        self.forms(value).iter().filter_map(described).collect()
    }

    fn closed(&self, value: &'a Value) -> Option<Vec<&'a Value>> {
        let listed = |form: &'a Value| form.get("enum").and_then(Value::as_array);
        let forms = self.resolve(value).get("anyOf").and_then(Value::as_array)?;
        let constants: Vec<&Value> = self.forms(value).iter().filter_map(|form| form.get("const")).collect();
        forms
            .iter()
            .find_map(listed)
            .map(|names| names.iter().collect())
            .or(Some(constants))
            .filter(|all| !all.is_empty())
    }

    fn forms(&self, value: &'a Value) -> &'a [Value] {
        let forms = self.resolve(value).get("anyOf").and_then(Value::as_array);
        let one_of = forms.and_then(|forms| forms.iter().find_map(|form| form.get("oneOf")?.as_array()));
        one_of.map_or(&[], Vec::as_slice)
    }

    /// Whether a value is a table of its own, or a list of tables.
    fn is_table(&self, value: &'a Value) -> bool {
        let value = value.get("items").or_else(|| map_of(value)).unwrap_or(value);
        self.resolve(value).get("properties").is_some()
    }

    /// The definition that a value refers to, or the value itself.
    fn resolve(&self, value: &'a Value) -> &'a Value {
        let name = text(value, "$ref").and_then(|path| path.strip_prefix("#/$defs/"));
        name.and_then(|name| self.schema.get("$defs")?.get(name)).unwrap_or(value)
    }

    fn line(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }
}

fn long_form_heading(name: &str) -> &str {
    if name == "LongMapped" { "A mapped value as a table" } else { name }
}

/// The schema of each value of a table whose keys the operator chooses.
fn map_of(value: &Value) -> Option<&Value> {
    value.get("additionalProperties").filter(|entry| entry.is_object())
}

fn text<'v>(value: &'v Value, key: &str) -> Option<&'v str> {
    value.get(key).and_then(Value::as_str)
}

fn members<'v>(value: &'v Value, key: &str) -> impl Iterator<Item = (&'v String, &'v Value)> {
    value.get(key).and_then(Value::as_object).into_iter().flat_map(Map::iter)
}

/// A description, and the default that ends it.
fn split_default(description: &str) -> (&str, Option<&str>) {
    match description.rsplit_once("Default: ") {
        Some((before, default)) => (before.trim_end(), Some(default.trim_end_matches('.'))),
        None => (description, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_default_ends_its_description() {
        assert_eq!(split_default("A key. Default: `\"1h\"`."), ("A key.", Some("`\"1h\"`")));
        assert_eq!(split_default("Default: none."), ("", Some("none")));
        assert_eq!(split_default("A key."), ("A key.", None));
    }
}
