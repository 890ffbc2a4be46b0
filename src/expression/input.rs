//! The input of an evaluation: one caller's claims, issuer and headers, and the claims that the token left out.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use cel::Context;
use cel::common::types::{
    CelBool, CelDouble, CelInt, CelList, CelMap, CelMapKey, CelNull, CelString, CelUInt,
};
use cel::common::value::Val;
use serde_json::{Map, Value as Json};

use super::{ENVIRONMENT, EvaluationError, Expression, Outcome, text};

/// The bytes of text that count like a node, where the size of an evaluation counts.
const BYTES_IN_NODE: usize = 16;
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
    claims: &'a Map<String, Json>,
    /// The claims that `values` has if the token has them; `None` if it has all claims.
    pub(super) named: Option<BTreeSet<&'a str>>,
    /// The size of all claims and headers: their nodes, and one more for every [`BYTES_IN_NODE`] bytes of their texts.
    pub(super) size: usize,
    left_out: Vec<&'a str>,
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

impl<'a> Input<'a> {
    /// The input for `expressions`: the claims that they name, or all claims if one of them computes a name; the
    /// issuer's configured name; and the listed headers by name. A member that is null counts as missing.
    ///
    /// # Errors
    /// When claims and headers have more than 1,000 nodes, whether or not an expression names them.
    pub fn new(
        claims: &'a Map<String, Json>,
        issuer: &'a str,
        headers: impl IntoIterator<Item = (&'a str, &'a str)>,
        expressions: impl IntoIterator<Item = &'a Expression>,
    ) -> Result<Self, ClaimsTooLarge> {
        let headers = headers.into_iter().collect::<Vec<_>>();
        let lengths: usize = headers.iter().map(|(_, value)| value.len()).sum();
        let headers = headers.into_iter().map(|(name, value)| (name, string(value))).collect::<Vec<_>>();
        // The object of the headers is a node, too.
        let nodes = nodes_in(claims) + 1 + headers.len();
        if nodes > MOST_NODES {
            return Err(ClaimsTooLarge);
        }
        let named = names(expressions);
        let read = match &named {
            Some(names) => object(names.iter().filter_map(|name| Some((*name, claims.get(*name)?)))),
            None => object(claims.iter().map(|(name, claim)| (name.as_str(), claim))),
        };
        let mut values = Context::with_env(Arc::clone(&ENVIRONMENT));
        values.add_variable_as_val("claims", read);
        values.add_variable_as_val("issuer", map([("name", string(issuer))]));
        values.add_variable_as_val("request", map([("headers", map(headers))]));
        let texts = texts_in(claims) + lengths;
        Ok(Self { values, claims, named, size: nodes + texts / BYTES_IN_NODE, left_out: left_out(claims) })
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
        let is_there = |name: &str| self.claims.get(name).is_some_and(|claim| !claim.is_null());
        expression.claims_read().filter(move |name| !is_there(name))
    }

    fn can_answer(&self, expression: &Expression) -> Result<(), InputError> {
        if self.left_out.iter().any(|claim| expression.reads(claim)) {
            return Err(InputError::LeftOut);
        }
        let Some(named) = &self.named else { return Ok(()) };
        let reads = expression.reads.as_ref();
        // A claim that is not in `values` must not count as missing.
        if reads.is_some_and(|reads| reads.iter().all(|name| named.contains(name.as_str()))) {
            Ok(())
        } else {
            let other = "the expression is not one that the claims were read for";
            Err(InputError::Evaluation(EvaluationError(other.to_owned())))
        }
    }
}

/// The claims that `expressions` name; `None` if one of them computes a name.
fn names<'a>(expressions: impl IntoIterator<Item = &'a Expression>) -> Option<BTreeSet<&'a str>> {
    let mut names = BTreeSet::new();
    for expression in expressions {
        names.extend(expression.reads.as_ref()?.iter().map(String::as_str));
    }
    Some(names)
}

/// The claims that the token says it left out. They are distributed claims (`OpenID` Connect Core 1.0 §5.6.2), which
/// Entra writes for users in many groups, or Entra's `hasgroups`. If the token has such a claim as well, its value may
/// be incomplete.
// Assumption A41.
fn left_out(claims: &Map<String, Json>) -> Vec<&str> {
    let named = claims.get("_claim_names").and_then(Json::as_object);
    let mut left_out: Vec<_> = named.into_iter().flat_map(Map::keys).map(String::as_str).collect();
    if claims.get("hasgroups").is_some_and(|has| has.as_bool() == Some(true) || has.as_str() == Some("true"))
    {
        left_out.push("groups");
    }
    left_out
}

/// The nodes of an object and all its members.
fn nodes_in(members: &Map<String, Json>) -> usize {
    1 + members.values().filter(|member| !member.is_null()).map(nodes).sum::<usize>()
}

fn nodes(json: &Json) -> usize {
    match json {
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => 1,
        Json::Array(items) => 1 + items.iter().map(nodes).sum::<usize>(),
        Json::Object(members) => nodes_in(members),
    }
}

/// The bytes of the texts of an object's members.
fn texts_in(members: &Map<String, Json>) -> usize {
    members.values().map(texts).sum()
}

fn texts(json: &Json) -> usize {
    match json {
        Json::Null | Json::Bool(_) | Json::Number(_) => 0,
        Json::String(text) => text.len(),
        Json::Array(items) => items.iter().map(texts).sum(),
        Json::Object(members) => texts_in(members),
    }
}

/// The CEL value of `json`, which borrows its texts. A whole number becomes an `int`, like the numbers that operators
/// write, since CEL cannot add two kinds of number. A number that is not a 64-bit integer is rounded to an `f64`. It
/// can be compared, but never becomes text.
pub(super) fn value(json: &Json) -> Box<dyn Val + '_> {
    match json {
        Json::Null => Box::new(CelNull),
        Json::Bool(truth) => Box::new(CelBool::from(*truth)),
        Json::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(number), _) => Box::new(CelInt::from(number)),
            (None, Some(number)) => Box::new(CelUInt::from(number)),
            (None, None) => Box::new(CelDouble::from(number.as_f64().unwrap_or(f64::NAN))),
        },
        Json::String(text) => string(text),
        Json::Array(items) => Box::new(CelList::from(items.iter().map(value).collect::<Vec<_>>())),
        Json::Object(members) => object(members.iter().map(|(name, member)| (name.as_str(), member))),
    }
}

fn string(text: &str) -> Box<dyn Val + '_> {
    Box::new(CelString::from(text))
}

/// The map of those `members` that are not null.
fn object<'a>(members: impl Iterator<Item = (&'a str, &'a Json)>) -> Box<dyn Val + 'a> {
    let there = members.filter(|(_, member)| !member.is_null());
    map(there.map(|(name, member)| (name, value(member))))
}

fn map<'a>(members: impl IntoIterator<Item = (&'a str, Box<dyn Val + 'a>)>) -> Box<dyn Val + 'a> {
    let members = members.into_iter().map(|(name, member)| (CelMapKey::from(name), member));
    Box::new(CelMap::from(members.collect::<HashMap<_, _>>()))
}
