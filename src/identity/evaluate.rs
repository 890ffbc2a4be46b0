//! The evaluation of the operator's mapping, step by step. [`Mapping::resolve_soon`] uses it with verified claims,
//! [`explain`](super::explain) with any claims.

use std::collections::BTreeSet;
use std::slice;
use std::sync::Arc;

use http::HeaderMap;
use serde_json::{Map, Value};

use super::mapped_value::{MappedValue, OnInvalid, Requirement};
use super::role::Role;
use super::{ClaimsRead, IdentityError, IdentityRefusal, IssuerMapping, Mapping, SessionIdentity};
use crate::attribution::session_name::SessionName;
use crate::attribution::tags::{SessionTags, TagKey, TagValue};
use crate::expression::{ClaimsTooLarge, Expression, Input, InputError, Truth};

/// The longest value of a listed request header, in bytes.
pub(super) const LONGEST_HEADER: usize = 256;

/// The result of an evaluation. It is not an [`Identity`](super::Identity), since the claims need not be verified.
#[derive(Debug)]
pub(super) struct Evaluated {
    pub(super) session: SessionIdentity,
    pub(super) role: Arc<Role>,
    pub(super) rule: usize,
    pub(super) replaced: Vec<String>,
}

/// A value that STS accepts.
#[derive(Debug)]
pub(super) struct Legalised<T> {
    pub(super) value: T,
    /// The value that it replaces, if STS would have rejected that.
    pub(super) original: Option<String>,
}

impl Mapping {
    pub(super) fn evaluate(
        &self,
        mapping: &IssuerMapping,
        claims: &Map<String, Value>,
        headers: &[Option<String>],
    ) -> Result<Evaluated, IdentityRefusal> {
        let input = self.input(mapping, claims, headers)?;
        let refused = |error, expressions: &[Expression]| IdentityRefusal {
            error,
            claims: ClaimsRead::of(expressions, claims),
            tell: None,
            rule: None,
        };
        for (index, requirement) in mapping.require.iter().enumerate() {
            let read = slice::from_ref(&requirement.expression);
            let truth = requirement_met(index, requirement, &input).map_err(|error| refused(error, read))?;
            if truth != Truth::True {
                // The operator's text is about callers who do not meet the condition. Without the claim that is not known.
                let undecided = truth == Truth::Missing;
                let tell = if undecided { None } else { requirement.tell.clone() };
                let (message, missing) = (requirement.message.clone(), missing_claims(read, &input));
                let error = IdentityError::RequirementFailed { index, message, undecided, missing };
                return Err(IdentityRefusal { tell, ..refused(error, read) });
            }
        }
        let (rule, role) = self.role(mapping, &input, claims)?;
        let refused = |error, expressions: &[Expression]| IdentityRefusal {
            rule: Some(rule),
            ..refused(error, expressions)
        };
        let mut replaced = Vec::new();
        let mut note = |target: &str, original: Option<String>| {
            if original.is_some() {
                replaced.push(target.to_owned());
            }
        };
        let name = session_name(mapping, &input).map_err(|error| refused(error, &mapping.name.from))?;
        if !permits(role, &name) {
            let (forbidden, replaced) = (name.value.as_str().to_owned(), name.original.is_some());
            let error = IdentityError::NameForbidden { name: forbidden, replaced };
            return Err(IdentityRefusal { tell: role.tell.clone(), ..refused(error, &mapping.name.from) });
        }
        note("name", name.original);
        let source = source_identity(mapping, &input).map_err(|error| {
            refused(error, mapping.source_identity.as_ref().map(|source| &*source.from).unwrap_or_default())
        })?;
        let source_identity = source.map(|source| {
            note("source_identity", source.original);
            source.value
        });
        let mut tags = Vec::with_capacity(mapping.tags.len());
        for (key, mapped) in &mapping.tags {
            let tag = tag(key, mapped, &input).map_err(|error| refused(error, &mapped.from))?;
            if let Some(tag) = tag {
                note(key.as_str(), tag.original);
                tags.push((key.clone(), tag.value));
            }
        }
        let tags = SessionTags::new(tags).map_err(|error| {
            let (target, detail) = ("tags".to_owned(), error.to_string());
            refused(IdentityError::Evaluation { target, detail }, &[])
        })?;
        // STS rejects a transitive tag key that is not among the tags.
        let transitive = role.transitive_tags.iter().filter(|key| tags.iter().any(|(tag, _)| tag == *key));
        let session = SessionIdentity {
            role_arn: role.arn.clone(),
            transitive_tags: transitive.cloned().collect(),
            name: name.value,
            tags,
            source_identity,
            external_id: role.external_id.clone(),
            duration: role.duration.unwrap_or(self.default_duration),
            policy: role.policy.clone(),
            policy_arns: Arc::clone(&role.policy_arns),
        };
        Ok(Evaluated { session, role: Arc::clone(role), rule, replaced })
    }

