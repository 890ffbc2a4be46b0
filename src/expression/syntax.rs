//! The parser's errors, in words about the expression that the operator wrote.

use std::fmt;

use super::ExpressionError;

/// The first place at which an expression is not CEL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyntaxFault {
    /// Line and column in the expression, from 1; `None` if the parser did not name a place.
    pub place: Option<(usize, usize)>,
    pub message: String,
    /// The next step for the operator.
    pub help: String,
}

impl fmt::Display for SyntaxFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((line, column)) = self.place {
            write!(f, "{line}:{column}: ")?;
        }
        f.write_str(&self.message)
    }
}

/// Operators of other languages: what the parser's message holds, the operator, and what CEL has instead.
const FOREIGN_OPERATORS: [(&str, &str, &str); 6] = [
    ("at: '=<", "=<", "write \"<=\""),
    ("at: '=>", "=>", "write \">=\""),
    ("at: '=~", "=~", "write \".matches('…')\""),
    ("at: '=", "=", "to compare, write \"==\""),
    ("input 'and' ", "and", "write \"&&\""),
    ("input 'or' ", "or", "write \"||\""),
];

/// The first of the parser's errors.
pub(super) fn fault(source: &str, errors: &str) -> ExpressionError {
    let first = errors.lines().next().unwrap_or_default();
    let first = first.strip_prefix("ERROR: <input>:").unwrap_or(first);
    let (place, message) = match first.split_once(": ") {
        Some((at, message)) => (place(at), message),
        None => (None, first),
    };
    // The parser stumbles behind braces and behind "not"; the mistake is where the expression begins.
    let start = source.trim_start();
    let is_at_start = ["{{", "${", "not "].iter().any(|mistake| start.starts_with(mistake));
    let before = source.strip_suffix(start).unwrap_or_default();
    let place = if is_at_start && !before.contains('\n') { Some((1, before.len() + 1)) } else { place };
    let (message, help) = words(source, message.strip_prefix("Syntax error: ").unwrap_or(message));
    ExpressionError::Syntax(SyntaxFault { place, message, help })
}

fn place(text: &str) -> Option<(usize, usize)> {
    let (line, column) = text.split_once(':')?;
    Some((line.parse().ok()?, column.parse().ok()?))
}

/// An operand for the operator at the end of an expression.
fn operand(source: &str) -> &'static str {
    if source.ends_with("&&") || source.ends_with("||") {
        "claims.team == 'ml'"
    } else if source.ends_with(" in") {
        "claims.groups"
    } else {
        "'ml'"
    }
}

fn words(source: &str, message: &str) -> (String, String) {
    let trimmed = source.trim();
    // The parser writes the input that it did not expect in single quotes.
    let input =
        message.split_once("input '").and_then(|(_, rest)| rest.split_once("' ")).map(|(input, _)| input);
    if trimmed.is_empty() {
        return (
            "the expression is empty".to_owned(),
            "write, for example, claims.email for a value, or 'ml' in claims.groups for a condition"
                .to_owned(),
        );
    }
    if trimmed.starts_with("{{") || trimmed.starts_with("${") {
        let inner = trimmed.trim_start_matches(['$', '{', ' ']).trim_end_matches(['}', ' ']);
        return ("an expression has no braces around it".to_owned(), format!("write \"{inner}\""));
    }
    if let Some((_, foreign, help)) = FOREIGN_OPERATORS.iter().find(|(sign, ..)| message.contains(sign)) {
        return (format!("\"{foreign}\" is not an operator"), (*help).to_owned());
    }
    if trimmed.starts_with("not ") {
        let operand = trimmed.trim_start_matches("not ").trim_start();
        let is_one = operand.chars().all(|c| c.is_alphanumeric() || "_.".contains(c));
        let right = if is_one { format!("!{operand}") } else { format!("!({operand})") };
        return ("\"not\" is not an operator".to_owned(), format!("write {right}"));
    }
    if let Some(text) = message.strip_prefix("token recognition error at: '") {
        let text = text.strip_suffix('\'').unwrap_or(text);
        return match text.chars().next() {
            Some(quote @ ('\'' | '"')) => {
                (format!("the text {text} has no closing quote"), format!("write {text}{quote}"))
            }
            _ => (
                format!("CEL has no sign \"{text}\""),
                "remove it, or put a text in single quotes".to_owned(),
            ),
        };
    }
    if let Some(sign) = message.strip_prefix("missing '").and_then(|rest| rest.split('\'').next()) {
        return (
            format!("a \"{sign}\" is missing"),
            format!("write \"{sign}\" for each \"{}\", for example {trimmed}{sign}", opening(sign)),
        );
    }
    match input {
        Some("<EOF>") => (
            "the expression ends too early".to_owned(),
            format!("write the missing value at its end, for example {trimmed} {}", operand(trimmed)),
        ),
        Some(",") => (
            "a comma is only between arguments and items of a list".to_owned(),
            match trimmed.split(',').map(str::trim).collect::<Vec<_>>().as_slice() {
                [one, other] => format!("write {one} && {other} if both must be true, or {one} || {other}"),
                _ => "join conditions with && or ||".to_owned(),
            },
        ),
        Some(input) => (
            format!("\"{input}\" is not expected here"),
            "write an operator before it, for example == or &&, or remove it".to_owned(),
        ),
        None => (
            message.to_owned(),
            "write a CEL expression over claims, issuer.name and the listed request.headers['…']".to_owned(),
        ),
    }
}

fn opening(closing: &str) -> &'static str {
    match closing {
        ")" => "(",
        "]" => "[",
        "}" => "{",
        ":" => "?",
        _ => "opening sign",
    }
}
