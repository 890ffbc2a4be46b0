//! What is known of one caller: all that expressions are evaluated over, and what the token left out.

use serde_json::{Map, Value};

use super::IdentityError;
use crate::auth::Verified;

use super::expression::{ClaimsTooLarge, EvaluationError, Expression, Inputs, Outcome};

/// One caller, as expressions see them.
#[derive(Debug)]
pub struct Facts<'a> {
    inputs: Inputs<'a>,
    left_out: Vec<String>,
}

/// Why an expression says nothing about a caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fault {
    /// It reads a claim that the identity provider left out of the token.
    LeftOut,
    Evaluation(EvaluationError),
    /// What it yields is this, which its target does not accept.
    Invalid(&'static str),
}

/// What a condition says of a caller. Only `True` counts as true.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Truth {
    True,
    False,
    /// What it reads is missing.
    Missing,
}

impl Fault {
    /// `target` is what the expression is for.
    pub(super) fn of(self, target: &str) -> IdentityError {
        let target = target.to_owned();
        match self {
            Self::LeftOut => IdentityError::GroupsOverage { target },
            Self::Evaluation(EvaluationError(detail)) => IdentityError::Evaluation { target, detail },
            Self::Invalid(detail) => IdentityError::ValueInvalid { target, detail },
        }
    }
}

impl Facts<'static> {
    /// Those of a verified caller, without any header.
    ///
    /// # Errors
    /// When there are too many claims.
    pub fn of(caller: &Verified) -> Result<Self, IdentityError> {
        Self::new(caller.claims(), caller.issuer(), Map::new())
    }

    /// Whether a condition outside the mapping is true.
    ///
    /// # Errors
    /// When it cannot be evaluated.
    pub fn meets(&self, condition: &Expression) -> Result<bool, IdentityError> {
        self.truth(condition).map(|truth| truth == Truth::True).map_err(|fault| fault.of("a condition"))
    }
}

impl Facts<'_> {
    /// `headers` are the listed ones that the request has.
    pub(super) fn new(
        claims: &Map<String, Value>,
        issuer: &str,
        headers: Map<String, Value>,
    ) -> Result<Self, IdentityError> {
        let inputs = Inputs::new(&claims.clone().into(), issuer, &headers.into());
        let inputs = inputs.map_err(|ClaimsTooLarge| IdentityError::ClaimsTooLarge)?;
        Ok(Self { inputs, left_out: left_out(claims) })
    }

    pub(super) fn evaluate(&self, expression: &Expression) -> Result<Outcome, Fault> {
        self.can_answer(expression)?;
        expression.evaluate(&self.inputs).map_err(Fault::Evaluation)
    }

    /// Whether a condition holds.
    pub(super) fn truth(&self, condition: &Expression) -> Result<Truth, Fault> {
        self.can_answer(condition)?;
        Ok(match condition.truth(&self.inputs).map_err(Fault::Evaluation)? {
            Some(true) => Truth::True,
            Some(false) => Truth::False,
            None => Truth::Missing,
        })
    }

    fn can_answer(&self, expression: &Expression) -> Result<(), Fault> {
        let left_out = self.left_out.iter().any(|claim| expression.reads(claim));
        if left_out { Err(Fault::LeftOut) } else { Ok(()) }
    }
}

/// Claims that the token says were left out of it: distributed claims (`OpenID` Connect Core 1.0 §5.6.2),
/// as Entra writes them for people in many groups, and its `hasgroups`. What stands in the token
/// beside such a word cannot be taken for all of it.
fn left_out(claims: &Map<String, Value>) -> Vec<String> {
    let named = claims.get("_claim_names").and_then(Value::as_object);
    let mut left_out: Vec<String> = named.into_iter().flat_map(Map::keys).cloned().collect();
    if claims.get("hasgroups").is_some_and(|has| has.as_bool() == Some(true) || has.as_str() == Some("true"))
    {
        left_out.push("groups".to_owned());
    }
    left_out
}