    /// The input for the expressions of `mapping` and of the role rules for its callers.
    pub(super) fn input<'a>(
        &'a self,
        mapping: &'a IssuerMapping,
        claims: &'a Map<String, Value>,
        headers: &'a [Option<String>],
    ) -> Result<Input<'a>, IdentityError> {
        let headers = mapping.request_headers.iter().zip(headers);
        let headers = headers.filter_map(|(name, value)| Some((name.as_str(), value.as_deref()?)));
        let conditions = self.roles.iter().filter(|role| role.is_for(&mapping.issuer));
        let expressions = mapping.expressions().chain(conditions.filter_map(|role| role.when.as_ref()));
        Input::new(claims, &mapping.issuer, headers, expressions)
            .map_err(|ClaimsTooLarge| IdentityError::ClaimsTooLarge)
    }

    /// The first role rule that matches. A rule that cannot be evaluated ends the search, so that an error never
    /// leads to a wider rule after it.
    fn role(
        &self,
        mapping: &IssuerMapping,
        input: &Input<'_>,
        claims: &Map<String, Value>,
    ) -> Result<(usize, &Arc<Role>), IdentityRefusal> {
        let issuer = &mapping.issuer;
        for (index, role) in self.roles.iter().enumerate() {
            let matches = role_matches(index, role, issuer, input).map_err(|error| IdentityRefusal {
                claims: ClaimsRead::of(&role.when, claims),
                ..error.into()
            })?;
            if matches == Match::Yes {
                return Ok((index, role));
            }
        }
        let of_issuer = || self.roles.iter().filter(|role| role.is_for(issuer));
        let conditions = || of_issuer().filter_map(|role| role.when.as_ref());
        let read = if of_issuer().next().is_none() {
            format!("; no role rule is for callers of {issuer}")
        } else {
            claims_named(conditions()) + &missing_claims(conditions(), input)
        };
        Err(IdentityRefusal {
            error: IdentityError::NoRole { read },
            claims: ClaimsRead::of(conditions(), claims),
            tell: self.no_role_tell.clone(),
            rule: None,
        })
    }

    /// The error for a caller of an issuer that the configuration does not have.
    pub(super) fn no_mapping() -> IdentityError {
        IdentityError::NoRole { read: "; the issuer has no mapping".to_owned() }
    }
}

pub(super) fn requirement_met(
    index: usize,
    requirement: &Requirement,
    input: &Input<'_>,
) -> Result<Truth, IdentityError> {
    input
        .truth(&requirement.expression)
        .map_err(|error| IdentityError::of(error, format!("require[{index}]")))
}

/// Whether a role rule matches a caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Match {
    Yes,
    No,
    /// The rule is for callers of other issuers.
    OtherIssuers,
}

pub(super) fn role_matches(
    index: usize,
    role: &Role,
    issuer: &Arc<str>,
    input: &Input<'_>,
) -> Result<Match, IdentityError> {
    if !role.is_for(issuer) {
        return Ok(Match::OtherIssuers);
    }
    let Some(when) = &role.when else { return Ok(Match::Yes) };
    match input.truth(when).map_err(|error| IdentityError::of(error, format!("role[{index}]")))? {
        Truth::True => Ok(Match::Yes),
        Truth::False | Truth::Missing => Ok(Match::No),
    }
}

