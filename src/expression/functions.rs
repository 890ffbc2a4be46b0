//! The functions that expressions may call: the standard ones and CEL's strings extension. The gateway's own versions
//! replace those that have no limits.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::LazyLock;

use cel::common::ast::{CallExpr, Expr, IdedExpr, LiteralValue, operators};
use cel::common::types::{CelBool, CelDouble, CelInt, CelList, CelString, DYN_TYPE, Kind, LIST_TYPE};
use cel::common::value::{CowVal, Val};
use cel::objects::Key;
use cel::{DeclarationError, Env, ExecutionError, Value};
use parking_lot::RwLock;
use regex::Regex;

use super::budget::{pay, size, step};
use super::{ENVIRONMENT, ExpressionError, RegexFault, WrongCall};
use crate::spelling::similar;

/// The names of the functions that the parser makes from operators and macros.
const OPERATORS: &str =
    "!_ -_ @in @not_strictly_false _!=_ _%_ _&&_ _*_ _+_ _-_ _/_ _<=_ _<_ _==_ _>=_ _>_ _?_:_ _||_";

/// Functions that are called as `f(x)`, all with one argument.
const GLOBAL: &[&str] = &["bool", "bytes", "double", "dyn", "int", "size", "string", "type", "uint"];

/// Functions that are called as `x.f(…)`: name, number of arguments in the parentheses, and an example.
const METHODS: &[(&str, RangeInclusive<usize>, &str)] = &[
    ("charAt", 1..=1, "claims.team.charAt(0)"),
    ("contains", 1..=1, "claims.team.contains('a')"),
    ("endsWith", 1..=1, "claims.email.endsWith('@acme.org')"),
    ("extract", 1..=1, "claims.email.extract('^([^@]+)@')"),
    ("indexOf", 1..=2, "claims.email.indexOf('@')"),
    ("join", 0..=1, "claims.groups.join('+')"),
    ("lastIndexOf", 1..=2, "claims.email.lastIndexOf('.')"),
    ("lowerAscii", 0..=0, "claims.email.lowerAscii()"),
    ("matches", 1..=1, "claims.team.matches('^ml-')"),
    ("replace", 2..=3, "claims.team.replace('old', 'new')"),
    ("reverse", 0..=0, "claims.team.reverse()"),
    ("size", 0..=0, "claims.groups.size()"),
    ("split", 1..=1, "claims.email.split('@')[0]"),
    ("startsWith", 1..=1, "claims.team.startsWith('ml-')"),
    ("substring", 1..=2, "claims.team.substring(0, 3)"),
    ("trim", 0..=0, "claims.team.trim()"),
    ("upperAscii", 0..=0, "claims.team.upperAscii()"),
];

/// The function that replaces `+`.
pub(super) const PLUS: &str = "@plus";

/// The function name that marks the error of a number that has no exact text.
pub(super) const INEXACT: &str = "@inexact";

/// Most parts of a split text: the same as the limit on nodes of claims.
const MOST_PARTS: usize = 1_000;

/// The compiled regular expressions of all expressions, by their text. The library would compile them again at every
/// call. The map never shrinks, since a configuration has few of them.
static REGEXES: LazyLock<RwLock<BTreeMap<String, Regex>>> = LazyLock::new(RwLock::default);

