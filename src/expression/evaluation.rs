//! Evaluation that distinguishes a missing value from an error.
//!
//! In CEL both are errors. If `a || b` has one on each side, the library reports either of them. A claim of the
//! wrong type next to a missing claim could then count as missing, and so as "no". Therefore this module evaluates
//! all conditions itself, and an error takes precedence over a missing value. The library evaluates the parts without
//! conditions. If it reports a missing value there, this module checks the other parts for errors.

use cel::common::ast::{ComprehensionExpr, EntryExpr, Expr, IdedExpr, LiteralValue, operators};
use cel::{Context, ExecutionError, Value};

use super::budget::{MOST_MADE, MOST_STEPS, SPENT, TOO_LONG};
use super::functions::INEXACT;

/// The result of an evaluation.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    Value(Value),
    /// A missing key, an index beyond the end, or null.
    Missing,
}

/// The error of a failed evaluation; a missing value is not one. Its text never contains a claim's value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct EvaluationError(pub String);

impl EvaluationError {
    /// The error for the text of a number that is held as an `f64`. Several numbers of tokens become the same `f64`.
    pub(super) fn inexact() -> Self {
        Self(
            "a number that is not a 64-bit integer cannot become text; \
             have the identity provider send it as a string"
                .to_owned(),
        )
    }

    /// The error for comprehensions that iterate over too much.
    pub(super) fn too_many_steps() -> Self {
        Self(format!("it looks at more than {MOST_STEPS} members of lists; nest fewer comprehensions"))
    }
}

/// The result of a condition; `None` if it is missing.
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
            _ => return in_parts(node, context),
        },
        Expr::Comprehension(comprehension) => match quantifier(comprehension) {
            Some((deciding, predicate)) => quantify(deciding, predicate, comprehension, context)?,
            None => match counted(comprehension) {
                Some(predicate) => exactly_one(predicate, comprehension, context)?,
                None => return list(node, comprehension, context),
            },
        },
        _ => return in_parts(node, context),
    };
    Ok(truth.map_or(Outcome::Missing, |truth| Outcome::Value(Value::Bool(truth))))
}

pub(super) fn truth(node: &IdedExpr, context: &Context<'_, '_>) -> Truth {
    match evaluate(node, context)? {
        Outcome::Value(Value::Bool(truth)) => Ok(Some(truth)),
        Outcome::Missing => Ok(None),
        Outcome::Value(_) => {
            Err(EvaluationError("a condition has a value that is neither true nor false".to_owned()))
        }
    }
}

/// `deciding` if one of `truths` equals it; otherwise the first error; otherwise missing if one is missing.
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

/// The truth that decides `exists` or `all`, and the predicate. The parser expands them to `@result || predicate`
/// and `@result && predicate`.
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
    let Some(range) = range(comprehension, context)? else { return Ok(None) };
    decide(
        deciding,
        range.into_iter().map(|item| {
            let mut inner = context.new_inner_scope();
            inner.add_variable_from_value(comprehension.iter_var.clone(), item);
            truth(predicate, &inner)
        }),
    )
}

/// The predicate of `exists_one`. The parser expands it to `predicate ? @result + 1 : @result`.
fn counted(comprehension: &ComprehensionExpr) -> Option<&IdedExpr> {
    let Expr::Literal(LiteralValue::Int(_)) = &comprehension.accu_init.expr else { return None };
    let Expr::Call(step) = &comprehension.loop_step.expr else { return None };
    match (step.func_name.as_str(), step.args.as_slice()) {
        (operators::CONDITIONAL, [predicate, _, _]) => Some(predicate),
        _ => None,
    }
}

/// Evaluates `exists_one`. It needs every member, since no single member decides.
fn exactly_one(predicate: &IdedExpr, comprehension: &ComprehensionExpr, context: &Context<'_, '_>) -> Truth {
    let Some(range) = range(comprehension, context)? else { return Ok(None) };
    let (mut count, mut missing) = (0, Ok(false));
    for item in range {
        let mut inner = context.new_inner_scope();
        inner.add_variable_from_value(comprehension.iter_var.clone(), item);
        match truth(predicate, &inner) {
            Ok(Some(truth)) => count += usize::from(truth),
            Ok(None) => missing = missing.map(|_| true),
            Err(error) => missing = missing.and(Err(error)),
        }
    }
    Ok(if missing? { None } else { Some(count == 1) })
}

