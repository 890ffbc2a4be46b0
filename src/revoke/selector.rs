//! Who is meant by an entry.

use std::fmt;

use crate::attribution::arn::is_principal;
use crate::auth::Verified;
use crate::expression::{ClaimsTooLarge, Expression, ExpressionError, Input, Truth};
use crate::identity::Identity;

/// Who is meant.
#[derive(Debug, PartialEq)]
pub enum Selector {
    /// By the issuer's configured name and the token's exact `sub`.
    Subject { issuer: String, subject: String },
    /// By the ARN that stands in the bill.
    Principal(String),
    /// Callers whose claims make it true, and callers on whose claims it cannot be evaluated: an error lets nobody
    /// in.
    Claims(Expression),
}

/// The ways to say who is meant, of which one is used.
#[derive(Debug, Clone, Copy, Default)]
pub struct SelectorInput<'a> {
    pub issuer: Option<&'a str>,
    pub subject: Option<&'a str>,
    pub principal: Option<&'a str>,
    pub expression: Option<&'a str>,
}

/// Why it cannot be said who is meant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SelectorError {
    #[error("it names nobody, or in more than one way")]
    Unclear,
    #[error("this is no session's ARN")]
    NotAPrincipal,
    #[error("the expression is wrong: {0}")]
    Expression(#[from] ExpressionError),
}

impl SelectorError {
    /// What would be right.
    pub fn help(&self) -> &'static str {
        match self {
            Self::Unclear => "give issuer and subject, or principal, or expression",
            Self::NotAPrincipal => {
                "give it as the bill shows it, as in arn:aws:sts::123456789012:assumed-role/BedrockUser/alice@acme.org"
            }
            Self::Expression(_) => "write a CEL expression over claims and issuer.name",
        }
    }
}

impl Selector {
    /// # Errors
    /// When the words say nobody, or more than one, or are wrong.
    pub fn of(words: SelectorInput<'_>) -> Result<Self, SelectorError> {
        match words {
            SelectorInput {
                issuer: Some(issuer),
                subject: Some(subject),
                principal: None,
                expression: None,
            } if !issuer.is_empty() && !subject.is_empty() => {
                Ok(Self::Subject { issuer: issuer.to_owned(), subject: subject.to_owned() })
            }
            SelectorInput { issuer: None, subject: None, principal: Some(principal), expression: None } => {
                if !is_principal(principal) {
                    return Err(SelectorError::NotAPrincipal);
                }
                Ok(Self::Principal(principal.to_owned()))
            }
            SelectorInput { issuer: None, subject: None, principal: None, expression: Some(expression) } => {
                Ok(Self::Claims(Expression::compile(expression, &[])?))
            }
            _ => Err(SelectorError::Unclear),
        }
    }
}

/// What the expressions of all selectors are evaluated over, made for the first of them.
#[derive(Debug, Default)]
pub(super) struct ClaimsInput(Option<Result<Input<'static>, ClaimsTooLarge>>);

impl Selector {
    /// Whether it means the caller. A caller on whose claims an expression cannot be evaluated is meant: an error
    /// lets nobody in.
    pub(super) fn means(&self, caller: &Verified, identity: &Identity, claims: &mut ClaimsInput) -> bool {
        match self {
            Self::Subject { issuer, subject } => {
                issuer == caller.issuer() && caller.subject() == Some(subject)
            }
            Self::Principal(principal) => **principal == **identity.principal(),
            Self::Claims(expression) => {
                let input = claims.0.get_or_insert_with(|| {
                    Input::new(caller.claims(), caller.issuer(), &serde_json::Map::new())
                });
                let truth = input.as_ref().map(|input| input.truth(expression));
                !matches!(truth, Ok(Ok(Truth::False | Truth::Missing)))
            }
        }
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Subject { issuer, subject } => write!(f, "{subject} of {issuer}"),
            Self::Principal(principal) => f.write_str(principal),
            Self::Claims(expression) => f.write_str(expression.source()),
        }
    }
}
