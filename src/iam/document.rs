//! IAM policy documents as values: statements in the order in which people read them.

use serde::ser::{SerializeMap as _, Serializer};
use serde::{Deserialize, Serialize};

/// A policy document. It serializes to the JSON of IAM, always in the same order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Policy {
    #[serde(rename = "Version")]
    version: &'static str,
    #[serde(rename = "Statement")]
    statements: Vec<Statement>,
}

/// The only version of IAM's policy language in use.
const VERSION: &str = "2012-10-17";

impl Policy {
    pub fn new(statements: Vec<Statement>) -> Self {
        Self { version: VERSION, statements }
    }

    pub fn statements(&self) -> &[Statement] {
        &self.statements
    }

    /// The document with line breaks, and one at its end.
    pub fn pretty(&self) -> String {
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }

    /// The document in one line, without white space between its elements.
    pub fn compact(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// The effect of a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Effect {
    Allow,
    Deny,
}

/// The principal of a statement in a trust policy or in the policy of an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Principal {
    /// The ARN of a role.
    Aws(String),
    /// A service of AWS, for example `pods.eks.amazonaws.com`.
    Service(String),
    /// The ARN of an OIDC provider in IAM.
    Federated(String),
    /// Everyone. Conditions must limit such a statement.
    Anyone,
}

/// An operator of a condition, with the quantifier of its set, if any.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operator {
    StringEquals,
    StringLike,
    ArnLike,
    ArnNotLike,
    Null,
    /// True of a request without the key, so it needs [`Null`](Self::Null) beside it.
    ForAllValuesStringEquals,
}

impl Operator {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::StringEquals => "StringEquals",
            Self::StringLike => "StringLike",
            Self::ArnLike => "ArnLike",
            Self::ArnNotLike => "ArnNotLike",
            Self::Null => "Null",
            Self::ForAllValuesStringEquals => "ForAllValues:StringEquals",
        }
    }

    /// Whether the condition is true if any of its values fits, so that two statements with half of the values each
    /// allow the same as one.
    fn is_any_of(self) -> bool {
        matches!(self, Self::StringEquals | Self::StringLike | Self::ArnLike)
    }
}

/// One condition: the request's `key` compared with `values`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    pub operator: Operator,
    pub key: String,
    pub values: Vec<String>,
}

/// One statement of a policy. All of its conditions must be true.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    sid: String,
    effect: Effect,
    principal: Option<Principal>,
    actions: Vec<String>,
    resources: Vec<String>,
    conditions: Vec<Condition>,
}

impl Statement {
    /// A statement that allows. `sid` has letters and digits only.
    pub fn allow(sid: impl Into<String>, actions: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self::new(sid, Effect::Allow, actions)
    }

    /// A statement that denies.
    pub fn deny(sid: impl Into<String>, actions: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self::new(sid, Effect::Deny, actions)
    }

    fn new(
        sid: impl Into<String>,
        effect: Effect,
        actions: impl IntoIterator<Item = impl Into<String>>,
    ) -> Self {
        Self {
            sid: sid.into(),
            effect,
            principal: None,
            actions: actions.into_iter().map(Into::into).collect(),
            resources: Vec::new(),
            conditions: Vec::new(),
        }
    }

    pub fn of(mut self, principal: Principal) -> Self {
        self.principal = Some(principal);
        self
    }

    pub fn on(mut self, resources: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.resources = resources.into_iter().map(Into::into).collect();
        self
    }

    pub fn when(
        mut self,
        operator: Operator,
        key: impl Into<String>,
        values: impl IntoIterator<Item = impl Into<String>>,
    ) -> Self {
        let values = values.into_iter().map(Into::into).collect();
        self.conditions.push(Condition { operator, key: key.into(), values });
        // IAM has one object per operator, so all keys of one follow each other.
        self.conditions.sort_by_key(|condition| condition.operator);
        self
    }

    pub(super) fn named(mut self, sid: String) -> Self {
        self.sid = sid;
        self
    }

    pub fn sid(&self) -> &str {
        &self.sid
    }

    pub fn effect(&self) -> Effect {
        self.effect
    }

    pub fn principal(&self) -> Option<&Principal> {
        self.principal.as_ref()
    }

    pub fn actions(&self) -> &[String] {
        &self.actions
    }

    pub fn resources(&self) -> &[String] {
        &self.resources
    }

    pub fn conditions(&self) -> &[Condition] {
        &self.conditions
    }

    /// Whether two statements differ in their names only.
    pub(super) fn says_the_same(&self, other: &Self) -> bool {
        self.clone().named(String::new()) == other.clone().named(String::new())
    }

