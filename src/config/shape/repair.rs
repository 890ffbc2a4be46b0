//! Compares the parsed tree with the schema, reports every difference, and repairs the tree.

use std::fmt::Write as _;
use std::mem;

use serde_json::Value;
use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

use super::kind::{Kind, home};
use super::words::{bare, named, remedy, wanted};
use crate::config::diagnostics::{Diagnostics, Span, example};
use crate::spelling::similar;

/// A table, for messages: `[[issuer]] "keycloak"`.
#[derive(Clone, Default)]
struct Place {
    /// The header without brackets; empty for the file itself.
    path: String,
    list: bool,
    /// The `name` of the table, or of the one around it.
    owner: Option<String>,
}

impl Place {
    /// The header of the table's key.
    fn header(&self, key: &str, list: bool) -> String {
        let path = self.below(key);
        if list { format!("[[{path}]]") } else { format!("[{path}]") }
    }

    fn below(&self, key: &str) -> String {
        if self.path.is_empty() { bare(key) } else { format!("{}.{}", self.path, bare(key)) }
    }

    /// For example ` in [aws]`.
    fn within(&self) -> String {
        let Self { path, list, owner } = self;
        match (path.as_str(), list, owner) {
            ("", ..) => String::new(),
            (path, true, Some(owner)) => format!(" in [[{path}]] \"{owner}\""),
            (path, true, None) => format!(" in [[{path}]]"),
            (path, false, Some(owner)) => format!(" in [{path}] of \"{owner}\""),
            (path, false, None) => format!(" in [{path}]"),
        }
    }
}

pub(super) struct Repair<'a, 't> {
    schema: &'a Value,
    /// Tables of the file that the parser could not build. They are reported elsewhere.
    unbuilt: &'a [String],
    diagnostics: &'a mut Diagnostics<'t>,
    /// Tables that unknown ones at the top of the file probably are.
    misspelt: Vec<String>,
    complete: bool,
}

impl<'a, 't> Repair<'a, 't> {
    pub(super) fn new(
        schema: &'a Value,
        unbuilt: &'a [String],
        diagnostics: &'a mut Diagnostics<'t>,
    ) -> Self {
        Self { schema, unbuilt, diagnostics, misspelt: Vec::new(), complete: true }
    }

    pub(super) fn root(&mut self, tree: &mut DeTable<'_>) {
        let kind = Kind::of(self.schema, self.schema);
        self.table(tree, &(0..0), &Place::default(), &kind);
    }

    /// The tables that unknown ones probably are, and whether the tree is complete enough for further checks.
    pub(super) fn finish(self) -> (Vec<String>, bool) {
        (self.misspelt, self.complete)
    }

    fn table(&mut self, table: &mut DeTable<'_>, at: &Span, place: &Place, kind: &Kind<'_>) {
        let (keys, required) = match kind {
            Kind::Table { keys, required } => (*keys, required),
            Kind::Map(of) => {
                let entries = mem::take(table);
                for (key, mut value) in entries {
                    if self.value(key.get_ref(), &mut value, place, of) {
                        table.insert(key, value);
                    }
                }
                return;
            }
            _ => return,
        };
        let name = table.get("name").filter(|_| place.list);
        let owner = name.and_then(|name| name.get_ref().as_str().map(str::to_owned));
        let place = &Place { owner: owner.or_else(|| place.owner.clone()), ..place.clone() };
        let present: Vec<String> = table.keys().map(|key| key.get_ref().to_string()).collect();
        // A table whose own header is misspelt has only its parts here.
        let torn: Vec<&str> = present
            .iter()
            .filter(|name| place.path.is_empty() && !keys.contains_key(*name))
            .filter_map(|name| similar(name, keys.keys().map(String::as_str)))
            .filter(|intended| present.iter().any(|name| name == intended))
            .collect();
        for (mut key, mut value) in mem::take(table) {
            let name = key.get_ref().to_string();
            if torn.contains(&name.as_str()) || place.path.is_empty() && self.unbuilt.contains(&name) {
                continue;
            }
            let name = if keys.contains_key(&name) {
                name
            } else {
                let missing: Vec<&str> =
                    required.iter().copied().filter(|key| !present.iter().any(|name| name == key)).collect();
                let intended = self.unknown(&key, &value, place, keys, &missing);
                let Some(intended) = intended else { continue };
                if present.contains(&intended) || self.unbuilt.contains(&intended) {
                    self.complete &= !place.path.is_empty();
                    continue;
                }
                key = Spanned::new(key.span(), intended.clone().into());
                intended
            };
            let Some(node) = keys.get(&name) else { continue };
            if self.value(&name, &mut value, place, node) {
                table.insert(key, value);
            } else if required.contains(&name.as_str()) {
                let replacement = self.replacement(&name, node);
                table.insert(key, replacement);
            }
        }
        for name in required {
            let lacks = !table.contains_key(*name)
                && !torn.contains(name)
                && !self.unbuilt.iter().any(|unbuilt| unbuilt == name);
            if let (true, Some(node)) = (lacks, keys.get(*name)) {
                self.missing(name, node, at, place);
                let key = Spanned::new(self.diagnostics.nowhere(), (*name).to_owned().into());
                let replacement = self.replacement(name, node);
                table.insert(key, replacement);
            }
        }
    }

