//! A text alone beside `&&` or `||`: people write `team == 'a' || 'b'` for a comparison with both.

use cel::common::ast::{Expr, IdedExpr, operators};

use super::functions::literal;

/// A text alone beside `&&` or `||`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StrayText {
    pub text: String,
    /// The comparisons that were probably intended.
    pub intended: Option<String>,
}

pub(super) fn text(tree: &IdedExpr) -> Option<StrayText> {
    let Expr::Call(call) = &tree.expr else { return None };
    let sign = match call.func_name.as_str() {
        operators::LOGICAL_OR => "||",
        operators::LOGICAL_AND => "&&",
        _ => return None,
    };
    let Some(text) = call.args.iter().find_map(literal) else { return call.args.iter().find_map(self::text) };
    let compared = call.args.iter().rev().find_map(comparison);
    let intended = compared.map(|(value, first)| {
        let both = format!("{value} == '{first}' {sign} {value} == '{text}'");
        if sign == "||" { format!("{both}, or {value} in ['{first}', '{text}']") } else { both }
    });
    Some(StrayText { text: text.to_owned(), intended })
}

/// The claim and the text of `claim == 'text'`, also at the end of a chain of conditions.
fn comparison(node: &IdedExpr) -> Option<(String, &str)> {
    let Expr::Call(call) = &node.expr else { return None };
    match (call.func_name.as_str(), call.args.as_slice()) {
        (operators::EQUALS, [value, with]) => Some((path(value)?, literal(with)?)),
        (operators::LOGICAL_OR | operators::LOGICAL_AND, sides) => sides.iter().rev().find_map(comparison),
        _ => None,
    }
}

/// The node as the operator wrote it, if it is a name with members.
fn path(node: &IdedExpr) -> Option<String> {
    match &node.expr {
        Expr::Ident(name) => Some(name.clone()),
        Expr::Select(select) if !select.test => Some(format!("{}.{}", path(&select.operand)?, select.field)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use crate::expression::Expression;

    #[test]
    fn a_text_alone_is_compared_with_the_same_value() {
        let stray = |source: &str| Expression::compile(source, &[]).unwrap().stray_text();
        let or = stray("claims.team == 'ml' || 'ads'").unwrap();
        assert_eq!(or.text, "ads");
        let both = "claims.team == 'ml' || claims.team == 'ads', or claims.team in ['ml', 'ads']";
        assert_eq!(or.intended.as_deref(), Some(both));
        assert_eq!(stray("claims.admin && 'ads'").unwrap().intended, None);
        assert_eq!(stray("claims.team == 'ml' || claims.admin"), None);
        assert_eq!(stray("'ml'"), None);
    }
}