    /// Two statements that together allow the same; `None` if there is no list to halve.
    pub(super) fn halves(&self) -> Option<(Self, Self)> {
        let (mut first, mut second) = (self.clone(), self.clone());
        let longest = self
            .conditions
            .iter()
            .enumerate()
            .filter(|(_, condition)| condition.operator.is_any_of())
            .max_by_key(|(_, condition)| condition.values.len());
        match longest {
            Some((at, condition)) if condition.values.len() > self.resources.len() => {
                second.conditions[at].values =
                    first.conditions[at].values.split_off(condition.values.len() / 2);
                (condition.values.len() > 1).then_some((first, second))
            }
            _ => {
                second.resources = first.resources.split_off(self.resources.len() / 2);
                (self.resources.len() > 1).then_some((first, second))
            }
        }
    }
}

/// IAM accepts a text or a list; a list of one reads worse.
fn one_or_many(values: &[String]) -> serde_json::Value {
    match values {
        [one] => one.as_str().into(),
        many => many.into(),
    }
}

impl Serialize for Statement {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("Sid", &self.sid)?;
        map.serialize_entry("Effect", &self.effect)?;
        if let Some(principal) = &self.principal {
            map.serialize_entry("Principal", principal)?;
        }
        map.serialize_entry("Action", &one_or_many(&self.actions))?;
        if !self.resources.is_empty() {
            map.serialize_entry("Resource", &one_or_many(&self.resources))?;
        }
        if !self.conditions.is_empty() {
            map.serialize_entry("Condition", &Conditions(&self.conditions))?;
        }
        map.end()
    }
}

impl Serialize for Principal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (kind, value) = match self {
            Self::Anyone => return serializer.serialize_str("*"),
            Self::Aws(arn) => ("AWS", arn),
            Self::Service(name) => ("Service", name),
            Self::Federated(arn) => ("Federated", arn),
        };
        let mut map = serializer.serialize_map(Some(1))?;
        map.serialize_entry(kind, value)?;
        map.end()
    }
}

/// Conditions, sorted by operator.
struct Conditions<'a>(&'a [Condition]);
/// The conditions of one operator.
struct OfOperator<'a>(&'a [Condition]);

impl Serialize for Conditions<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for group in self.0.chunk_by(|one, next| one.operator == next.operator) {
            if let Some(first) = group.first() {
                map.serialize_entry(first.operator.as_str(), &OfOperator(group))?;
            }
        }
        map.end()
    }
}

impl Serialize for OfOperator<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for condition in self.0 {
            map.serialize_entry(&condition.key, &one_or_many(&condition.values))?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_is_written_in_the_order_in_which_it_is_read() {
        let statement = Statement::allow("Tag", ["sts:TagSession"])
            .of(Principal::Aws("arn:aws:iam::123456789012:role/G".to_owned()))
            .when(Operator::ForAllValuesStringEquals, "aws:TagKeys", ["team", "cost"])
            .when(Operator::Null, "aws:TagKeys", ["false"])
            .when(Operator::StringLike, "aws:RequestTag/team", ["?*"]);
        assert_eq!(
            Policy::new(vec![statement]).compact(),
            concat!(
                r#"{"Version":"2012-10-17","Statement":[{"Sid":"Tag","Effect":"Allow","#,
                r#""Principal":{"AWS":"arn:aws:iam::123456789012:role/G"},"Action":"sts:TagSession","#,
                r#""Condition":{"StringLike":{"aws:RequestTag/team":"?*"},"Null":{"aws:TagKeys":"false"},"#,
                r#""ForAllValues:StringEquals":{"aws:TagKeys":["team","cost"]}}}]}"#,
            )
        );
    }

    #[test]
    fn halves_allow_together_what_the_whole_allows() {
        let whole = Statement::allow("A", ["a:B"]).on(["1", "2", "3"]);
        let (first, second) = whole.halves().unwrap();
        assert_eq!((first.resources().len(), second.resources().len()), (1, 2));
        let whole = Statement::allow("A", ["a:B"]).on(["1"]).when(Operator::ArnLike, "k", ["x", "y"]);
        let (first, second) = whole.halves().unwrap();
        assert_eq!(
            (&first.conditions()[0].values[0], &second.conditions()[0].values[0]),
            (&"x".into(), &"y".into())
        );
        // Half of the values of a negated condition, or of a condition on all values, allow something else.
        for operator in [Operator::ArnNotLike, Operator::ForAllValuesStringEquals] {
            assert_eq!(
                Statement::deny("A", ["a:B"]).on(["*"]).when(operator, "k", ["x", "y"]).halves(),
                None
            );
        }
    }
}
