//! Checks that a session name and a source identity name a person: they differ from caller to caller, and the caller does
//! not choose them.

use serde_json::Map;

use super::diagnostics::{Diagnostics, Span};
use super::issuers::Issuer;
use crate::expression::{Expression, Input};
use crate::identity::IssuerMapping;
use crate::identity::mapped_value::MappedValue;

pub(super) fn check(issuer: &Issuer, mapping: &IssuerMapping, diagnostics: &mut Diagnostics<'_>) {
    check_value("session name", &mapping.name, &issuer.name_at, mapping, diagnostics);
    if let (Some(value), Some(at)) = (&mapping.source_identity, &issuer.source_identity_at) {
        check_value("source identity", value, at, mapping, diagnostics);
    }
}

fn check_value(
    what: &str,
    value: &MappedValue,
    at: &Span,
    mapping: &IssuerMapping,
    diagnostics: &mut Diagnostics<'_>,
) {
    if let Some(name) = constant(value, mapping) {
        let message = format!(
            "the {what} is a constant: every caller of issuer {} would be \"{name}\"",
            mapping.issuer
        );
        let help = "use a claim that names the person, for example \"claims.email\"";
        diagnostics.error(at.clone(), message, help);
    } else if value.from.iter().any(Expression::reads_headers) {
        let message = format!("the {what} reads a request header: callers choose their own name in the bill");
        let key = if what == "session name" { "name" } else { "source_identity" };
        let help = format!(
            "write a claim, for example {key} = \"claims.sub\"; keep the header only if all callers of this issuer are services that you trust"
        );
        diagnostics.warn(at.clone(), message, help);
    }
}

/// The name that all callers of the issuer get; `None` if a claim or a header decides.
fn constant(value: &MappedValue, mapping: &IssuerMapping) -> Option<String> {
    if let Some(constant) = &value.constant {
        return Some(constant.clone());
    }
    if !value.from.iter().all(Expression::is_constant) {
        return None;
    }
    let nothing = Map::new();
    let input = Input::new(&nothing, &mapping.issuer, [], &value.from).ok()?;
    let made = value.from.iter().find_map(|from| input.string(from).ok().flatten());
    made.or_else(|| value.default.clone())
}
