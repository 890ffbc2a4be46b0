//! The kind of value that an expression yields, where its syntax decides it. A condition that can be neither true nor
//! false is rejected at load: it would fail every request.

use cel::common::ast::{ComprehensionExpr, Expr, IdedExpr, LiteralValue, operators};

use super::functions::PLUS;

/// A value that is neither true nor false.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotACondition {
    Text,
    Number,
    List,
    Map,
    /// Null, bytes or a type.
    Other,
    /// A number, a text or a list: the sum of two of them.
    Sum,
}

impl NotACondition {
    /// With its article.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Text => "a text",
            Self::Number => "a number",
            Self::List => "a list",
            Self::Map => "a map",
            Self::Other => "a value of another type",
            Self::Sum => "a sum or a joined text",
        }
    }

    /// A condition to write instead.
    pub fn instead(self) -> &'static str {
        match self {
            Self::Text | Self::Sum | Self::Other => "compare it, for example claims.team == 'search'",
            Self::Number => "compare it, for example size(claims.groups) > 0",
            Self::List => "write a claim before it, for example claims.team in ['search', 'ads']",
            Self::Map => "compare a member of it, for example claims.team == 'search'",
        }
    }
}

/// The kind of the values of `tree`, a whole expression, or of an operand of its conditions, if no value of it can be
/// true or false. `None` if one may be: the syntax does not decide the type of a claim.
pub(super) fn not_a_condition(tree: &IdedExpr) -> Option<NotACondition> {
    match &tree.expr {
        Expr::Call(call) => match (call.func_name.as_str(), call.args.as_slice()) {
            (operators::LOGICAL_AND | operators::LOGICAL_OR, sides) => sides.iter().find_map(not_a_condition),
            (operators::LOGICAL_NOT, [operand]) => not_a_condition(operand),
            (operators::CONDITIONAL, [condition, yes, no]) => {
                not_a_condition(condition).or_else(|| not_a_condition(no).and_then(|_| not_a_condition(yes)))
            }
            (function, _) => of_function(function),
        },
        Expr::Literal(LiteralValue::Boolean(_)) => None,
        Expr::Literal(LiteralValue::String(_)) => Some(NotACondition::Text),
        Expr::Literal(LiteralValue::Int(_) | LiteralValue::UInt(_) | LiteralValue::Double(_)) => {
            Some(NotACondition::Number)
        }
        Expr::Literal(_) => Some(NotACondition::Other),
        Expr::List(_) => Some(NotACondition::List),
        Expr::Map(_) => Some(NotACondition::Map),
        // The whole expression is not inside a comprehension, so the name is the gateway's variable.
        Expr::Ident(name) if name == "claims" => Some(NotACondition::Map),
        Expr::Select(select) if !select.test && is_issuer(&select.operand) => Some(NotACondition::Text),
        Expr::Comprehension(comprehension) => of_comprehension(comprehension),
        Expr::Ident(_) | Expr::Select(_) | Expr::Struct(_) | Expr::Unspecified => None,
    }
}

/// The value of `map` and `filter`; `exists`, `all` and `exists_one` are conditions.
fn of_comprehension(comprehension: &ComprehensionExpr) -> Option<NotACondition> {
    let is_result =
        matches!(&comprehension.result.expr, Expr::Ident(name) if *name == comprehension.accu_var);
    (is_result && matches!(comprehension.accu_init.expr, Expr::List(_))).then_some(NotACondition::List)
}

fn of_function(function: &str) -> Option<NotACondition> {
    Some(match function {
        PLUS => NotACondition::Sum,
        operators::SUBSTRACT
        | operators::MULTIPLY
        | operators::DIVIDE
        | operators::MODULO
        | operators::NEGATE => NotACondition::Number,
        _ => match function.trim_start_matches('@') {
            "charAt" | "extract" | "join" | "lowerAscii" | "replace" | "reverse" | "string" | "substring"
            | "trim" | "upperAscii" => NotACondition::Text,
            "double" | "indexOf" | "int" | "lastIndexOf" | "size" | "uint" => NotACondition::Number,
            "split" => NotACondition::List,
            "bytes" | "type" => NotACondition::Other,
            _ => return None,
        },
    })
}

fn is_issuer(operand: &IdedExpr) -> bool {
    matches!(&operand.expr, Expr::Ident(name) if name == "issuer")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expression::Expression;

    fn kind(source: &str) -> Option<NotACondition> {
        Expression::compile(source, &["x-project".to_owned()]).unwrap().not_a_condition()
    }

    #[test]
    fn what_can_be_neither_true_nor_false() {
        for (source, expected) in [
            ("'platform'", NotACondition::Text),
            ("issuer.name", NotACondition::Text),
            ("string(claims.admin)", NotACondition::Text),
            ("claims.groups.join(',')", NotACondition::Text),
            ("claims.team.lowerAscii()", NotACondition::Text),
            ("7", NotACondition::Number),
            ("size(claims.groups)", NotACondition::Number),
            ("claims.groups.size()", NotACondition::Number),
            ("claims.level - 1", NotACondition::Number),
            ("claims.level + 1", NotACondition::Sum),
            ("['a', 'b']", NotACondition::List),
            ("claims.groups.filter(g, g == 'a')", NotACondition::List),
            ("claims.groups.map(g, g == 'a')", NotACondition::List),
            ("claims.team.split(',')", NotACondition::List),
            ("{'a': true}", NotACondition::Map),
            ("claims", NotACondition::Map),
            ("null", NotACondition::Other),
            ("claims.team == 'a' || 'b'", NotACondition::Text),
            ("!(claims.level + 1)", NotACondition::Sum),
            ("claims.admin ? 'yes' : 'no'", NotACondition::Text),
        ] {
            assert_eq!(kind(source), Some(expected), "{source}");
        }
    }

    #[test]
    fn what_may_be_true_or_false() {
        for source in [
            "true",
            "claims.email_verified",
            "claims['admin']",
            "bool(claims.admin)",
            "has(claims.team)",
            "'a' in claims.groups",
            "claims.team in ['a', 'b']",
            "claims.level + 1 > 3",
            "claims.groups.exists(g, g == 'a')",
            "claims.groups.all(g, g.startsWith('a'))",
            "claims.groups.exists_one(g, g == 'a')",
            "claims.email.endsWith('@acme.org') && claims.email_verified",
            "{'a': true}[claims.team]",
            "claims.admin ? claims.a : false",
            "claims.admin ? true : 'no'",
            "request.headers['x-project'] == 'a'",
            "claims.flags[0]",
        ] {
            assert_eq!(kind(source), None, "{source}");
        }
    }
}
