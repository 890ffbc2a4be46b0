//! Selectors: the callers that an entry matches.

use std::borrow::Cow;
use std::fmt;

use crate::attribution::arn::is_principal;
use crate::auth::Verified;
use crate::expression::{ClaimsTooLarge, Expression, ExpressionError, Input, Truth};
use crate::identity::Identity;

/// The callers that an entry matches.
#[derive(Debug, PartialEq)]
pub enum Selector {
    /// The caller with this `sub`, compared exactly, of the issuer with this name in the configuration.
    Subject { issuer: String, subject: String },
    /// The caller with this principal: the ARN that the bill shows.
    Principal(String),
    /// Callers for whose claims the expression is true or fails. A missing claim is neither.
    Claims(Expression),
}

/// The fields of an entry that select callers. Exactly one of three ways must be used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct SelectorInput<'a> {
    pub issuer: Option<&'a str>,
    pub subject: Option<&'a str>,
    pub principal: Option<&'a str>,
    pub expression: Option<&'a str>,
}

/// Why the fields of an entry are not a selector.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SelectorError {
    #[error("it must select callers in exactly one way")]
    Unclear,
    #[error("this is not the ARN of a session")]
    NotAPrincipal,
    #[error("the expression is invalid: {0}")]
    Expression(#[from] ExpressionError),
}

impl SelectorError {
    /// The next step for the operator.
    pub fn help(&self) -> Cow<'static, str> {
        match self {
            Self::Unclear => "give issuer and subject, or principal, or expression".into(),
            Self::NotAPrincipal => {
                "write issuer and subject for a person, or the principal as the access log has it, for example arn:aws:sts::123456789012:assumed-role/BedrockUser/alice@acme.org"
                    .into()
            }
            Self::Expression(error) => error.help().into(),
        }
    }
}

impl Selector {
    /// Creates a selector from the fields of an entry.
    ///
    /// # Errors
    /// When the fields do not use exactly one way, or when the principal or the expression is invalid.
    pub fn of(input: SelectorInput<'_>) -> Result<Self, SelectorError> {
        match input {
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

impl Selector {
    /// The fields that it was created from.
    pub fn input(&self) -> SelectorInput<'_> {
        let none = SelectorInput::default();
        match self {
            Self::Subject { issuer, subject } => {
                SelectorInput { issuer: Some(issuer), subject: Some(subject), ..none }
            }
            Self::Principal(principal) => SelectorInput { principal: Some(principal), ..none },
            Self::Claims(expression) => SelectorInput { expression: Some(expression.source()), ..none },
        }
    }

    /// The expression of a selector over claims.
    pub(super) fn expression(&self) -> Option<&Expression> {
        match self {
            Self::Claims(expression) => Some(expression),
            Self::Subject { .. } | Self::Principal(_) => None,
        }
    }

    /// Whether the selector matches the caller. `input` is the input for the expressions of all selectors. An expression
    /// that fails matches, because an error must not keep access open.
    pub(super) fn matches<'i>(
        &self,
        caller: &Verified,
        identity: &Identity,
        input: impl FnOnce() -> &'i Result<Input<'i>, ClaimsTooLarge>,
    ) -> bool {
        match self {
            Self::Subject { issuer, subject } => {
                issuer == caller.issuer() && caller.subject() == Some(subject)
            }
            Self::Principal(principal) => **principal == **identity.principal(),
            Self::Claims(expression) => {
                let truth = input().as_ref().map(|input| input.truth(expression));
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