pub(super) fn session_name(
    mapping: &IssuerMapping,
    input: &Input<'_>,
) -> Result<Legalised<SessionName>, IdentityError> {
    let name = legal("name", &mapping.name, mapping.name.string(input), input, SessionName::from_value)?;
    name.ok_or_else(|| IdentityError::ValueMissing {
        target: "name".to_owned(),
        missing: missing_claims(&mapping.name.from, input),
    })
}

/// Whether `session_names` of the role rule permits the name. The patterns are for the exact value of the mapping: the
/// hash of a replaced name says nothing about the caller, and the trust policy has to admit every such name.
fn permits(role: &Role, name: &Legalised<SessionName>) -> bool {
    let Some(patterns) = &role.session_names else { return true };
    let value = name.original.as_deref().unwrap_or(name.value.as_str());
    patterns.iter().any(|pattern| pattern.matches(value))
}

// Assumption A4.
pub(super) fn source_identity(
    mapping: &IssuerMapping,
    input: &Input<'_>,
) -> Result<Option<Legalised<SessionName>>, IdentityError> {
    let Some(source) = &mapping.source_identity else { return Ok(None) };
    legal("source_identity", source, source.string(input), input, SessionName::from_value)
}

pub(super) fn tag(
    key: &TagKey,
    mapped: &MappedValue,
    input: &Input<'_>,
) -> Result<Option<Legalised<TagValue>>, IdentityError> {
    legal(key.as_str(), mapped, mapped.text(input), input, TagValue::from_value)
}

/// Makes a legal value from `text`, which is the value of `mapped` for `target`.
fn legal<T>(
    target: &str,
    mapped: &MappedValue,
    text: Result<Option<String>, InputError>,
    input: &Input<'_>,
    from_value: impl Fn(&str) -> (T, bool),
) -> Result<Option<Legalised<T>>, IdentityError> {
    let target = || target.to_owned();
    let Some(text) = text.map_err(|error| IdentityError::of(error, target()))? else {
        return if mapped.required {
            let missing = missing_claims(&mapped.from, input);
            Err(IdentityError::ValueMissing { target: target(), missing })
        } else {
            Ok(None)
        };
    };
    let (value, replaced) = from_value(&text);
    if replaced && mapped.on_invalid == OnInvalid::Reject {
        let detail = "not legal in AWS, and on_invalid is \"reject\"";
        return Err(IdentityError::ValueInvalid { target: target(), detail });
    }
    Ok(Some(Legalised { value, original: replaced.then_some(text) }))
}

/// The claims that `expressions` read, as the end of an error message.
fn claims_named<'e>(expressions: impl IntoIterator<Item = &'e Expression>) -> String {
    let names: BTreeSet<_> = expressions.into_iter().flat_map(Expression::claims_read).collect();
    let names: Vec<_> = names.into_iter().map(|name| format!("`{name}`")).collect();
    if names.is_empty() { String::new() } else { format!("; the role rules read {}", names.join(", ")) }
}

/// The claims that `expressions` read and the token does not have, as the end of an error message.
fn missing_claims<'e>(expressions: impl IntoIterator<Item = &'e Expression>, input: &Input<'_>) -> String {
    let missing: BTreeSet<_> =
        expressions.into_iter().flat_map(|expression| input.missing_claims(expression)).collect();
    Input::name_missing(missing).map_or_else(String::new, |text| format!("; {text}"))
}

/// The values of the listed headers, in the order of the list.
pub(super) fn listed(names: &[String], headers: &HeaderMap) -> Result<Vec<Option<String>>, IdentityError> {
    names
        .iter()
        .map(|name| {
            let mut values = headers.get_all(name.as_str()).iter();
            let Some(value) = values.next() else { return Ok(None) };
            if values.next().is_some() {
                return Err(IdentityError::HeaderRepeated(name.clone()));
            }
            let text = std::str::from_utf8(value.as_bytes()).ok().filter(|text| text.len() <= LONGEST_HEADER);
            text.map(|text| Some(text.to_owned())).ok_or_else(|| IdentityError::HeaderIllegal(name.clone()))
        })
        .collect()
}
