//! The type that the schema gives a value.

use serde_json::{Map, Value};
use toml::de::DeValue;

/// The type of a value.
pub(super) enum Kind<'s> {
    /// A table with these keys.
    Table {
        keys: &'s Map<String, Value>,
        required: Vec<&'s str>,
    },
    /// A table whose keys the operator chooses.
    Map(&'s Value),
    List(&'s Value),
    Text,
    /// A date with time and time zone.
    Instant,
    /// A whole number, from the lowest to the highest.
    Whole(i64, i64),
    Truth,
    /// One of these words.
    Choice(Vec<&'s str>),
    /// A value of any of these types.
    Either(Vec<Kind<'s>>),
    /// A type that is not checked here.
    Any,
}

impl<'s> Kind<'s> {
    /// The type of `node`, a part of the schema `root`.
    pub(super) fn of(root: &'s Value, node: &'s Value) -> Self {
        if let Some(name) = node["$ref"].as_str() {
            let target = name.strip_prefix('#').and_then(|pointer| root.pointer(pointer));
            return target.map_or(Self::Any, |target| Self::of(root, target));
        }
        if let Some(forms) = node["anyOf"].as_array() {
            return Self::Either(forms.iter().map(|form| Self::of(root, form)).collect());
        }
        if let Some(forms) = node["oneOf"].as_array() {
            return Self::Choice(forms.iter().filter_map(|form| form["const"].as_str()).collect());
        }
        match node["type"].as_str() {
            Some("object") => match node["properties"].as_object() {
                Some(keys) => Self::Table { keys, required: required(node) },
                None => Self::Map(&node["additionalProperties"]),
            },
            Some("array") => Self::List(&node["items"]),
            Some("string") if node["format"] == "date-time" => Self::Instant,
            Some("string") => Self::Text,
            Some("integer") => {
                let highest = if node["format"] == "uint32" { i64::from(u32::MAX) } else { i64::MAX };
                Self::Whole(node["minimum"].as_i64().unwrap_or(i64::MIN).min(0), highest)
            }
            Some("boolean") => Self::Truth,
            _ => Self::Any,
        }
    }

    /// Whether a value has this type.
    pub(super) fn fits(&self, value: &DeValue<'_>) -> bool {
        match (self, value) {
            (Self::Any, _)
            | (Self::Table { .. } | Self::Map(_), DeValue::Table(_))
            | (Self::List(_), DeValue::Array(_))
            | (Self::Text | Self::Choice(_), DeValue::String(_))
            | (Self::Instant, DeValue::Datetime(_))
            | (Self::Whole(..), DeValue::Integer(_))
            | (Self::Truth, DeValue::Boolean(_)) => true,
            (Self::Either(kinds), value) => kinds.iter().any(|kind| kind.fits(value)),
            _ => false,
        }
    }

    /// Whether the value is a table or a list of tables, which have headers of their own.
    pub(super) fn has_header(&self, root: &'s Value) -> bool {
        match self {
            Self::Table { .. } | Self::Map(_) => true,
            Self::List(items) => matches!(Self::of(root, items), Self::Table { .. }),
            _ => false,
        }
    }
}

fn required(node: &Value) -> Vec<&str> {
    node["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

/// The header of the table that has a key of this name, for example `[aws]`.
pub(super) fn home(root: &Value, key: &str) -> Option<String> {
    fn search(root: &Value, node: &Value, path: &str, list: bool, key: &str) -> Option<String> {
        match Kind::of(root, node) {
            Kind::Table { keys, .. } => {
                if keys.contains_key(key) && !path.is_empty() {
                    return Some(if list { format!("[[{path}]]") } else { format!("[{path}]") });
                }
                keys.iter().find_map(|(name, node)| {
                    let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                    search(root, node, &path, false, key)
                })
            }
            Kind::List(items) => search(root, items, path, true, key),
            _ => None,
        }
    }
    search(root, root, "", false, key)
}
