//! Policy documents in JSON.

use std::fmt;

use serde_json::{Map, Value};

use super::condition::Condition;
use super::{Caller, Context, Need, pattern};

/// The use of a document, which decides the elements that it must and must not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The permissions of a role or user, or of a session.
    Identity,
    /// The trust policy of a role.
    Trust,
    /// A service control policy.
    Scp,
    /// The policy of a VPC endpoint.
    Endpoint,
}

/// A parsed policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyDocument {
    kind: Kind,
    statements: Vec<Statement>,
}

/// The reason why a document is not a policy of its kind, or why the stand-in cannot evaluate it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyError(String);

impl PolicyError {
    pub(super) fn new(what: impl Into<String>) -> Self {
        Self(what.into())
    }
}

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for PolicyError {}

/// A statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Statement {
    pub(super) sid: Option<String>,
    pub(super) denies: bool,
    principals: Option<Principals>,
    actions: Patterns,
    resources: Option<Patterns>,
    conditions: Vec<Condition>,
}

/// `Action` and `Resource`, or `NotAction` and `NotResource`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Patterns {
    negated: bool,
    patterns: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Principals {
    is_any: bool,
    /// ARNs of roles, sessions, users and accounts.
    aws: Vec<String>,
}

/// How a statement names the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Named {
    No,
    /// By the account. Within that account, a policy of the caller must allow the call too.
    Account,
    Directly,
    /// By the ARN of the very session. Then session policies do not limit it.
    BySession,
}

impl PolicyDocument {
    /// # Errors
    /// If it is not valid, or has something that the stand-in cannot evaluate.
    pub fn parse(kind: Kind, json: &str) -> Result<Self, PolicyError> {
        let json = serde_json::from_str(json).map_err(|error| PolicyError::new(error.to_string()))?;
        let mut document = object(json, "the policy")?;
        if document.remove("Version") != Some("2012-10-17".into()) {
            return Err(PolicyError::new("Version is not 2012-10-17"));
        }
        document.remove("Id");
        let statements = match document.remove("Statement") {
            Some(Value::Array(statements)) if !statements.is_empty() => statements,
            Some(one @ Value::Object(_)) => vec![one],
            _ => return Err(PolicyError::new("Statement is missing")),
        };
        finish(&document, "the policy")?;
        let statements = statements.into_iter().map(|statement| Statement::parse(kind, statement));
        Ok(Self { kind, statements: statements.collect::<Result<_, _>>()? })
    }

    /// # Errors
    /// See [`parse`](Self::parse).
    pub fn identity(json: &str) -> Result<Self, PolicyError> {
        Self::parse(Kind::Identity, json)
    }

    /// # Errors
    /// See [`parse`](Self::parse).
    pub fn trust(json: &str) -> Result<Self, PolicyError> {
        Self::parse(Kind::Trust, json)
    }

    /// # Errors
    /// See [`parse`](Self::parse).
    pub fn scp(json: &str) -> Result<Self, PolicyError> {
        Self::parse(Kind::Scp, json)
    }

    /// # Errors
    /// See [`parse`](Self::parse).
    pub fn endpoint(json: &str) -> Result<Self, PolicyError> {
        Self::parse(Kind::Endpoint, json)
    }

    /// `FullAWSAccess`, which AWS attaches as a service control policy by default.
    pub fn full_aws_access() -> Self {
        let json = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}"#;
        Self::scp(json).expect("a literal policy")
    }

    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The statements that match the request, and how each names the caller.
    pub(super) fn matching<'p>(
        &'p self,
        caller: &Caller,
        need: &Need,
        context: &Context,
    ) -> impl Iterator<Item = (&'p Statement, Named)> {
        let matching = self.statements.iter().filter_map(move |statement| {
            let named = statement.matches(caller, need, context);
            (named != Named::No).then_some((statement, named))
        });
        matching.collect::<Vec<_>>().into_iter()
    }
}

impl Statement {
    fn parse(kind: Kind, json: Value) -> Result<Self, PolicyError> {
        let mut json = object(json, "a statement")?;
        let sid = match json.remove("Sid") {
            None => None,
            Some(Value::String(sid)) if sid.chars().all(|c| c.is_ascii_alphanumeric()) => Some(sid),
            Some(_) => return Err(PolicyError::new("Sid has other characters than letters and digits")),
        };
        let denies = match json.remove("Effect").as_ref().and_then(Value::as_str) {
            Some("Allow") => false,
            Some("Deny") => true,
            _ => return Err(PolicyError::new("Effect is neither Allow nor Deny")),
        };
        let principals = json.remove("Principal").map(Principals::parse).transpose()?;
        if principals.is_some() != matches!(kind, Kind::Trust | Kind::Endpoint) {
            return Err(PolicyError::new("Principal is missing, or does not belong here"));
        }
        let actions = Patterns::take(&mut json, "Action", check_action)?;
        let actions = actions.ok_or_else(|| PolicyError::new("Action and NotAction are missing"))?;
        let resources = Patterns::take(&mut json, "Resource", check_resource)?;
        if resources.is_some() == (kind == Kind::Trust) {
            return Err(PolicyError::new("Resource is missing, or does not belong here"));
        }
        let conditions = json.remove("Condition");
        let conditions = conditions.as_ref().map_or(Ok(Vec::new()), Condition::parse_block)?;
        finish(&json, "a statement")?;
        Ok(Self { sid, denies, principals, actions, resources, conditions })
    }