    /// Reports an unknown key. Returns the key that was probably intended.
    fn unknown(
        &mut self,
        key: &Spanned<std::borrow::Cow<'_, str>>,
        value: &Spanned<DeValue<'_>>,
        place: &Place,
        keys: &serde_json::Map<String, Value>,
        missing: &[&str],
    ) -> Option<String> {
        let name = key.get_ref();
        // A similar key that the table lacks and needs comes before one that it may have.
        let required = similar(name, missing.iter().copied());
        let intended = required.or_else(|| similar(name, keys.keys().map(String::as_str))).map(str::to_owned);
        let (value_at, value) = (value.span(), value.get_ref());
        let list = value.as_array().is_some_and(|items| items.iter().all(|item| item.get_ref().is_table()));
        let kind = intended.as_ref().map(|intended| Kind::of(self.schema, &keys[intended]));
        let (message, help) = if let (true, "") = (list || value.is_table(), place.path.as_str()) {
            let message = format!("unknown table {}", place.header(name, list));
            let help = match (&intended, kind) {
                (Some(intended), Some(kind)) => {
                    self.misspelt.push(intended.clone());
                    format!("did you mean {}?", place.header(intended, matches!(kind, Kind::List(_))))
                }
                _ => format!("the tables are {}", listed(keys.keys())),
            };
            (message, help)
        } else {
            let help = match (&intended, home(self.schema, name)) {
                (Some(intended), _) => {
                    let kind = Kind::of(self.schema, &keys[intended]);
                    let mut help = format!("did you mean \"{intended}\"?");
                    // A key with two mistakes has one message.
                    if !kind.fits(value) {
                        self.diagnostics.mute(value_at);
                        let about = keys[intended]["description"].as_str().unwrap_or_default();
                        let _written = write!(help, " Then {}", remedy(intended, &kind, value, about));
                    }
                    help
                }
                (None, Some(home)) => format!("\"{name}\" is a key of {home}; move it there"),
                (None, None) if place.path.is_empty() => {
                    format!("put it below its header; the tables are {}", listed(keys.keys()))
                }
                (None, None) => format!("remove it; the keys here are {}", listed(keys.keys())),
            };
            (format!("unknown key \"{name}\"{}", place.within()), help)
        };
        self.diagnostics.error(key.span(), message, help);
        intended
    }