/// Whether `node` contains a condition whose two sides could fail in different ways.
fn has_conditions(node: &IdedExpr) -> bool {
    match &node.expr {
        Expr::Call(call) => {
            matches!(call.func_name.as_str(), operators::LOGICAL_OR | operators::LOGICAL_AND)
                || call.target.as_deref().is_some_and(has_conditions)
                || call.args.iter().any(has_conditions)
        }
        Expr::Comprehension(comprehension) => {
            quantifier(comprehension).is_some()
                || [&comprehension.iter_range, &comprehension.loop_step].into_iter().any(has_conditions)
        }
        Expr::Select(select) => has_conditions(&select.operand),
        Expr::List(list) => list.elements.iter().any(has_conditions),
        Expr::Map(map) => map.entries.iter().any(|entry| match &entry.expr {
            EntryExpr::StructField(field) => has_conditions(&field.value),
            EntryExpr::MapEntry(entry) => has_conditions(&entry.key) || has_conditions(&entry.value),
        }),
        Expr::Struct(_) | Expr::Unspecified | Expr::Literal(_) | Expr::Ident(_) => false,
    }
}

/// Evaluates a node that needs all of its parts. First it evaluates the parts with conditions here. Then the library
/// evaluates the whole, with the results in place of those parts.
fn in_parts(node: &IdedExpr, context: &Context<'_, '_>) -> Result<Outcome, EvaluationError> {
    if !has_conditions(node) {
        return by_library(node, context);
    }
    let mut whole = node.clone();
    let mut inner = context.new_inner_scope();
    let mut missing = Ok(false);
    let mut names = 0..;
    let mut settle = |part: &mut IdedExpr| {
        if has_conditions(part) {
            match evaluate(part, context) {
                Ok(Outcome::Value(value)) => {
                    // An expression cannot contain this name: the parser rejects "@".
                    let name = format!("@part{}", names.next().unwrap_or_default());
                    inner.add_variable_from_value(name.clone(), value);
                    part.expr = Expr::Ident(name);
                }
                Ok(Outcome::Missing) => missing = missing.clone().map(|_| true),
                Err(error) => missing = missing.clone().and(Err(error)),
            }
        }
    };
    match &mut whole.expr {
        Expr::Call(call) => {
            call.target.as_deref_mut().into_iter().chain(&mut call.args).for_each(&mut settle);
        }
        Expr::Select(select) => settle(&mut select.operand),
        Expr::List(list) => list.elements.iter_mut().for_each(&mut settle),
        Expr::Map(map) => map.entries.iter_mut().for_each(|entry| match &mut entry.expr {
            EntryExpr::StructField(field) => settle(&mut field.value),
            EntryExpr::MapEntry(entry) => {
                settle(&mut entry.key);
                settle(&mut entry.value);
            }
        }),
        _ => {}
    }
    if missing? {
        check_parts(node, context)?;
        return Ok(Outcome::Missing);
    }
    by_library(&whole, &inner)
}

/// Looks for an error in the parts of `node`, which the library reported as missing. The library stops at the first
/// operand that fails. If that one was only missing, a later one may still be an error.
fn check_parts(node: &IdedExpr, context: &Context<'_, '_>) -> Result<(), EvaluationError> {
    let check = |part: &IdedExpr| evaluate(part, context).map(|_| ());
    match &node.expr {
        Expr::Call(call) => call.target.as_deref().into_iter().chain(&call.args).try_for_each(check),
        Expr::Select(select) => check(&select.operand),
        Expr::List(list) => list.elements.iter().try_for_each(check),
        Expr::Map(map) => map.entries.iter().try_for_each(|entry| match &entry.expr {
            EntryExpr::StructField(field) => check(&field.value),
            EntryExpr::MapEntry(entry) => check(&entry.key).and_then(|()| check(&entry.value)),
        }),
        _ => Ok(()),
    }
}

