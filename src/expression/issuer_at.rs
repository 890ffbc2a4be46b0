//! Whether the values of an expression prove which issuer they belong to.
//!
//! An issuer's name does not contain a separator. If a value begins with its issuer's name and a separator, the first
//! separator ends that name, whatever follows. So the value never equals one that begins with the name of another
//! issuer. The last separator does the same for values that end with the name. But a value that begins with the name
//! of one issuer can equal a value that ends with the name of another.

use cel::common::ast::{Expr, IdedExpr, LiteralValue, operators};

use super::functions::{PLUS, literal};

/// Characters that a session name can contain and an issuer's name cannot.
const SEPARATORS: [char; 4] = ['=', '+', ',', '@'];

/// The ends of a value at which its issuer's name appears, next to a separator or as the whole value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IssuerAt {
    pub start: bool,
    pub end: bool,
}

impl IssuerAt {
    pub const BOTH: Self = Self { start: true, end: true };

    /// The ends at which the values of both have the name.
    pub fn and(self, other: Self) -> Self {
        Self { start: self.start && other.start, end: self.end && other.end }
    }

    pub fn is_anywhere(self) -> bool {
        self.start || self.end
    }

    /// The ends at which the constant `text` has the name `issuer`.
    pub fn of_constant(text: &str, issuer: &str) -> Self {
        let (before, after) = (text.strip_suffix(issuer), text.strip_prefix(issuer));
        Self {
            start: after.is_some_and(|after| after.is_empty() || after.starts_with(SEPARATORS)),
            end: before.is_some_and(|before| before.is_empty() || before.ends_with(SEPARATORS)),
        }
    }

    /// The ends at which every possible value of `tree`, a whole expression, has the name.
    pub(super) fn of(tree: &IdedExpr) -> Self {
        match &tree.expr {
            // A null value is missing, so it does not become a name.
            Expr::Literal(LiteralValue::Null) => Self::BOTH,
            Expr::Call(call) if call.func_name == operators::CONDITIONAL => {
                call.args.iter().skip(1).map(Self::of).fold(Self::BOTH, Self::and)
            }
            _ => {
                let mut operands = Vec::new();
                collect_operands(tree, &mut operands);
                Self {
                    start: has_issuer_first(operands.iter().copied(), |text| text.starts_with(SEPARATORS)),
                    end: has_issuer_first(operands.iter().rev().copied(), |text| text.ends_with(SEPARATORS)),
                }
            }
        }
    }
}

/// Whether the first operand is the issuer's name, and the next operand, if there is one, is a text that begins or
/// ends with a separator.
fn has_issuer_first<'t>(
    mut operands: impl Iterator<Item = &'t IdedExpr>,
    separates: impl Fn(&str) -> bool,
) -> bool {
    operands.next().is_some_and(is_issuer_name)
        && operands.next().is_none_or(|beside| literal(beside).is_some_and(separates))
}

/// Collects the parts of a sum, in order. A sum that contains the issuer's name is a text, or fails.
fn collect_operands<'t>(node: &'t IdedExpr, operands: &mut Vec<&'t IdedExpr>) {
    match &node.expr {
        Expr::Call(call) if call.func_name == PLUS => {
            call.args.iter().for_each(|operand| collect_operands(operand, operands));
        }
        _ => operands.push(node),
    }
}

/// Whether `node` is `issuer.name` or `issuer['name']`. The name `issuer` cannot be a variable of a comprehension,
/// since the node is not inside one.
fn is_issuer_name(node: &IdedExpr) -> bool {
    let is_issuer = |operand: &IdedExpr| matches!(&operand.expr, Expr::Ident(name) if name == "issuer");
    match &node.expr {
        Expr::Select(select) => !select.test && select.field == "name" && is_issuer(&select.operand),
        Expr::Call(call) => match (call.func_name.as_str(), call.args.as_slice()) {
            (operators::INDEX, [operand, member]) => is_issuer(operand) && literal(member) == Some("name"),
            _ => false,
        },
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::expression::{Expression, Input};

    fn value(source: &str, issuer: &str, sub: &str) -> String {
        let claims = json!({ "sub": sub });
        let expression = Expression::compile(source, &[]).unwrap();
        let input = Input::new(claims.as_object().unwrap(), issuer, [], [&expression]).unwrap();
        input.string(&expression).unwrap().unwrap()
    }

    const AT_START: [&str; 5] = [
        "issuer.name + '=' + claims.sub",
        "issuer['name'] + ('@' + claims.sub)",
        "claims.sub == 'a' ? issuer.name + '+' + claims.sub : issuer.name",
        "issuer.name + ',' + claims.sub + '=' + issuer.name",
        "issuer.name",
    ];
    const AT_END: [&str; 5] = [
        "claims.sub + '=' + issuer.name",
        "claims.sub + ('@' + issuer['name'])",
        "claims.sub == 'a' ? claims.sub + '+' + issuer.name : issuer.name",
        "issuer.name + ',' + claims.sub + '=' + issuer.name",
        "issuer.name",
    ];

    #[test]
    fn the_ends_with_the_issuers_name_are_found() {
        let at = |source: &str| IssuerAt::of(&Expression::compile(source, &[]).unwrap().tree);
        assert!(AT_START.into_iter().all(|source| at(source).start));
        assert!(AT_END.into_iter().all(|source| at(source).end));
        assert_eq!(at(AT_START[0]), IssuerAt { start: true, end: false });
        assert_eq!(at(AT_END[0]), IssuerAt { start: false, end: true });
        assert!(!at("issuer.name + '-' + claims.sub").is_anywhere());
        // A name at the start can equal a name at the end.
        assert_eq!(value(AT_START[0], "okta", "a=entra"), value(AT_END[0], "entra", "okta=a"));
    }

    proptest! {
        #[test]
        fn names_of_two_issuers_are_never_equal(
            one in "[ab.-]{1,4}", another in "[ab.-]{1,4}", sub in "[ab.=+,@-]{0,8}", other_sub in "[ab.=+,@-]{0,8}",
            first in 0..5_usize, second in 0..5_usize,
        ) {
            prop_assume!(one != another);
            for shapes in [AT_START, AT_END] {
                let (name, other) = (value(shapes[first], &one, &sub), value(shapes[second], &another, &other_sub));
                prop_assert_ne!(name, other);
            }
        }
    }
}