    fn missing(&mut self, name: &str, node: &Value, at: &Span, place: &Place) {
        let kind = Kind::of(self.schema, node);
        if kind.has_header(self.schema) {
            let header = place.header(name, matches!(kind, Kind::List(_)));
            let first = match &kind {
                Kind::Table { .. } if name == "session" => Some("name = \"claims.email\""),
                Kind::Table { required, .. } => required.first().and_then(|key| example(key)),
                _ => None,
            };
            let help = match (first, name) {
                (Some(first), "session") => {
                    format!("add {header} after the keys of this issuer, and below it, for example, {first}")
                }
                (Some(first), _) => format!("add {header}, and below it, for example, {first}"),
                (None, "listen") => {
                    format!("add {header}, and below it, for example, http = \"127.0.0.1:8080\"")
                }
                (None, _) => format!("add {header}, and its keys below it"),
            };
            self.diagnostics.error_in(at.clone(), name, format!("the table {header} is missing"), help);
        } else {
            let help = example(name).map_or_else(
                || format!("add {} = \"…\"", bare(name)),
                |line| format!("add, for example, {line}"),
            );
            let message = format!("the key \"{name}\" is missing{}", place.within());
            self.diagnostics.error_in(at.clone(), name, message, help);
        }
        // Roles refer to issuers by name.
        self.complete &= !(name == "name" && place.path == "issuer");
    }

    /// Checks a value. Returns whether it may stay.
    fn value(&mut self, key: &str, value: &mut Spanned<DeValue<'_>>, place: &Place, node: &Value) -> bool {
        let at = value.span();
        let kind = Kind::of(self.schema, node);
        let place_of = |list| Place { path: place.below(key), list, owner: place.owner.clone() };
        match (&kind, value.get_mut()) {
            (Kind::Any, _)
            | (Kind::Text, DeValue::String(_))
            | (Kind::Truth, DeValue::Boolean(_))
            | (Kind::Instant, DeValue::Datetime(_)) => return true,
            (Kind::Table { .. } | Kind::Map(_), DeValue::Table(table)) => {
                self.table(table, &at, &place_of(false), &kind);
                return true;
            }
            (Kind::Table { .. }, DeValue::Array(items))
                if items.iter().any(|item| item.get_ref().is_table()) =>
            {
                let header = place.header(key, false);
                let (message, help) = (
                    format!("[[{}]] is written as a list, but there is only one", place.below(key)),
                    format!("write {header} with single brackets, once"),
                );
                self.diagnostics.error(at.clone(), message, help);
                let Some(first) = mem::replace(items, DeArray::new()).into_iter().next() else {
                    return false;
                };
                *value = first;
                if let DeValue::Table(table) = value.get_mut() {
                    self.table(table, &at, &place_of(false), &kind);
                    return true;
                }
                return false;
            }
            (Kind::List(of), DeValue::Array(items)) => {
                return self.list(key, items, of, &place_of(true));
            }
            (Kind::List(of), DeValue::Table(table)) if kind.has_header(self.schema) => {
                let header = place.header(key, true);
                self.diagnostics.error(
                    at.clone(),
                    format!("[{}] has single brackets, but there can be several", place.below(key)),
                    format!("write {header} with two brackets on each side"),
                );
                let of = Kind::of(self.schema, of);
                self.table(table, &at, &place_of(true), &of);
                let mut items = DeArray::new();
                items.push(Spanned::new(at.clone(), DeValue::Table(mem::take(table))));
                *value = Spanned::new(at, DeValue::Array(items));
                return true;
            }
            (Kind::Whole(least, most), DeValue::Integer(number)) => {
                let read = i64::from_str_radix(number.as_str(), number.radix());
                if read.as_ref().is_ok_and(|number| (*least..=*most).contains(number)) {
                    return true;
                }
                let least = node["minimum"].as_i64().unwrap_or(*least);
                self.diagnostics.error(
                    at,
                    format!("\"{key}\" cannot be {number}"),
                    if *most == i64::MAX {
                        format!("write a whole number, at least {least}")
                    } else {
                        format!("write a whole number from {least} to {most}")
                    },
                );
                return false;
            }
            (Kind::Choice(words), DeValue::String(text)) => {
                if words.contains(&&**text) {
                    return true;
                }
                let help = similar(text, words.iter().copied()).map_or_else(
                    || format!("write {}", listed(words)),
                    |word| format!("did you mean \"{word}\"?"),
                );
                let message = format!("\"{key}\" cannot be \"{text}\"; it is one of {}", listed(words));
                self.diagnostics.error(at, message, help);
                return false;
            }
            (Kind::Either(kinds), found) => {
                for kind in kinds {
                    match (kind, &mut *found) {
                        (Kind::Text, DeValue::String(_)) => return true,
                        (Kind::Table { .. }, DeValue::Table(table)) => {
                            self.table(table, &at, &place_of(false), kind);
                            return true;
                        }
                        (Kind::List(of), DeValue::Array(items)) => {
                            return self.list(key, items, of, &place_of(true));
                        }
                        _ => {}
                    }
                }
            }
            _ => {}
        }
        self.replace(value, &at, &kind, key, node)
    }