    fn matches(&self, caller: &Caller, need: &Need, context: &Context) -> Named {
        let named = self.principals.as_ref().map_or(Named::Directly, |principals| principals.name(caller));
        // IAM does not tell the case of actions apart.
        let (action, lower) = (need.action.to_lowercase(), str::to_lowercase);
        let matches = self.actions.match_by(|pattern| pattern::glob(&lower(pattern), &action))
            && self.resources.as_ref().is_none_or(|resources| {
                resources.match_by(|pattern| pattern == "*" || pattern::arn(pattern, &need.resource))
            })
            && self.conditions.iter().all(|condition| condition.holds(context));
        if matches { named } else { Named::No }
    }
}

impl Patterns {
    fn take(
        json: &mut Map<String, Value>,
        name: &str,
        check: impl Fn(&str) -> Result<(), PolicyError>,
    ) -> Result<Option<Self>, PolicyError> {
        let (is, is_not) = (json.remove(name), json.remove(&format!("Not{name}")));
        let (negated, value) = match (is, is_not) {
            (None, None) => return Ok(None),
            (Some(value), None) => (false, value),
            (None, Some(value)) => (true, value),
            (Some(_), Some(_)) => return Err(PolicyError::new(format!("{name} and Not{name}"))),
        };
        let patterns = texts(value, name)?;
        patterns.iter().try_for_each(|pattern| check(pattern))?;
        Ok(Some(Self { negated, patterns }))
    }

    fn match_by(&self, matches: impl Fn(&str) -> bool) -> bool {
        self.patterns.iter().any(|pattern| matches(pattern)) != self.negated
    }
}

impl Principals {
    fn parse(json: Value) -> Result<Self, PolicyError> {
        if json == "*" {
            return Ok(Self { is_any: true, aws: Vec::new() });
        }
        let mut json = object(json, "Principal")?;
        let aws = json.remove("AWS").ok_or_else(|| PolicyError::new("Principal has no AWS"))?;
        finish(&json, "Principal")?;
        let mut principals = Self { is_any: false, aws: Vec::new() };
        for text in texts(aws, "Principal")? {
            let is_account = text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit());
            if text == "*" {
                principals.is_any = true;
            } else if is_account || (pattern::parts(&text).is_some() && !text.contains(['*', '?'])) {
                principals.aws.push(text);
            } else {
                return Err(PolicyError::new(format!(
                    "{text:?} is no principal: an ARN has no wildcard here"
                )));
            }
        }
        Ok(principals)
    }

    fn name(&self, caller: &Caller) -> Named {
        let names = |arn: &str| self.aws.iter().any(|named| named == arn);
        if caller.arn() != caller.principal_arn() && names(caller.arn()) {
            return Named::BySession;
        }
        if self.is_any || names(caller.principal_arn()) {
            return Named::Directly;
        }
        let is_account = |text: &String| {
            text == caller.account()
                || pattern::parts(text)
                    .is_some_and(|parts| parts[4] == caller.account() && parts[5] == "root")
        };
        if self.aws.iter().any(is_account) { Named::Account } else { Named::No }
    }
}

fn check_action(text: &str) -> Result<(), PolicyError> {
    let legal =
        |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || "-*?".contains(c));
    let is_action = text
        .split_once(':')
        .is_some_and(|(service, name)| legal(service) && legal(name) && !service.contains('*'));
    if text == "*" || is_action { Ok(()) } else { Err(PolicyError::new(format!("{text:?} is no action"))) }
}

/// IAM completes an ARN with fewer than six parts. The stand-in does not accept one.
fn check_resource(text: &str) -> Result<(), PolicyError> {
    if text.contains("${") {
        return Err(PolicyError::new(format!("{text:?} has a policy variable")));
    }
    if text == "*" || pattern::parts(text).is_some_and(|parts| !parts[5].is_empty()) {
        Ok(())
    } else {
        Err(PolicyError::new(format!("{text:?} is no ARN of six parts")))
    }
}

fn object(json: Value, what: &str) -> Result<Map<String, Value>, PolicyError> {
    match json {
        Value::Object(map) => Ok(map),
        _ => Err(PolicyError::new(format!("{what} is not an object"))),
    }
}

fn finish(rest: &Map<String, Value>, what: &str) -> Result<(), PolicyError> {
    match rest.keys().next() {
        Some(key) => Err(PolicyError::new(format!("{what} has the unknown element {key}"))),
        None => Ok(()),
    }
}

fn texts(value: Value, what: &str) -> Result<Vec<String>, PolicyError> {
    let list = match value {
        Value::Array(list) => list,
        one => vec![one],
    };
    let texts = list.into_iter().map(|value| match value {
        Value::String(text) => Ok(text),
        _ => Err(PolicyError::new(format!("{what} has a value that is no text"))),
    });
    let texts = texts.collect::<Result<Vec<_>, _>>()?;
    if texts.is_empty() { Err(PolicyError::new(format!("{what} is empty"))) } else { Ok(texts) }
}