/// Evaluates `map` and `filter`. The parser expands their steps to `@result + [member]` or
/// `guard ? @result + [member] : @result`.
fn list(
    node: &IdedExpr,
    comprehension: &ComprehensionExpr,
    context: &Context<'_, '_>,
) -> Result<Outcome, EvaluationError> {
    // If a member is missing, the later members are evaluated too: one may be an error.
    if !has_conditions(node)
        && let Outcome::Value(members) = by_library(node, context)?
    {
        return Ok(Outcome::Value(members));
    }
    let unknown = || EvaluationError("a comprehension of this kind cannot contain conditions".to_owned());
    let (guard, appended) = match &comprehension.loop_step.expr {
        Expr::Call(call) => match (call.func_name.as_str(), call.args.as_slice()) {
            (operators::CONDITIONAL, [guard, step, _]) => (Some(guard), step),
            _ => (None, &comprehension.loop_step),
        },
        _ => return Err(unknown()),
    };
    let Expr::Call(call) = &appended.expr else { return Err(unknown()) };
    let (operators::ADD, [_, member]) = (call.func_name.as_str(), call.args.as_slice()) else {
        return Err(unknown());
    };
    let Expr::List(member) = &member.expr else { return Err(unknown()) };
    let [member] = member.elements.as_slice() else { return Err(unknown()) };

    let Some(range) = range(comprehension, context)? else { return Ok(Outcome::Missing) };
    let mut members = Vec::new();
    let mut missing = Ok(false);
    for item in range {
        let mut inner = context.new_inner_scope();
        inner.add_variable_from_value(comprehension.iter_var.clone(), item);
        let kept = guard.map_or(Ok(Some(true)), |guard| truth(guard, &inner));
        match kept.and_then(|kept| match kept {
            Some(true) => evaluate(member, &inner).map(Some),
            Some(false) => Ok(None),
            None => Ok(Some(Outcome::Missing)),
        }) {
            Ok(Some(Outcome::Value(member))) => members.push(member),
            Ok(Some(Outcome::Missing)) => missing = missing.map(|_| true),
            Ok(None) => {}
            Err(error) => missing = missing.and(Err(error)),
        }
    }
    Ok(if missing? { Outcome::Missing } else { Outcome::Value(Value::from(members)) })
}

/// The list that a comprehension iterates over; `None` if it is missing.
fn range(
    comprehension: &ComprehensionExpr,
    context: &Context<'_, '_>,
) -> Result<Option<Vec<Value>>, EvaluationError> {
    match evaluate(&comprehension.iter_range, context)? {
        Outcome::Missing => Ok(None),
        Outcome::Value(Value::List(items)) => Ok(Some(items.to_vec())),
        Outcome::Value(_) => {
            let message = "map, filter, exists or all is called on a value that is neither a list nor a map";
            Err(EvaluationError(message.to_owned()))
        }
    }
}

fn by_library(node: &IdedExpr, context: &Context<'_, '_>) -> Result<Outcome, EvaluationError> {
    match Value::resolve(node, context) {
        Ok(Value::Null) => Ok(Outcome::Missing),
        Ok(value) => Ok(Outcome::Value(value)),
        Err(error) => {
            missing_or_error(&error)?;
            check_parts(node, context)?;
            Ok(Outcome::Missing)
        }
    }
}

/// `Ok` if `error` only means a missing value. The library's text is dropped, since it contains the values, which are
/// the caller's claims.
fn missing_or_error(error: &ExecutionError) -> Result<(), EvaluationError> {
    let message = match error {
        ExecutionError::IndexOutOfBounds(Value::Int(..0)) => "a list index is negative; the first one is 0",
        ExecutionError::NoSuchKey(_) | ExecutionError::IndexOutOfBounds(_) => return Ok(()),
        ExecutionError::NoSuchOverload(_) => {
            "an operator or function does not accept these types; check the types of the claims it reads"
        }
        ExecutionError::UndeclaredReference(_) => "unknown name",
        ExecutionError::FunctionError { function, .. } if function == SPENT => {
            return Err(EvaluationError(format!(
                "it builds more than {} MiB of texts and lists; make it simpler",
                MOST_MADE >> 20
            )));
        }
        ExecutionError::FunctionError { function, .. } if function == TOO_LONG => {
            return Err(EvaluationError::too_many_steps());
        }
        ExecutionError::FunctionError { function, .. } if function == INEXACT => {
            return Err(EvaluationError::inexact());
        }
        ExecutionError::FunctionError { .. } => {
            "a function cannot convert or use its argument; check the values of the claims it reads"
        }
        ExecutionError::UnexpectedType { .. } | ExecutionError::UnsupportedTargetType { .. } => {
            "a value has the wrong type; check the types of the claims that the expression reads"
        }
        ExecutionError::DivisionByZero(_) | ExecutionError::RemainderByZero(_) => "division by zero",
        _ => "the evaluation failed",
    };
    Err(EvaluationError(message.to_owned()))
}