/// Declares the gateway's own functions. [`point`] turns the calls in an expression into calls of these. Their names
/// contain "@", so an expression cannot call them directly.
pub(super) fn declare(env: &mut Env) -> Result<(), DeclarationError> {
    cel::add_member_overload!(env, fn matches: (CelString<'_>, CelString<'_>) -> Result<CelBool>, name = "@matches")?;
    cel::add_member_overload!(env, fn extract: (CelString<'_>, CelString<'_>) -> Result<CelString<'_>>, name = "@extract")?;
    cel::add_member_overload!(env, fn split: (CelString<'_>, CelString<'_>) -> Result<CelList<'_>>, name = "@split")?;
    cel::add_member_overload!(env, fn replace: (CelString<'_>, CelString<'_>, CelString<'_>) -> Result<CelString<'_>>, name = "@replace")?;
    cel::add_member_overload!(env, fn replace_first: (CelString<'_>, CelString<'_>, CelString<'_>, CelInt) -> Result<CelString<'_>>, name = "@replace")?;
    env.add_member_overload("@join", "list.@join()", LIST_TYPE, vec![], join)?;
    env.add_member_overload("@join", "list.@join(string)", LIST_TYPE, vec![DYN_TYPE], join)?;
    env.add_overload(PLUS, PLUS, vec![DYN_TYPE, DYN_TYPE], plus)?;
    env.add_overload("@int", "@int", vec![DYN_TYPE], int)?;
    env.add_overload("@string", "@string", vec![DYN_TYPE], string)?;
    env.add_overload("@uint", "@uint", vec![DYN_TYPE], uint)?;
    env.add_overload("@kept", "@kept", vec![DYN_TYPE], kept)?;
    env.add_overload("@ordered", "@ordered", vec![DYN_TYPE], ordered)
}

/// Makes a comprehension pay for its steps, and sorts the keys when it iterates over a map. The library's order differs
/// from process to process, and so would a name that is made from it.
pub(super) fn order(range: &mut IdedExpr) {
    wrap(range, "@ordered");
}

fn wrap(node: &mut IdedExpr, function: &str) {
    let argument = std::mem::take(node);
    let id = argument.id;
    let call = CallExpr { func_name: function.to_owned(), target: None, args: vec![argument] };
    *node = IdedExpr { id, expr: Expr::Call(call) };
}

/// Points a checked call at the gateway's own function, if there is one.
pub(super) fn point(call: &mut CallExpr) {
    match (call.func_name.as_str(), call.args.as_mut_slice()) {
        // The parser expands `map` and `filter` to this; the library recognizes it and appends in place.
        (operators::ADD, [IdedExpr { expr: Expr::Ident(result), .. }, _]) if result.starts_with('@') => {}
        (operators::ADD, _) => PLUS.clone_into(&mut call.func_name),
        ("extract" | "int" | "join" | "matches" | "replace" | "split" | "string" | "uint", _) => {
            call.func_name.insert(0, '@');
        }
        _ => {}
    }
}

/// Makes the evaluation pay for a copy of the value of `node`. Literals are free, since the operator wrote them.
pub(super) fn keep(node: &mut IdedExpr) {
    if !matches!(node.expr, Expr::Literal(_)) {
        wrap(node, "@kept");
    }
}

/// The function that was probably intended by one that does not exist.
pub(super) fn intended(name: &str) -> Option<&'static str> {
    match name {
        "toLower" | "toLowerCase" | "lower" | "lowercase" => return Some("lowerAscii"),
        "toUpper" | "toUpperCase" | "upper" | "uppercase" => return Some("upperAscii"),
        "len" | "length" | "count" => return Some("size"),
        "includes" => return Some("contains"),
        "regex" | "match" => return Some("matches"),
        "str" | "toString" => return Some("string"),
        _ => {}
    }
    let methods = METHODS.iter().map(|(name, ..)| *name);
    similar(name, GLOBAL.iter().copied().chain(methods))
}

/// The names of all functions, for an error message.
pub(super) fn names() -> String {
    let methods = METHODS.iter().map(|(name, ..)| *name);
    GLOBAL.iter().copied().chain(methods).collect::<Vec<_>>().join(", ")
}

/// Checks that the function of a call exists and accepts this number of arguments.
pub(super) fn check(call: &CallExpr) -> Result<(), ExpressionError> {
    let name = call.func_name.as_str();
    let operator = OPERATORS.split(' ').any(|operator| operator == name);
    if call.target.is_none() && (operator || GLOBAL.contains(&name) && call.args.len() == 1) {
        return Ok(());
    }
    let Some((name, arguments, example)) = METHODS.iter().find(|(known, ..)| *known == name) else {
        return Err(if GLOBAL.contains(&name) {
            ExpressionError::WrongCall(WrongCall {
                function: name.to_owned(),
                needs: 1..=1,
                has: Some(call.args.len()),
                example: format!("{name}(claims.team)"),
            })
        } else {
            ExpressionError::UnknownFunction(name.to_owned())
        });
    };
    if call.target.is_none() || !arguments.contains(&call.args.len()) {
        return Err(ExpressionError::WrongCall(WrongCall {
            function: (*name).to_owned(),
            needs: arguments.clone(),
            has: call.target.is_some().then_some(call.args.len()),
            example: (*example).to_owned(),
        }));
    }
    if let ("matches" | "extract", [pattern]) = (*name, call.args.as_slice()) {
        compile(literal(pattern).ok_or(ExpressionError::ComputedRegex)?)?;
    }
    Ok(())
}

/// The text of a string literal.
pub(super) fn literal(node: &IdedExpr) -> Option<&str> {
    match &node.expr {
        Expr::Literal(LiteralValue::String(text)) => Some(text.inner()),
        _ => None,
    }
}

fn compile(pattern: &str) -> Result<(), ExpressionError> {
    let regex = Regex::new(pattern).map_err(|error| {
        let words = error.to_string();
        let last = words.lines().last().unwrap_or_default();
        let cause = last.strip_prefix("error: ").unwrap_or(last).to_owned();
        ExpressionError::Regex(RegexFault { pattern: pattern.to_owned(), cause })
    })?;
    REGEXES.write().insert(pattern.to_owned(), regex);
    Ok(())
}

/// The compiled form of a pattern that [`check`] has compiled.
fn compiled(pattern: &str) -> Result<Regex, ExecutionError> {
    let regexes = REGEXES.read();
    let regex = regexes.get(pattern).cloned();
    regex.ok_or_else(|| ExecutionError::function_error("matches", "not compiled"))
}

fn matches(text: &CelString<'_>, pattern: &CelString<'_>) -> Result<CelBool, ExecutionError> {
    Ok(compiled(pattern.inner())?.is_match(text.inner()).into())
}

/// The first group of the first match, or the whole match if the pattern has no group. The value is missing if there
/// is no match.
fn extract(text: &CelString<'_>, pattern: &CelString<'_>) -> Result<CelString<'static>, ExecutionError> {
    let regex = compiled(pattern.inner())?;
    let group = usize::from(regex.captures_len() > 1);
    let found = regex.captures(text.inner()).and_then(|captures| captures.get(group));
    let found = found.ok_or_else(|| ExecutionError::no_such_key("extract"))?;
    Ok(found.as_str().to_owned().into())
}

fn split(text: &CelString<'_>, separator: &CelString<'_>) -> Result<CelList<'static>, ExecutionError> {
    let part = |part: &str| -> Box<dyn Val> { Box::new(CelString::from(part.to_owned())) };
    let separator: &str = separator.inner();
    let parts: Vec<_> = text.inner().split(separator).take(MOST_PARTS + 1).map(part).collect();
    if separator.is_empty() || parts.len() > MOST_PARTS {
        return Err(ExecutionError::function_error(
            "split",
            "the separator is empty, or there are more than 1,000 parts",
        ));
    }
    let parts = CelList::from(parts);
    pay(size(&parts))?;
    Ok(parts)
}

fn replace(
    text: &CelString<'_>,
    from: &CelString<'_>,
    to: &CelString<'_>,
) -> Result<CelString<'static>, ExecutionError> {
    replace_first(text, from, to, &CelInt::from(-1))
}

