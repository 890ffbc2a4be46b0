//! The check of an expression's syntax tree at load: every name in it must exist.

use std::collections::BTreeSet;

use cel::common::ast::{CallExpr, ComprehensionExpr, EntryExpr, Expr, IdedExpr, operators};

use super::functions::{self, literal};
use super::{DEEPEST, ExpressionError, MOST_NESTED};

/// The state of the check, and the claims that the expression reads.
pub(super) struct References<'a> {
    headers: &'a [String],
    /// The variables of the enclosing comprehensions.
    bound: Vec<String>,
    /// The number of levels above the current node.
    level: usize,
    /// The top-level claims that it reads; `None` if it may read any claim.
    pub(super) reads: Option<BTreeSet<String>>,
    pub(super) reads_headers: bool,
}

/// The variables that an expression can use.
#[derive(Clone, Copy)]
enum Root {
    Claims,
    Issuer,
    Request,
}

impl Root {
    /// The error for any use of the variable except the one that is allowed.
    fn misused(self) -> ExpressionError {
        match self {
            Self::Claims => ExpressionError::UnknownMember("claims", "claims.name"),
            Self::Issuer => ExpressionError::UnknownMember("issuer", "issuer.name"),
            Self::Request => {
                ExpressionError::UnknownMember("request", "request.headers['…'] with the name of a header")
            }
        }
    }
}

impl<'a> References<'a> {
    /// Checks `tree`, and points its calls at the gateway's own functions.
    pub(super) fn check(tree: &mut IdedExpr, headers: &'a [String]) -> Result<Self, ExpressionError> {
        let reads = Some(BTreeSet::new());
        let mut walk = Self { headers, bound: Vec::new(), level: 0, reads, reads_headers: false };
        walk.expression(tree, 0)?;
        Ok(walk)
    }

    fn expression(&mut self, node: &mut IdedExpr, nested: usize) -> Result<(), ExpressionError> {
        if self.level >= DEEPEST {
            return Err(ExpressionError::TooDeep);
        }
        self.level += 1;
        self.node(node, nested)?;
        self.level -= 1;
        Ok(())
    }

    fn node(&mut self, node: &mut IdedExpr, nested: usize) -> Result<(), ExpressionError> {
        match &mut node.expr {
            Expr::Unspecified | Expr::Literal(_) => Ok(()),
            Expr::Ident(name) => self.whole(name),
            Expr::Select(select) => self.member(&mut select.operand, Some(&select.field), nested),
            Expr::Call(call) => self.call(call, nested),
            Expr::List(list) => list.elements.iter_mut().try_for_each(|element| self.kept(element, nested)),
            Expr::Map(map) => map.entries.iter_mut().try_for_each(|entry| match &mut entry.expr {
                EntryExpr::StructField(field) => self.expression(&mut field.value, nested),
                EntryExpr::MapEntry(entry) => {
                    self.expression(&mut entry.key, nested)?;
                    self.kept(&mut entry.value, nested)
                }
            }),
            Expr::Struct(message) => Err(ExpressionError::UnknownName(message.type_name.clone())),
            Expr::Comprehension(comprehension) => self.comprehension(comprehension, nested),
        }
    }

    /// Checks a member of a list or a map.
    fn kept(&mut self, member: &mut IdedExpr, nested: usize) -> Result<(), ExpressionError> {
        self.wrapped(member, nested, functions::keep)
    }

    /// Checks `node`, and makes it the argument of one of the gateway's own functions. That call is one more level.
    fn wrapped(
        &mut self,
        node: &mut IdedExpr,
        nested: usize,
        wrap: impl FnOnce(&mut IdedExpr),
    ) -> Result<(), ExpressionError> {
        self.level += 1;
        self.expression(node, nested)?;
        self.level -= 1;
        wrap(node);
        Ok(())
    }

    /// Checks a variable without a member. Of the gateway's variables only `claims` may be used so, and then the
    /// expression reads all claims.
    fn whole(&mut self, name: &str) -> Result<(), ExpressionError> {
        if self.bound.iter().any(|bound| bound == name) {
            return Ok(());
        }
        match self.root(name) {
            Some(Root::Claims) => {
                self.reads = None;
                Ok(())
            }
            Some(root) => Err(root.misused()),
            None => Err(ExpressionError::UnknownName(name.to_owned())),
        }
    }

    /// Checks `operand.name` or `operand['name']`; `name` is `None` if it is computed.
    fn member(
        &mut self,
        operand: &mut IdedExpr,
        name: Option<&str>,
        nested: usize,
    ) -> Result<(), ExpressionError> {
        if self.is_headers(operand) {
            let name = name.ok_or_else(|| Root::Request.misused())?;
            self.reads_headers = true;
            let listed = self.headers.iter().any(|listed| listed == name);
            return listed.then_some(()).ok_or_else(|| ExpressionError::UnlistedHeader(name.to_owned()));
        }
        let root = match &operand.expr {
            Expr::Ident(variable) => self.root(variable),
            _ => None,
        };
        match (root, name) {
            (Some(Root::Claims), Some(name)) => {
                self.reads.as_mut().map(|reads| reads.insert(name.to_owned()));
                Ok(())
            }
            (Some(Root::Issuer), Some("name")) => Ok(()),
            (Some(root @ (Root::Issuer | Root::Request)), _) => Err(root.misused()),
            (Some(Root::Claims), None) | (None, _) => self.expression(operand, nested),
        }
    }

    fn call(&mut self, call: &mut CallExpr, nested: usize) -> Result<(), ExpressionError> {
        if call.func_name == operators::INDEX
            && let [operand, index] = call.args.as_mut_slice()
        {
            self.member(operand, literal(index), nested)?;
            return self.expression(index, nested);
        }
        functions::check(call)?;
        let parts = call.target.as_deref_mut().into_iter().chain(&mut call.args);
        parts.into_iter().try_for_each(|part| self.expression(part, nested))?;
        functions::point(call);
        Ok(())
    }

    fn comprehension(
        &mut self,
        comprehension: &mut ComprehensionExpr,
        nested: usize,
    ) -> Result<(), ExpressionError> {
        if nested >= MOST_NESTED {
            return Err(ExpressionError::TooNested);
        }
        self.wrapped(&mut comprehension.iter_range, nested, functions::order)?;
        let outer = self.bound.len();
        self.bound.push(comprehension.iter_var.clone());
        self.bound.extend(comprehension.iter_var2.clone());
        self.bound.push(comprehension.accu_var.clone());
        let parts = [
            &mut comprehension.accu_init,
            &mut comprehension.loop_cond,
            &mut comprehension.loop_step,
            &mut comprehension.result,
        ];
        parts.into_iter().try_for_each(|part| self.expression(part, nested + 1))?;
        self.bound.truncate(outer);
        Ok(())
    }

    /// The gateway's variable that `name` refers to here.
    fn root(&self, name: &str) -> Option<Root> {
        match name {
            _ if self.bound.iter().any(|bound| bound == name) => None,
            "claims" => Some(Root::Claims),
            "issuer" => Some(Root::Issuer),
            "request" => Some(Root::Request),
            _ => None,
        }
    }

    fn is_headers(&self, node: &IdedExpr) -> bool {
        let Expr::Select(select) = &node.expr else { return false };
        let Expr::Ident(name) = &select.operand.expr else { return false };
        !select.test && select.field == "headers" && matches!(self.root(name), Some(Root::Request))
    }
}