    /// Reports a value of the wrong type, and turns it into the right one if that is possible. Returns whether it may
    /// stay.
    fn replace(
        &mut self,
        value: &mut Spanned<DeValue<'_>>,
        at: &Span,
        kind: &Kind<'_>,
        key: &str,
        node: &Value,
    ) -> bool {
        let about = node["description"].as_str().unwrap_or_default();
        let help = remedy(key, kind, value.get_ref(), about);
        let message = format!("\"{}\" must be {}, but is {}", key, wanted(kind), named(value.get_ref()));
        self.diagnostics.unresolved(at.clone(), message, help);
        let right = match (kind, value.get_ref()) {
            (Kind::List(_), DeValue::String(_)) => {
                let mut items = DeArray::new();
                items.push(value.clone());
                DeValue::Array(items)
            }
            (Kind::Text, DeValue::Integer(number)) => DeValue::String(number.to_string().into()),
            (Kind::Text, DeValue::Boolean(truth)) => DeValue::String(truth.to_string().into()),
            _ => return false,
        };
        *value = Spanned::new(at.clone(), right);
        true
    }

    /// Checks the items of a list. Wrong ones are removed.
    fn list(&mut self, key: &str, items: &mut DeArray<'_>, of: &Value, place: &Place) -> bool {
        let kind = Kind::of(self.schema, of);
        let mut kept = DeArray::new();
        for mut item in mem::replace(items, DeArray::new()) {
            let at = item.span();
            let stays = match (&kind, item.get_mut()) {
                (Kind::Table { .. }, DeValue::Table(table)) => {
                    self.table(table, &at, place, &kind);
                    true
                }
                _ => self.value(key, &mut item, place, of),
            };
            if stays {
                kept.push(item);
            }
        }
        *items = kept;
        true
    }

    /// A value for a required key whose own value is missing or wrong. No problem of it is reported.
    fn replacement<'d>(&self, key: &str, node: &Value) -> Spanned<DeValue<'d>> {
        let nowhere = self.diagnostics.nowhere();
        let value = match Kind::of(self.schema, node) {
            Kind::Table { keys, required } => {
                let members = required.iter().filter_map(|name| Some((name, keys.get(*name)?)));
                let mut table = DeTable::new();
                for (name, node) in members {
                    let key = Spanned::new(nowhere.clone(), (*name).to_owned().into());
                    table.insert(key, self.replacement(name, node));
                }
                DeValue::Table(table)
            }
            Kind::Map(_) => DeValue::Table(DeTable::new()),
            Kind::List(_) => DeValue::Array(DeArray::new()),
            Kind::Truth => DeValue::Boolean(false),
            Kind::Choice(words) => {
                DeValue::String(words.first().copied().unwrap_or_default().to_owned().into())
            }
            _ => {
                let text = example(key).and_then(|line| line.split('"').nth(1)).unwrap_or_default();
                DeValue::String(text.to_owned().into())
            }
        };
        Spanned::new(nowhere, value)
    }
}

/// The words with commas between them.
fn listed<W: AsRef<str>>(words: impl IntoIterator<Item = W>) -> String {
    words.into_iter().map(|word| word.as_ref().to_owned()).collect::<Vec<_>>().join(", ")
}
