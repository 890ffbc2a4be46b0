//! What expressions are evaluated over.

use std::collections::HashMap;
use std::sync::Arc;

use cel::objects::Key;
use cel::{Context, Value};
use serde_json::Value as Json;

use super::ENVIRONMENT;

/// Most nodes of one token's claims: objects, lists, texts, numbers and booleans.
const MOST_NODES: usize = 1_000;

/// Claims that could take long to evaluate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the claims have more than {MOST_NODES} nodes")]
pub struct ClaimsTooLarge;

/// The values an expression is evaluated over.
pub struct Inputs<'a>(pub(super) Context<'a, 'a>);

impl std::fmt::Debug for Inputs<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Inputs")
    }
}

impl Inputs<'_> {
    /// The claims, the issuer's configured name, and the listed headers by name. Null members are left
    /// out, as if they were not there.
    ///
    /// # Errors
    /// When there are more than 1,000 nodes.
    pub fn new(claims: &Json, issuer: &str, headers: &Json) -> Result<Self, ClaimsTooLarge> {
        let mut nodes = MOST_NODES;
        let mut value = |json| value(json, &mut nodes).ok_or(ClaimsTooLarge);
        let one = |member: &str, value| Value::from(HashMap::from([(member.to_owned(), value)]));
        let mut context = Context::with_env(Arc::clone(&ENVIRONMENT));
        context.add_variable_from_value("claims", value(claims)?);
        context.add_variable_from_value("issuer", one("name", Value::from(issuer)));
        context.add_variable_from_value("request", one("headers", value(headers)?));
        Ok(Self(context))
    }
}

/// `None` when there are more than `nodes`. A whole number is an `int`, as those that operators write,
/// since CEL adds no two kinds of number. A number that is no 64-bit integer is rounded to an `f64`: good enough to
/// be compared, but never to become a text.
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
        Json::Object(members) => {
            let there = members.iter().filter(|(_, member)| !member.is_null());
            let there = there.map(|(name, member)| Some((Key::from(name.as_str()), value(member, nodes)?)));
            Value::from(there.collect::<Option<HashMap<_, _>>>()?)
        }
    })
}