/// Replaces the first `most` occurrences, or all if `most` is negative.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "the library's macro passes references")]
fn replace_first(
    text: &CelString<'_>,
    from: &CelString<'_>,
    to: &CelString<'_>,
    most: &CelInt,
) -> Result<CelString<'static>, ExecutionError> {
    let most = usize::try_from(*most.inner()).unwrap_or(usize::MAX);
    let (text, from, to): (&str, &str, &str) = (text.inner(), from.inner(), to.inner());
    let found = text.matches(from).take(most).count();
    pay(text.len() + found * to.len())?;
    Ok(text.replacen(from, to, found).into())
}

#[expect(clippy::needless_pass_by_value, reason = "the library's signature of functions")]
fn join<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let no_text = || ExecutionError::function_error("join", "not a text");
    let text = |value: &dyn Val| -> Result<String, ExecutionError> {
        let text: &str = value.downcast_ref::<CelString<'_>>().ok_or_else(no_text)?.inner();
        pay(text.len())?;
        Ok(text.to_owned())
    };
    let (list, separator) = match arguments.as_slice() {
        [list] => (list, ""),
        [list, separator] => (list, separator.downcast_ref::<CelString<'_>>().ok_or_else(no_text)?.inner()),
        _ => return Err(no_text()),
    };
    let list = list.as_iterable().ok_or_else(no_text)?;
    let mut members = list.iter();
    let parts = std::iter::from_fn(|| members.next().map(text)).collect::<Result<Vec<_>, _>>()?;
    pay(parts.len() * separator.len())?;
    Ok(CowVal::owned(CelString::from(parts.join(separator))))
}

