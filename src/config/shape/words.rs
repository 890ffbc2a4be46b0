//! The words about a wrong key or value, and what to write instead.

use std::time::Duration;

use toml::de::DeValue;

use super::kind::Kind;
use crate::clock::in_words;
use crate::config::units;
use crate::limits::memory::Bytes;

/// The key as TOML writes it.
pub(super) fn bare(key: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
    if !key.is_empty() && key.chars().all(plain) { key.to_owned() } else { format!("\"{key}\"") }
}

/// A value as messages name it.
pub(super) fn named(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(_) => "a text in quotes".to_owned(),
        DeValue::Integer(number) => format!("the number {number}"),
        DeValue::Float(number) => format!("the number {number}"),
        DeValue::Boolean(truth) => truth.to_string(),
        DeValue::Datetime(_) => "a date".to_owned(),
        DeValue::Array(_) => "a list".to_owned(),
        DeValue::Table(_) => "a table".to_owned(),
    }
}

/// The type as messages name it.
pub(super) fn wanted(kind: &Kind<'_>) -> String {
    match kind {
        Kind::Table { .. } | Kind::Map(_) => "a table".to_owned(),
        Kind::List(_) => "a list".to_owned(),
        Kind::Text | Kind::Choice(_) | Kind::Any => "a text in quotes".to_owned(),
        Kind::Instant => "a date with time and time zone, without quotes".to_owned(),
        Kind::Whole(..) => "a whole number".to_owned(),
        Kind::Truth => "true or false".to_owned(),
        Kind::Either(kinds) => kinds.iter().map(wanted).collect::<Vec<_>>().join(" or "),
    }
}

/// The advice about a value of the wrong type. `about` is the description of the key.
pub(super) fn remedy(key: &str, kind: &Kind<'_>, value: &DeValue<'_>, about: &str) -> String {
    let name = bare(key);
    match (kind, value) {
        (Kind::Text, DeValue::Integer(number)) => {
            format!("write {name} = {}", quantity(key, number.as_str(), about))
        }
        (Kind::Text, DeValue::Float(number)) => format!("write {name} = \"{number}\""),
        (Kind::Text | Kind::Choice(_), DeValue::Boolean(truth)) => format!("write {name} = \"{truth}\""),
        (Kind::Text | Kind::Choice(_), DeValue::Array(items)) => match items
            .first()
            .map(toml::Spanned::get_ref)
        {
            Some(DeValue::String(first)) => format!("write one text, without brackets: {name} = \"{first}\""),
            _ => format!("write one text: {name} = \"…\""),
        },
        (Kind::List(_), DeValue::String(text)) => format!("write {name} = [\"{text}\"]"),
        (Kind::List(_), _) => format!("write texts in brackets: {name} = [\"…\"]"),
        (Kind::Instant, DeValue::String(text)) => format!("write {name} = {text}"),
        (Kind::Instant, _) => format!("write {name} = 2026-12-01T18:00:00Z"),
        (Kind::Whole(..), DeValue::String(text)) if text.parse::<u64>().is_ok() => {
            format!("write it without quotes: {name} = {text}")
        }
        (Kind::Whole(..), _) => format!("write {name} = 100"),
        (Kind::Truth, DeValue::String(text)) => {
            let truth = matches!(text.to_lowercase().as_str(), "true" | "yes" | "on" | "1");
            format!("write it without quotes: {name} = {truth}")
        }
        (Kind::Truth, _) => format!("write {name} = true or {name} = false"),
        (Kind::Table { required, .. }, DeValue::String(text)) if required.len() == 1 => {
            let inner = bare(required.first().copied().unwrap_or_default());
            format!("write two lines instead: the header [{name}], and below it {inner} = \"{text}\"")
        }
        (Kind::Table { .. } | Kind::Map(_), _) => {
            format!("write a header [{name}] on a line of its own, and its keys below it")
        }
        (Kind::Either(_), DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_)) => {
            format!("write the constant as {name} = {{ value = \"{}\" }}", scalar(value))
        }
        _ => format!("write {name} = \"…\""),
    }
}

fn scalar(value: &DeValue<'_>) -> String {
    match value {
        DeValue::Integer(number) => number.to_string(),
        DeValue::Float(number) => number.to_string(),
        DeValue::Boolean(truth) => truth.to_string(),
        _ => String::new(),
    }
}

/// The number as text of the form that the description shows: an address, a size or a duration.
fn quantity(key: &str, number: &str, about: &str) -> String {
    let quoted = || about.split('"').skip(1).step_by(2);
    let port = about.starts_with("The address") || about.contains(" port");
    match number.parse::<u64>() {
        // Without TLS, and on the admin port, only this machine may be a client until the operator decides otherwise.
        Ok(port_number) if port && key == "https" => format!("\"0.0.0.0:{port_number}\""),
        Ok(port_number) if port => format!("\"127.0.0.1:{port_number}\""),
        Ok(seconds) if quoted().any(|text| units::duration(text).is_some()) => {
            format!("\"{}\"", in_words(Duration::from_secs(seconds)))
        }
        Ok(size) if quoted().any(|text| units::bytes(text).is_some()) => {
            let size = usize::try_from(size).unwrap_or(usize::MAX);
            format!("\"{}\"", Bytes(size).in_configuration())
        }
        _ => format!("\"{number}\""),
    }
}
