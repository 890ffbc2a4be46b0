//! What claims become under a mapping, and why: for the operator who tries one.
//!
//! The claims may be made up, so what comes out is texts; a session can only be asked for with an
//! [`Identity`](super::Identity). The outcome is that of the very evaluation that serves, and each step is
//! made by the function that makes it there.

use std::sync::Arc;

use http::HeaderMap;
use serde_json::{Map, Value};

use super::evaluate::{self, Evaluated, Legalised, Match};
use super::models::ModelPattern;
use super::{IdentityError, IssuerMapping, Mapping};
use crate::attribution::session_name::SessionName;
use crate::expression::{Expression, Input, Truth};

/// The steps of an evaluation and its outcome. Steps behind a refusal are shown as well, so that
/// everything that is amiss can be seen at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    pub requirements: Vec<RequirementOutcome>,
    /// Up to the one that matched, or could not be evaluated.
    pub rules: Vec<Rule>,
    /// Name, source identity and tags, as far as the mapping has them.
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

/// What came of a condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    Met,
    NotMet,
    /// Not met, because what it reads is not there.
    Missing,
    Failed(IdentityError),
}

/// One rule of the role table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// `None`: it is everybody's.
    pub when: Option<String>,
    pub role_arn: String,
    pub outcome: RuleOutcome,
}

/// What came of a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RuleOutcome {
    Matches,
    DoesNotMatch,
    /// It is for callers of other issuers.
    OtherIssuers,
    Failed(IdentityError),
}

/// One mapped value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    pub target: Target,
    /// `None`: it is missing, and may be.
    pub outcome: Result<Option<Text>, IdentityError>,
}

/// What a value is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    Name,
    SourceIdentity,
    /// The tag of this key.
    Tag(String),
}

/// A value that AWS takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    pub value: String,
    /// What it stands for, where AWS would not have taken that.
    pub replaced: Option<String>,
}

/// What the claims become.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Becomes {
    /// The index of the rule that matched.
    pub rule: usize,
    pub role_arn: String,
    pub session_name: String,
    pub source_identity: Option<String>,
    /// By key.
    pub tags: Vec<(String, String)>,
    /// `line_item_iam_principal` of the report.
    pub principal: String,
    /// `None`: all but those of state that an account's users share.
    pub operations: Option<Vec<&'static str>>,
    /// Patterns; `None`: all.
    pub models: Option<Vec<String>>,
    /// `None`: all that are configured.
    pub regions: Option<Vec<String>>,
    pub projects: Vec<String>,
}

impl Mapping {
    /// What `claims` become if a token of `issuer` has them and the request these headers.
    pub fn explain(&self, issuer: &str, claims: &Map<String, Value>, headers: &HeaderMap) -> Explanation {
        let mapping = self.issuers.iter().find(|mapping| *mapping.issuer == *issuer);
        let Some(mapping) = mapping else { return Explanation::refused(IdentityError::NoRole) };
        let headers = match evaluate::listed(&mapping.request_headers, headers) {
            Ok(headers) => headers,
            Err(error) => return Explanation::refused(error),
        };
        let input = match evaluate::input(mapping, claims, &headers) {
            Ok(input) => input,
            Err(error) => return Explanation::refused(error),
        };
        Explanation {
            requirements: requirements(mapping, &input),
            rules: self.rules(&mapping.issuer, &input),
            values: values(mapping, &input),
            outcome: self.evaluate(mapping, claims, &headers).map(Becomes::from),
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
    /// Of what could not even be looked at.
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
    fn from(decision: Evaluated) -> Self {
        let Evaluated { session, role, rule, replaced: _ } = decision;
        let tags = session.tags().iter().map(|(key, value)| (key.as_str().into(), value.as_str().into()));
        let patterns = |models: &Vec<ModelPattern>| models.iter().map(|m| m.as_str().to_owned()).collect();
        Self {
            rule,
            role_arn: session.role_arn().as_str().to_owned(),
            session_name: session.name().as_str().to_owned(),
            source_identity: session.source_identity().map(str::to_owned),
            tags: tags.collect(),
            principal: session.principal(),
            operations: role.operations.as_ref().map(|list| list.iter().map(|o| o.as_str()).collect()),
            models: role.models.as_ref().map(patterns),
            regions: role.regions.clone(),
            projects: role.projects.clone(),
        }
    }
}