/// `left + right`.
#[expect(clippy::needless_pass_by_value, reason = "the library's signature of functions")]
fn plus<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let no_overload = || ExecutionError::no_such_overload("+", Vec::new());
    let [left, right] = arguments.as_slice() else { return Err(no_overload()) };
    pay(size(left.as_ref()) + size(right.as_ref()))?;
    let sum = left.as_adder().ok_or_else(no_overload)?.add(right.as_ref())?;
    Ok(CowVal::Owned(sum.into_owned()))
}

fn int<'b, 'v>(number: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    exactly("int", number)
}

fn string<'b, 'v>(value: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    exactly("string", value)
}

fn uint<'b, 'v>(number: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    exactly("uint", number)
}

/// Converts with the library's function, except for doubles. Different numbers of tokens become the same double, and
/// a name must distinguish them.
fn exactly<'b, 'v>(conversion: &str, value: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    if value.iter().any(|value| value.downcast_ref::<CelDouble>().is_some()) {
        return Err(ExecutionError::function_error(INEXACT, "a double has no exact text"));
    }
    let no_overload = || ExecutionError::no_such_overload(conversion, Vec::new());
    ENVIRONMENT.find_overload(conversion, &value).ok_or_else(no_overload)?(value)
}

/// Pays for a value that is about to be copied.
fn kept<'b, 'v>(mut member: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let member = member.pop().ok_or_else(|| ExecutionError::function_error("kept", "no member"))?;
    pay(size(member.as_ref()))?;
    Ok(member)
}

/// The keys of a map, sorted; any other value unchanged. Pays for the steps of a comprehension over it.
fn ordered<'b, 'v>(mut range: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let range = range.pop().ok_or_else(|| ExecutionError::function_error("ordered", "no range"))?;
    let members = range.as_sizer().map_or(0, |range| *range.size().inner());
    step(usize::try_from(members).unwrap_or(usize::MAX))?;
    if range.get_type().kind() != Kind::Map {
        return Ok(range);
    }
    let Some(map) = range.as_iterable() else { return Ok(range) };
    pay(size(range.as_ref()))?;
    let mut iterator = map.iter();
    let mut keys: Vec<_> = std::iter::from_fn(|| iterator.next().map(Val::clone_as_boxed)).collect();
    drop(iterator);
    keys.sort_by_cached_key(|key| -> Option<Key> { Value::try_from(&**key).ok()?.try_into().ok() });
    Ok(CowVal::owned(CelList::from(keys)))
}
