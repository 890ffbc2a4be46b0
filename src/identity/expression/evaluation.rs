//! Evaluation that keeps "missing" and "wrong" apart.
//!
//! To CEL both are errors, and where `a || b` has one on each side its library reports either: a claim
//! of the wrong type beside one that is absent could pass for absent, that is for "no". So conditions
//! are decided here, and within one what is wrong outweighs what is missing; the library evaluates what
//! stands between them.

use cel::common::ast::{ComprehensionExpr, Expr, IdedExpr, operators};
use cel::{Context, ExecutionError, Value};

use super::budget::SPENT;

/// What an evaluation came to.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    Value(Value),
    /// A missing key, an index beyond the end, or null.
    Missing,
}

/// An evaluation that failed: not missing, but wrong. Its text never holds a claim's value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct EvaluationError(pub String);

/// `None` is missing.
type Truth = Result<Option<bool>, EvaluationError>;

pub(super) fn evaluate(node: &IdedExpr, context: &Context<'_, '_>) -> Result<Outcome, EvaluationError> {
    let truth = match &node.expr {
        Expr::Call(call) => match (call.func_name.as_str(), call.args.as_slice()) {
            (operators::LOGICAL_OR, sides @ [_, _]) => {
                decide(true, sides.iter().map(|side| truth(side, context)))?
            }
            (operators::LOGICAL_AND, sides @ [_, _]) => {
                decide(false, sides.iter().map(|side| truth(side, context)))?
            }
            (operators::LOGICAL_NOT, [operand]) => truth(operand, context)?.map(|truth| !truth),
            (operators::CONDITIONAL, [condition, yes, no]) => {
                return match truth(condition, context)? {
                    Some(true) => evaluate(yes, context),
                    Some(false) => evaluate(no, context),
                    None => Ok(Outcome::Missing),
                };
            }
            _ => return by_library(node, context),
        },
        Expr::Comprehension(comprehension) => match quantifier(comprehension) {
            Some((deciding, predicate)) => quantify(deciding, predicate, comprehension, context)?,
            None => return by_library(node, context),
        },
        _ => return by_library(node, context),
    };
    Ok(truth.map_or(Outcome::Missing, |truth| Outcome::Value(Value::Bool(truth))))
}

pub(super) fn truth(node: &IdedExpr, context: &Context<'_, '_>) -> Truth {
    match evaluate(node, context)? {
        Outcome::Value(Value::Bool(truth)) => Ok(Some(truth)),
        Outcome::Missing => Ok(None),
        Outcome::Value(_) => Err(EvaluationError("it is not true or false".to_owned())),
    }
}

/// `deciding` as soon as one is; else the first that is wrong, else missing if one is.
fn decide(deciding: bool, truths: impl Iterator<Item = Truth>) -> Truth {
    let mut verdict = Ok(Some(!deciding));
    for truth in truths {
        match truth {
            Ok(Some(truth)) if truth == deciding => return Ok(Some(deciding)),
            Ok(Some(_)) => {}
            Ok(None) => verdict = verdict.and(Ok(None)),
            Err(error) => verdict = verdict.and(Err(error)),
        }
    }
    verdict
}

/// The truth that decides `exists` or `all`, and the predicate; the parser writes them as
/// `@result || predicate` and `@result && predicate`.
fn quantifier(comprehension: &ComprehensionExpr) -> Option<(bool, &IdedExpr)> {
    let Expr::Call(step) = &comprehension.loop_step.expr else { return None };
    let [result, predicate] = step.args.as_slice() else { return None };
    let accumulates = matches!(&result.expr, Expr::Ident(name) if *name == comprehension.accu_var);
    match step.func_name.as_str() {
        operators::LOGICAL_OR if accumulates => Some((true, predicate)),
        operators::LOGICAL_AND if accumulates => Some((false, predicate)),
        _ => None,
    }
}

fn quantify(
    deciding: bool,
    predicate: &IdedExpr,
    comprehension: &ComprehensionExpr,
    context: &Context<'_, '_>,
) -> Truth {
    let range = match Value::resolve_val(&comprehension.iter_range, context) {
        Ok(range) => range,
        Err(error) => return missing_or_wrong(&error).map(|()| None),
    };
    let Some(range) = range.as_iterable() else {
        return Err(EvaluationError("what is iterated over is no list".to_owned()));
    };
    let mut items = range.iter();
    let items = std::iter::from_fn(|| items.next());
    decide(
        deciding,
        items.map(|item| {
            let mut inner = context.new_inner_scope();
            inner.add_variable_as_val(&comprehension.iter_var, item.clone_as_boxed());
            truth(predicate, &inner)
        }),
    )
}

fn by_library(node: &IdedExpr, context: &Context<'_, '_>) -> Result<Outcome, EvaluationError> {
    match Value::resolve(node, context) {
        Ok(Value::Null) => Ok(Outcome::Missing),
        Ok(value) => Ok(Outcome::Value(value)),
        Err(error) => missing_or_wrong(&error).map(|()| Outcome::Missing),
    }
}

/// `Ok` where something is missing. The library's text holds the values at fault, which are the
/// caller's claims, and is dropped.
fn missing_or_wrong(error: &ExecutionError) -> Result<(), EvaluationError> {
    let fault = match error {
        ExecutionError::IndexOutOfBounds(Value::Int(..0)) => "an index is negative",
        ExecutionError::NoSuchKey(_) | ExecutionError::IndexOutOfBounds(_) => return Ok(()),
        ExecutionError::NoSuchOverload(_) => "an operator or function does not take these types",
        ExecutionError::UndeclaredReference(_) => "a name is not there",
        ExecutionError::FunctionError { function, .. } if function == SPENT => {
            "it puts more together than is made of one token's claims"
        }
        ExecutionError::FunctionError { .. } => "a function failed",
        ExecutionError::UnexpectedType { .. } | ExecutionError::UnsupportedTargetType { .. } => {
            "a value has another type"
        }
        ExecutionError::DivisionByZero(_) | ExecutionError::RemainderByZero(_) => "a division by zero",
        _ => "the evaluation failed",
    };
    Err(EvaluationError(fault.to_owned()))
}
