//! The explanation of a mapping for given claims, for an operator who tries it out.
//!
//! The claims need not be verified, so the result is only text. A session needs an [`Identity`](super::Identity).
//! The outcome comes from the evaluation that serving uses, and each step from the same function.

use std::sync::Arc;

use http::HeaderMap;
use serde_json::{Map, Value};

use super::evaluate::{self, Evaluated, Legalised, Match};
use super::models::ModelPattern;
use super::name_pattern::NamePattern;
use super::{IdentityError, IssuerMapping, Mapping};
use crate::attribution::session_name::SessionName;
use crate::expression::{Expression, Input, Truth};

/// The steps of an evaluation and its outcome. Steps after a refusal are included, so that the operator sees every
/// problem at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    pub requirements: Vec<RequirementOutcome>,
    /// The role rules up to the one that matched or could not be evaluated.
    pub rules: Vec<Rule>,
    /// The name, and the source identity and tags that the mapping has.
    pub values: Vec<Made>,
    pub outcome: Result<Becomes, IdentityError>,
}

/// One requirement of the issuer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequirementOutcome {
    pub expression: String,
    pub message: String,
    pub outcome: Condition,
}

/// The result of a requirement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    Met,
    NotMet,
    /// Not met, because a value that it reads is missing.
    Missing,
    Failed(IdentityError),
}

/// One role rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// `None`: the rule matches every caller of its issuers.
    pub when: Option<String>,
    pub role_arn: String,
    pub outcome: RuleOutcome,
}

/// The result of a role rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RuleOutcome {
    Matches,
    DoesNotMatch,
    /// The rule is for callers of other issuers.
    OtherIssuers,
    Failed(IdentityError),
}

/// One mapped value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    pub target: Target,
    /// `None`: it is missing, and it is not required.
    pub outcome: Result<Option<Text>, IdentityError>,
}

/// The use of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    Name,
    SourceIdentity,
    /// The tag with this key.
    Tag(String),
}

/// A value that AWS accepts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    pub value: String,
    /// The value that it replaces, if AWS would have rejected that.
    pub replaced: Option<String>,
}

/// The identity that the claims would get.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Becomes {
    /// The index of the role rule that matched.
    pub rule: usize,
    pub role_arn: String,
    pub session_name: String,
    pub source_identity: Option<String>,
    /// Sorted by key.
    pub tags: Vec<(String, String)>,
    /// The principal: `line_item_iam_principal` in the report.
    pub principal: String,
    /// Patterns of session names; `None`: all names.
    pub session_names: Option<Vec<String>>,
    /// `None`: all except those on stored state that the users of an account share.
    pub operations: Option<Vec<&'static str>>,
    /// Model patterns; `None`: all models.
    pub models: Option<Vec<String>>,
    /// `None`: all regions of the configuration.
    pub regions: Option<Vec<String>>,
    pub projects: Vec<String>,
}

impl Mapping {
    /// Explains a request with these headers and a token of `issuer` with these `claims`.
    pub fn explain(&self, issuer: &str, claims: &Map<String, Value>, headers: &HeaderMap) -> Explanation {
        let mapping = self.issuers.iter().find(|mapping| *mapping.issuer == *issuer);
        let Some(mapping) = mapping else { return Explanation::refused(Self::no_mapping()) };
        let headers = match evaluate::listed(&mapping.request_headers, headers) {
            Ok(headers) => headers,
            Err(error) => return Explanation::refused(error),
        };
        let input = match self.input(mapping, claims, &headers) {
            Ok(input) => input,
            Err(error) => return Explanation::refused(error),
        };
        Explanation {
            requirements: requirements(mapping, &input),
            rules: self.rules(&mapping.issuer, &input),
            values: values(mapping, &input),
            outcome: self
                .evaluate(mapping, claims, &headers)
                .map(Becomes::from)
                .map_err(|refusal| refusal.error),
        }
    }

