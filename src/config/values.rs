//! Mapped values: compiles the expressions and checks the constants of their short and long forms.

use std::path::PathBuf;
use std::sync::Arc;

use super::diagnostics::{Diagnostics, Span};
use super::plain_text;
use super::raw::{LongMapped, Mapped, OnInvalid as RawOnInvalid, OneOrMore, Spanned, Text};
use crate::attribution::session_name::SessionName;
use crate::attribution::tags::TagValue;
use crate::expression::{Expression, ExpressionError, StrayText};
use crate::identity::mapped_value::{MappedValue, OnInvalid};

/// The longest text for a caller, in characters. SDKs print it on one line after the gateway's own words.
const LONGEST_TELL: usize = 256;

/// The use of a value, which decides the legal characters.
#[derive(Debug, Clone, Copy)]
pub(super) enum Target<'k> {
    /// Session name or source identity.
    Name,
    /// The tag of this key.
    Tag(&'k str),
}

impl<'k> Target<'k> {
    /// The key of the tag.
    fn tag(self) -> Option<&'k str> {
        match self {
            Self::Name => None,
            Self::Tag(key) => Some(key),
        }
    }
}

/// The compiled value; `None` if problems were reported.
pub(super) fn mapped(
    raw: &Spanned<Mapped>,
    target: Target<'_>,
    headers: &[String],
    diagnostics: &mut Diagnostics<'_>,
) -> Option<MappedValue> {
    match raw.get_ref() {
        Mapped::Expression(source) => {
            if let Some((message, help)) = plain_text::fault(source, target.tag()) {
                diagnostics.error(raw.span(), message, help);
                return None;
            }
            Some(MappedValue {
                from: vec![expression(source, raw.span(), headers, diagnostics)?],
                default: None,
                constant: None,
                required: true,
                on_invalid: OnInvalid::Replace,
            })
        }
        Mapped::Long(long) => long_form(long, raw.span(), target, headers, diagnostics),
    }
}

/// The operator's text for a refused caller. Terminals and web pages show it, so it has no character that changes the
/// text around it.
pub(super) fn tell(text: Option<&Text>, diagnostics: &mut Diagnostics<'_>) -> Option<Arc<str>> {
    let text = text?;
    let tell = text.get_ref();
    let help = "write one line of plain text, for example \"Ask for the group bedrock-users at https://go.acme.org/ai\"";
    if tell.trim().is_empty() {
        diagnostics.error(text.span(), "the text for the caller is empty", help);
    }
    let length = tell.chars().count();
    if length > LONGEST_TELL {
        let message = format!("the text for the caller has {length} characters; the limit is {LONGEST_TELL}");
        diagnostics.error(text.span(), message, "shorten it, for example to a link");
    }
    if !tell.chars().all(is_printable) {
        let message = "the text for the caller contains a line break or another control character";
        diagnostics.error(text.span(), message, help);
    }
    Some(tell.as_str().into())
}

/// Controls, and the format characters of Unicode that separate lines, are invisible or change the direction of text.
fn is_printable(c: char) -> bool {
    let is_format = matches!(
        c,
        '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
    );
    !c.is_control() && !is_format
}

fn long_form(
    raw: &LongMapped,
    at: Span,
    target: Target<'_>,
    headers: &[String],
    diagnostics: &mut Diagnostics<'_>,
) -> Option<MappedValue> {
    match (&raw.from, &raw.value, &raw.default) {
        (None, None, _) => {
            diagnostics.error(
                at,
                "there is neither from nor value",
                "set `from` to an expression, or `value` to a constant",
            );
            return None;
        }
        (Some(_), Some(value), _) | (None, Some(value), Some(_)) => {
            let message = "value is set together with from or default, which would never be used";
            diagnostics.error(value.span(), message, "set either value, or from with or without default");
            return None;
        }
        _ => {}
    }
    let from = match raw.from.as_ref().map(|from| (from.span(), from.get_ref())) {
        None => Vec::new(),
        Some((at, OneOrMore::One(source))) => vec![expression(source, at, headers, diagnostics)?],
        Some((at, OneOrMore::More(sources))) => {
            if sources.is_empty() {
                diagnostics.error(at, "it contains no expression", "add at least one");
            }
            let compiled: Vec<_> = sources
                .iter()
                .map(|source| expression(source.get_ref(), source.span(), headers, diagnostics))
                .collect();
            compiled.into_iter().collect::<Option<_>>()?
        }
    };
    for constant in raw.default.iter().chain(&raw.value) {
        check_constant(constant, target, diagnostics);
    }
    Some(MappedValue {
        from,
        default: raw.default.as_ref().map(|text| text.get_ref().clone()),
        constant: raw.value.as_ref().map(|text| text.get_ref().clone()),
        required: raw.required,
        on_invalid: match raw.on_invalid {
            RawOnInvalid::Replace => OnInvalid::Replace,
            RawOnInvalid::Reject => OnInvalid::Reject,
        },
    })
}

pub(super) fn expression(
    source: &str,
    at: Span,
    headers: &[String],
    diagnostics: &mut Diagnostics<'_>,
) -> Option<Expression> {
    match Expression::compile(source, headers) {
        Ok(expression) => Some(expression),
        Err(error) => {
            let (part, help) = (error.part(source), error.help());
            let message = match error {
                ExpressionError::Syntax(fault) => fault.message,
                other => other.to_string(),
            };
            diagnostics.error_inside(at, source, part, message, help);
            None
        }
    }
}

/// The compiled expression of a `when` or a requirement, which must be able to be true or false.
pub(super) fn condition(
    source: &str,
    at: Span,
    headers: &[String],
    diagnostics: &mut Diagnostics<'_>,
) -> Option<Expression> {
    let condition = expression(source, at.clone(), headers, diagnostics)?;
    if let Some(kind) = condition.not_a_condition() {
        let (part, message, help) = match condition.stray_text() {
            Some(StrayText { text, intended }) => {
                let quoted = format!("'{text}'");
                let part = source.rfind(&quoted).map(|begins| begins..begins + quoted.len());
                let message = format!("the text {quoted} stands alone, and is neither true nor false");
                let help = intended.map(|intended| format!("write {intended}"));
                (part, message, help.unwrap_or_else(|| kind.instead().to_owned()))
            }
            None => (
                None,
                format!("there is {} where true or false is needed", kind.as_str()),
                kind.instead().to_owned(),
            ),
        };
        diagnostics.error_inside(at, source, part, message, help);
    }
    Some(condition)
}

/// Rejects a constant that AWS would not accept. Only the values of claims are replaced at run time.
fn check_constant(text: &Text, target: Target<'_>, diagnostics: &mut Diagnostics<'_>) {
    let value = text.get_ref();
    let (legal, help) = match target {
        Target::Name => (!SessionName::from_value(value).1, "use 2 to 64 letters, digits and _+=,.@-"),
        Target::Tag(_) => {
            let legal = !value.is_empty() && !TagValue::from_value(value).1;
            (legal, "use 1 to 256 letters, digits, spaces and _.:/=+-@")
        }
    };
    if !legal {
        diagnostics.error(text.span(), format!("AWS does not accept \"{value}\" here"), help);
    }
}

/// A path, which must not be empty. A relative one counts from the folder of the configuration file. The file itself is
/// not opened here.
pub(super) fn path(text: &Text, diagnostics: &mut Diagnostics<'_>) -> PathBuf {
    if text.get_ref().is_empty() {
        diagnostics.error(text.span(), "the path is empty", "write the path of a file, or remove the key");
    }
    diagnostics.beside(text.get_ref())
}
