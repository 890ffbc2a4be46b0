//! The input of an evaluation: one caller's claims, issuer and headers, and the claims that the token left out.

use std::collections::HashMap;
use std::sync::Arc;

use cel::common::types::{CelMap, CelString};
use cel::common::value::Val;
use cel::objects::Key;
use cel::{Context, Value};
use serde_json::{Map, Value as Json};

use super::{ENVIRONMENT, EvaluationError, Expression, Outcome, text};

/// The most nodes in one token's claims. Objects, lists, texts, numbers and booleans are nodes.
const MOST_NODES: usize = 1_000;

/// The error for claims that could take long to evaluate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the claims have more than {MOST_NODES} nodes (objects, lists, texts, numbers, booleans); \
     have the identity provider send fewer"
)]
pub struct ClaimsTooLarge;

/// One caller as expressions see them: the variables, and the claims that the token left out.
pub struct Input<'a> {
    pub(super) values: Context<'a, 'a>,
    left_out: Vec<String>,
}

/// Why an expression has no result for a caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InputError {
    /// It reads a claim that the identity provider left out of the token.
    LeftOut,
    Evaluation(EvaluationError),
    /// Its value is not a string. The text says what it is, and what to write.
    NotAString(&'static str),
}

/// The result of a condition for a caller. Only `True` meets it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Truth {
    True,
    False,
    /// A value that it reads is missing.
    Missing,
}

impl std::fmt::Debug for Input<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Input").field("left_out", &self.left_out).finish_non_exhaustive()
    }
}

impl Input<'_> {
    /// The input with these claims, the issuer's configured name, and the listed headers by name. A member that is
    /// null counts as missing.
    ///
    /// # Errors
    /// When there are more than 1,000 nodes.
    pub fn new(
        claims: &Map<String, Json>,
        issuer: &str,
        headers: &Map<String, Json>,
    ) -> Result<Self, ClaimsTooLarge> {
        let mut nodes = MOST_NODES;
        let mut object = |members| object(members, &mut nodes).ok_or(ClaimsTooLarge);
        let one = |member: &str, value| Value::from(HashMap::from([(member.to_owned(), value)]));
        let mut context = Context::with_env(Arc::clone(&ENVIRONMENT));
        context.add_variable_from_value("claims", object(claims)?);
        context.add_variable_from_value("issuer", one("name", Value::from(issuer)));
        context.add_variable_from_value("request", one("headers", object(headers)?));
        Ok(Self { values: context, left_out: left_out(claims) })
    }

    /// The text of an expression's value; `None` if it is missing or "".
    ///
    /// # Errors
    /// When it reads a claim that the token left out, cannot be evaluated, or has a value that cannot become text.
    pub fn text(&self, expression: &Expression) -> Result<Option<String>, InputError> {
        match self.evaluate(expression)? {
            Outcome::Value(value) => text::text(&value).map_err(InputError::Evaluation),
            Outcome::Missing => Ok(None),
        }
    }

    /// The string that is an expression's value; `None` if it is missing or "".
    ///
    /// # Errors
    /// Those of [`Input::text`], and when the value is not a string.
    pub fn string(&self, expression: &Expression) -> Result<Option<String>, InputError> {
        match self.evaluate(expression)? {
            Outcome::Value(value) => text::string(&value).map_err(InputError::NotAString),
            Outcome::Missing => Ok(None),
        }
    }

    fn evaluate(&self, expression: &Expression) -> Result<Outcome, InputError> {
        self.can_answer(expression)?;
        expression.evaluate(self).map_err(InputError::Evaluation)
    }

    /// Whether a condition holds.
    ///
    /// # Errors
    /// When it reads a claim that the token left out, or cannot be evaluated.
    pub fn truth(&self, condition: &Expression) -> Result<Truth, InputError> {
        self.can_answer(condition)?;
        Ok(match condition.truth(self).map_err(InputError::Evaluation)? {
            Some(true) => Truth::True,
            Some(false) => Truth::False,
            None => Truth::Missing,
        })
    }

    /// The names of missing claims as the end of a message; `None` if there are none.
    pub fn name_missing<'n>(names: impl IntoIterator<Item = &'n str>) -> Option<String> {
        let names: Vec<_> = names.into_iter().map(|name| format!("`{name}`")).collect();
        match names.as_slice() {
            [] => None,
            [name] => Some(format!("claim {name} is missing")),
            names => Some(format!("claims {} are missing", names.join(", "))),
        }
    }

    /// The top-level claims that `expression` reads by name and that the token does not have.
    pub fn missing_claims<'e>(&self, expression: &'e Expression) -> impl Iterator<Item = &'e str> {
        let claims = self.values.get_variable("claims");
        expression.claims_read().filter(move |name| {
            let claims = claims.as_ref().and_then(|claims| claims.as_ref().downcast_ref::<CelMap<'_>>());
            let is_it =
                |key: &dyn Val| key.downcast_ref::<CelString<'_>>().is_some_and(|key| key.inner() == *name);
            claims.is_some_and(|claims| !claims.inner().keys().any(|key| is_it(key.inner())))
        })
    }

    fn can_answer(&self, expression: &Expression) -> Result<(), InputError> {
        let left_out = self.left_out.iter().any(|claim| expression.reads(claim));
        if left_out { Err(InputError::LeftOut) } else { Ok(()) }
    }
}

/// The claims that the token says it left out. They are distributed claims (`OpenID` Connect Core 1.0 §5.6.2), which
/// Entra writes for users in many groups, or Entra's `hasgroups`. If the token has such a claim as well, its value may
/// be incomplete.
// Assumption A41.
fn left_out(claims: &Map<String, Json>) -> Vec<String> {
    let named = claims.get("_claim_names").and_then(Json::as_object);
    let mut left_out: Vec<String> = named.into_iter().flat_map(Map::keys).cloned().collect();
    if claims.get("hasgroups").is_some_and(|has| has.as_bool() == Some(true) || has.as_str() == Some("true"))
    {
        left_out.push("groups".to_owned());
    }
    left_out
}

/// An object and all its members; `None` if they have more than `nodes` nodes.
fn object(members: &Map<String, Json>, nodes: &mut usize) -> Option<Value> {
    *nodes = nodes.checked_sub(1)?;
    members_of(members, nodes)
}

/// The CEL value of `json`; `None` if it has more than `nodes` nodes. A whole number becomes an `int`, like the
/// numbers that operators write, since CEL cannot add two kinds of number. A number that is not a 64-bit integer is
/// rounded to an `f64`. It can be compared, but never becomes text.
fn value(json: &Json, nodes: &mut usize) -> Option<Value> {
    *nodes = nodes.checked_sub(1)?;
    Some(match json {
        Json::Null => Value::Null,
        Json::Bool(truth) => Value::Bool(*truth),
        Json::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(number), _) => Value::Int(number),
            (None, Some(number)) => Value::UInt(number),
            (None, None) => Value::Float(number.as_f64()?),
        },
        Json::String(text) => Value::from(text.as_str()),
        Json::Array(items) => {
            Value::from(items.iter().map(|item| value(item, nodes)).collect::<Option<Vec<_>>>()?)
        }
        Json::Object(members) => return members_of(members, nodes),
    })
}

/// Like [`value`], for an object whose own node is already counted.
fn members_of(members: &Map<String, Json>, nodes: &mut usize) -> Option<Value> {
    let there = members.iter().filter(|(_, member)| !member.is_null());
    let there = there.map(|(name, member)| Some((Key::from(name.as_str()), value(member, nodes)?)));
    Some(Value::from(there.collect::<Option<HashMap<_, _>>>()?))
}