    fn rules(&self, issuer: &Arc<str>, input: &Input<'_>) -> Vec<Rule> {
        let mut rules = Vec::new();
        for (index, role) in self.roles.iter().enumerate() {
            let outcome = match evaluate::role_matches(index, role, issuer, input) {
                Ok(Match::Yes) => RuleOutcome::Matches,
                Ok(Match::No) => RuleOutcome::DoesNotMatch,
                Ok(Match::OtherIssuers) => RuleOutcome::OtherIssuers,
                Err(error) => RuleOutcome::Failed(error),
            };
            let last = matches!(outcome, RuleOutcome::Matches | RuleOutcome::Failed(_));
            let when = role.when.as_ref().map(Expression::source).map(str::to_owned);
            rules.push(Rule { when, role_arn: role.arn.as_str().to_owned(), outcome });
            if last {
                break;
            }
        }
        rules
    }
}

fn requirements(mapping: &IssuerMapping, input: &Input<'_>) -> Vec<RequirementOutcome> {
    let explained = |(index, requirement)| {
        let outcome = match evaluate::requirement_met(index, requirement, input) {
            Ok(Truth::True) => Condition::Met,
            Ok(Truth::False) => Condition::NotMet,
            Ok(Truth::Missing) => Condition::Missing,
            Err(error) => Condition::Failed(error),
        };
        let (expression, message) = (requirement.expression.source().to_owned(), requirement.message.clone());
        RequirementOutcome { expression, message, outcome }
    };
    mapping.require.iter().enumerate().map(explained).collect()
}

fn values(mapping: &IssuerMapping, input: &Input<'_>) -> Vec<Made> {
    let name = evaluate::session_name(mapping, input).map(|name| Some(Text::of(name, SessionName::as_str)));
    let mut values = vec![Made { target: Target::Name, outcome: name }];
    if mapping.source_identity.is_some() {
        let source = evaluate::source_identity(mapping, input);
        let outcome = source.map(|source| source.map(|source| Text::of(source, SessionName::as_str)));
        values.push(Made { target: Target::SourceIdentity, outcome });
    }
    for (key, mapped) in &mapping.tags {
        let tag = evaluate::tag(key, mapped, input);
        let outcome = tag.map(|tag| tag.map(|tag| Text::of(tag, |value| value.as_str())));
        values.push(Made { target: Target::Tag(key.as_str().to_owned()), outcome });
    }
    values
}

impl Explanation {
    /// The explanation of claims that cannot be evaluated at all.
    fn refused(error: IdentityError) -> Self {
        Self { requirements: Vec::new(), rules: Vec::new(), values: Vec::new(), outcome: Err(error) }
    }
}

impl Text {
    fn of<T>(legal: Legalised<T>, text: impl Fn(&T) -> &str) -> Self {
        Self { value: text(&legal.value).to_owned(), replaced: legal.original }
    }
}

impl From<Evaluated> for Becomes {
    fn from(evaluated: Evaluated) -> Self {
        let Evaluated { session, role, rule, replaced: _ } = evaluated;
        let tags = session.tags().iter().map(|(key, value)| (key.as_str().into(), value.as_str().into()));
        let names = |names: &Vec<NamePattern>| names.iter().map(|n| n.as_str().to_owned()).collect();
        let patterns = |models: &Vec<ModelPattern>| models.iter().map(|m| m.as_str().to_owned()).collect();
        Self {
            rule,
            role_arn: session.role_arn().as_str().to_owned(),
            session_name: session.name().as_str().to_owned(),
            source_identity: session.source_identity().map(str::to_owned),
            tags: tags.collect(),
            principal: session.principal(),
            session_names: role.session_names.as_ref().map(names),
            operations: role.operations.as_ref().map(|list| list.iter().map(|o| o.as_str()).collect()),
            models: role.models.as_ref().map(patterns),
            regions: role.regions.clone(),
            projects: role.projects.clone(),
        }
    }
}
