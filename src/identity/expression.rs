//! CEL expressions over a token's claims: compiled and checked at load, evaluated with bounds.
//!
//! Unknown names would fail only when a caller's request reaches them, so the syntax tree is walked
//! here and they are refused. Expressions are the operator's; what they are evaluated over is not, so
//! what could make one expensive is refused too: deep comprehensions and computed regular expressions.

use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock};

use cel::common::ast::{EntryExpr, Expr, IdedExpr, LiteralValue};
use cel::{Context, Env, ExecutionError, Program, Value, extensions};

/// Longest expression, bytes.
const LONGEST: usize = 4096;
/// A comprehension within a comprehension within nothing further: over 1,000 nodes, a million steps.
const DEEPEST: usize = 2;
/// What an expression sees.
const VARIABLES: [&str; 3] = ["claims", "issuer", "request"];

/// An expression that uses only what is there.
#[derive(Debug)]
pub struct Expression {
    source: String,
    program: Program,
    /// The top-level claims it reads; `None` where it reads them by a computed name.
    reads: Option<BTreeSet<String>>,
}

impl PartialEq for Expression {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

/// Why an expression is refused at load.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExpressionError {
    #[error("it is not CEL: {0}")]
    Syntax(String),
    #[error("it is longer than {LONGEST} bytes")]
    TooLong,
    #[error("there is no `{0}`; there are claims, issuer.name and request.headers['…']")]
    UnknownName(String),
    #[error("there is no function `{0}`")]
    UnknownFunction(String),
    #[error("of `{0}` only `{1}` is there")]
    UnknownMember(&'static str, &'static str),
    #[error("the header `{0}` is not among the issuer's request_headers")]
    UnlistedHeader(String),
    #[error("a regular expression is written out as a string, not computed")]
    ComputedRegex,
    #[error("the regular expression is wrong: {0}")]
    Regex(String),
    #[error("comprehensions nest at most {DEEPEST} deep")]
    TooDeep,
}

/// What an evaluation came to.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    Value(Value),
    /// A missing key, an index beyond the end, or null.
    Missing,
}

/// An evaluation that failed: not missing, but wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct EvaluationError(pub String);

static ENVIRONMENT: LazyLock<Arc<Env>> = LazyLock::new(|| {
    let mut env = Env::stdlib();
    // An error would say that a function is declared twice, which the tests of this file would show.
    let _declared = env.add_extension(extensions::strings).is_ok();
    Arc::new(env)
});

/// The values an expression is evaluated over.
pub struct Inputs<'a>(Context<'a, 'a>);

impl std::fmt::Debug for Inputs<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Inputs")
    }
}

impl Inputs<'_> {
    /// The claims, the listed headers by name, and the issuer's configured name.
    ///
    /// # Errors
    /// When the JSON has no counterpart in CEL.
    pub fn new(
        claims: &serde_json::Value,
        issuer: &str,
        headers: &serde_json::Value,
    ) -> Result<Self, EvaluationError> {
        let cel =
            |json| cel::to_value(json).map_err(|_| EvaluationError("the claims are no CEL value".to_owned()));
        let (claims, headers) = (cel(claims)?, cel(headers)?);
        let mut context = Context::with_env(Arc::clone(&ENVIRONMENT));
        context.add_variable_from_value("claims", claims);
        context.add_variable_from_value(
            "issuer",
            std::collections::HashMap::from([("name", issuer.to_owned())]),
        );
        context.add_variable_from_value("request", std::collections::HashMap::from([("headers", headers)]));
        Ok(Self(context))
    }
}

impl Expression {
    /// Compiles `source`. `request_headers` are the names, in lower case, that it may read.
    ///
    /// # Errors
    /// When it is not CEL, uses a name or function that is not there, or could be expensive.
    pub fn compile(source: &str, request_headers: &[String]) -> Result<Self, ExpressionError> {
        if source.len() > LONGEST {
            return Err(ExpressionError::TooLong);
        }
        let program =
            ENVIRONMENT.compile(source).map_err(|error| ExpressionError::Syntax(first_line(&error)))?;
        let mut walk = Walk { headers: request_headers, bound: Vec::new(), reads: Some(BTreeSet::new()) };
        walk.expression(program.expression(), 0)?;
        let reads = walk.reads;
        Ok(Self { source: source.to_owned(), program, reads })
    }

    pub fn source(&self) -> &str {
        &self.source
    }

    /// Whether it may read the top-level claim `name`.
    pub fn reads(&self, name: &str) -> bool {
        self.reads.as_ref().is_none_or(|reads| reads.contains(name))
    }

    /// The top-level claims it reads, where they are written out.
    pub fn claims_read(&self) -> impl Iterator<Item = &str> {
        self.reads.iter().flatten().map(String::as_str)
    }

    /// Whether it is true; `None` where it is missing.
    ///
    /// # Errors
    /// When the evaluation fails, or comes to anything but true or false.
    pub fn truth(&self, inputs: &Inputs<'_>) -> Result<Option<bool>, EvaluationError> {
        match self.evaluate(inputs)? {
            Outcome::Value(Value::Bool(truth)) => Ok(Some(truth)),
            Outcome::Missing => Ok(None),
            Outcome::Value(_) => Err(EvaluationError("it is not true or false".to_owned())),
        }
    }

    /// # Errors
    /// When the evaluation fails in any way but by something missing.
    pub fn evaluate(&self, inputs: &Inputs<'_>) -> Result<Outcome, EvaluationError> {
        match self.program.execute(&inputs.0) {
            Ok(Value::Null) | Err(ExecutionError::NoSuchKey(_) | ExecutionError::IndexOutOfBounds(_)) => {
                Ok(Outcome::Missing)
            }
            Ok(value) => Ok(Outcome::Value(value)),
            // The library's text holds the values at fault, which are the caller's claims.
            Err(error) => Err(EvaluationError(kind(&error).to_owned())),
        }
    }
}

fn kind(error: &ExecutionError) -> &'static str {
    match error {
        ExecutionError::NoSuchOverload(_) => "an operator or function does not take these types",
        ExecutionError::UndeclaredReference(_) => "a name is not there",
        ExecutionError::FunctionError { .. } => "a function failed",
        ExecutionError::UnexpectedType { .. } | ExecutionError::UnsupportedTargetType { .. } => {
            "a value has another type"
        }
        ExecutionError::DivisionByZero(_) | ExecutionError::RemainderByZero(_) => "a division by zero",
        _ => "the evaluation failed",
    }
}

fn first_line(error: &impl std::fmt::Display) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}

/// The walk over the syntax tree.
struct Walk<'a> {
    headers: &'a [String],
    /// Variables of the comprehensions around.
    bound: Vec<String>,
    reads: Option<BTreeSet<String>>,
}

impl Walk<'_> {
    fn expression(&mut self, node: &IdedExpr, depth: usize) -> Result<(), ExpressionError> {
        match &node.expr {
            Expr::Unspecified | Expr::Literal(_) => Ok(()),
            Expr::Ident(name) => self.identifier(name),
            Expr::Select(select) => {
                if let Some(root) = self.root(&select.operand) {
                    return self.member(&root, &select.field);
                }
                if self.is_headers(&select.operand) {
                    return self.header(&select.field);
                }
                self.expression(&select.operand, depth)
            }
            Expr::Call(call) => {
                if call.func_name == "_[_]"
                    && let [operand, index] = call.args.as_slice()
                {
                    return self.index(operand, index, depth);
                }
                function(&call.func_name, call.target.is_some())?;
                if call.func_name == "matches" {
                    regex_is_literal(call.args.last())?;
                }
                for part in call.target.as_deref().into_iter().chain(&call.args) {
                    self.expression(part, depth)?;
                }
                Ok(())
            }
            Expr::List(list) => list.elements.iter().try_for_each(|element| self.expression(element, depth)),
            Expr::Map(map) => map.entries.iter().try_for_each(|entry| self.entry(&entry.expr, depth)),
            Expr::Struct(message) => Err(ExpressionError::UnknownName(message.type_name.clone())),
            Expr::Comprehension(comprehension) => {
                if depth >= DEEPEST {
                    return Err(ExpressionError::TooDeep);
                }
                self.expression(&comprehension.iter_range, depth)?;
                let outer = self.bound.len();
                self.bound.push(comprehension.iter_var.clone());
                self.bound.extend(comprehension.iter_var2.clone());
                self.bound.push(comprehension.accu_var.clone());
                for part in [
                    &comprehension.accu_init,
                    &comprehension.loop_cond,
                    &comprehension.loop_step,
                    &comprehension.result,
                ] {
                    self.expression(part, depth + 1)?;
                }
                self.bound.truncate(outer);
                Ok(())
            }
        }
    }

    fn entry(&mut self, entry: &EntryExpr, depth: usize) -> Result<(), ExpressionError> {
        match entry {
            EntryExpr::StructField(field) => self.expression(&field.value, depth),
            EntryExpr::MapEntry(entry) => {
                self.expression(&entry.key, depth)?;
                self.expression(&entry.value, depth)
            }
        }
    }

    /// A variable on its own: only `claims` may be used whole, and then everything counts as read.
    fn identifier(&mut self, name: &str) -> Result<(), ExpressionError> {
        if self.bound.iter().any(|bound| bound == name) {
            return Ok(());
        }
        match name {
            "claims" => {
                self.reads = None;
                Ok(())
            }
            "issuer" => Err(ExpressionError::UnknownMember("issuer", "issuer.name")),
            "request" => Err(ExpressionError::UnknownMember("request", "request.headers['…']")),
            _ => Err(ExpressionError::UnknownName(name.to_owned())),
        }
    }

    /// The variable that `node` is, if it is one of ours.
    fn root(&self, node: &IdedExpr) -> Option<String> {
        match &node.expr {
            Expr::Ident(name) if VARIABLES.contains(&name.as_str()) && !self.bound.contains(name) => {
                Some(name.clone())
            }
            _ => None,
        }
    }

    fn member(&mut self, root: &str, field: &str) -> Result<(), ExpressionError> {
        match (root, field) {
            ("claims", _) => {
                if let Some(reads) = &mut self.reads {
                    reads.insert(field.to_owned());
                }
                Ok(())
            }
            ("issuer", "name") => Ok(()),
            ("issuer", _) => Err(ExpressionError::UnknownMember("issuer", "issuer.name")),
            _ => Err(ExpressionError::UnknownMember("request", "request.headers['…']")),
        }
    }

    fn is_headers(&self, node: &IdedExpr) -> bool {
        match &node.expr {
            Expr::Select(select) => {
                select.field == "headers" && self.root(&select.operand).as_deref() == Some("request")
            }
            _ => false,
        }
    }

    fn header(&self, name: &str) -> Result<(), ExpressionError> {
        if self.headers.iter().any(|listed| listed == name) {
            Ok(())
        } else {
            Err(ExpressionError::UnlistedHeader(name.to_owned()))
        }
    }

    fn index(&mut self, operand: &IdedExpr, index: &IdedExpr, depth: usize) -> Result<(), ExpressionError> {
        let literal = match &index.expr {
            Expr::Literal(LiteralValue::String(text)) => Some(text.inner().to_owned()),
            _ => None,
        };
        if self.is_headers(operand) {
            return match literal {
                Some(name) => self.header(&name),
                None => Err(ExpressionError::UnknownMember(
                    "request",
                    "request.headers['…'], its name written out",
                )),
            };
        }
        if let (Some(root), Some(field)) = (self.root(operand), literal) {
            return self.member(&root, &field);
        }
        self.expression(operand, depth)?;
        self.expression(index, depth)
    }
}

fn function(name: &str, method: bool) -> Result<(), ExpressionError> {
    const OPERATORS_AND_STANDARD: &[&str] = &[
        "!_",
        "-_",
        "@in",
        "@not_strictly_false",
        "_!=_",
        "_%_",
        "_&&_",
        "_*_",
        "_+_",
        "_-_",
        "_/_",
        "_<=_",
        "_<_",
        "_==_",
        "_>=_",
        "_>_",
        "_?_:_",
        "_||_",
        "bool",
        "bytes",
        "contains",
        "double",
        "dyn",
        "endsWith",
        "int",
        "matches",
        "max",
        "min",
        "size",
        "startsWith",
        "string",
        "type",
        "uint",
    ];
    const STRINGS: &[&str] = &[
        "charAt",
        "indexOf",
        "join",
        "lastIndexOf",
        "lowerAscii",
        "replace",
        "reverse",
        "split",
        "substring",
        "trim",
        "upperAscii",
    ];
    if OPERATORS_AND_STANDARD.contains(&name) || (method && STRINGS.contains(&name)) {
        Ok(())
    } else {
        Err(ExpressionError::UnknownFunction(name.to_owned()))
    }
}

fn regex_is_literal(argument: Option<&IdedExpr>) -> Result<(), ExpressionError> {
    match argument.map(|argument| &argument.expr) {
        Some(Expr::Literal(LiteralValue::String(pattern))) => {
            regex::Regex::new(pattern.inner()).map(|_| ()).map_err(|error| {
                ExpressionError::Regex(error.to_string().lines().last().unwrap_or_default().to_owned())
            })
        }
        _ => Err(ExpressionError::ComputedRegex),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn evaluate(source: &str, claims: &serde_json::Value) -> Result<Outcome, EvaluationError> {
        let inputs = Inputs::new(claims, "acme", &json!({ "x-project": "apollo" })).unwrap();
        Expression::compile(source, &["x-project".to_owned()]).unwrap().evaluate(&inputs)
    }

    fn text(source: &str, claims: &serde_json::Value) -> String {
        match evaluate(source, claims) {
            Ok(Outcome::Value(Value::String(text))) => text.to_string(),
            other => panic!("{source}: {other:?}"),
        }
    }

    fn refusal(source: &str) -> ExpressionError {
        Expression::compile(source, &["x-project".to_owned()]).unwrap_err()
    }

    #[test]
    fn what_operators_write() {
        let claims = json!({
            "email": "Alice@Acme.org", "groups": ["dev", "cc-42"], "projects": ["apollo"], "n": 7,
            "https://acme/x": { "team": "search" },
        });
        assert_eq!(text("claims.groups.filter(g, g.startsWith('cc-'))[0]", &claims), "cc-42");
        assert_eq!(text("claims['https://acme/x'].team", &claims), "search");
        assert_eq!(text("claims.email.lowerAscii()", &claims), "alice@acme.org");
        assert_eq!(text("claims.groups.join('+')", &claims), "dev+cc-42");
        assert_eq!(text("claims.email.split('@')[1]", &claims), "Acme.org");
        assert_eq!(text("issuer.name", &claims), "acme");
        let project = "request.headers['x-project'] in claims.projects ? request.headers['x-project'] : null";
        assert_eq!(text(project, &claims), "apollo");
        assert_eq!(evaluate("'dev' in claims.groups", &claims), Ok(Outcome::Value(Value::Bool(true))));
        assert_eq!(
            evaluate("claims.email.matches('^[A-Z]')", &claims),
            Ok(Outcome::Value(Value::Bool(true)))
        );
        assert_eq!(evaluate("has(claims.email)", &claims), Ok(Outcome::Value(Value::Bool(true))));
    }

    #[test]
    fn missing_is_not_an_error_and_an_error_is_not_missing() {
        let claims = json!({ "groups": [], "n": 7 });
        for missing in
            ["claims.email", "claims.groups[0]", "claims.a.b", "null", "claims.groups.filter(g, g == 'x')[0]"]
        {
            assert_eq!(evaluate(missing, &claims), Ok(Outcome::Missing), "{missing}");
        }
        for error in ["claims.n.startsWith('x')", "claims.n / 0", "claims.n + 'x'"] {
            assert!(evaluate(error, &claims).is_err(), "{error}");
        }
    }

    #[test]
    fn what_would_fail_at_a_request_is_refused_at_load() {
        assert!(matches!(refusal("claims."), ExpressionError::Syntax(_)));
        assert!(matches!(refusal("claim.email"), ExpressionError::UnknownName(_)));
        assert!(matches!(refusal("claims.email.toLower()"), ExpressionError::UnknownFunction(_)));
        assert!(matches!(refusal("issuer.url"), ExpressionError::UnknownMember(..)));
        assert!(matches!(refusal("request.path"), ExpressionError::UnknownMember(..)));
        assert!(matches!(refusal("request.headers"), ExpressionError::UnknownMember(..)));
        assert!(matches!(refusal("request.headers['cookie']"), ExpressionError::UnlistedHeader(_)));
        assert!(matches!(refusal("request.headers[claims.h]"), ExpressionError::UnknownMember(..)));
        assert!(matches!(refusal("claims.a.matches(claims.b)"), ExpressionError::ComputedRegex));
        assert!(matches!(refusal("claims.a.matches('(')"), ExpressionError::Regex(_)));
        let nested = "claims.a.map(x, claims.a.map(y, claims.a.map(z, z)))";
        assert_eq!(refusal(nested), ExpressionError::TooDeep);
        assert_eq!(refusal(&format!("'{}'", "x".repeat(5000))), ExpressionError::TooLong);
    }

    #[test]
    fn which_claims_are_read_is_known() {
        let reads = |source: &str, claim: &str| Expression::compile(source, &[]).unwrap().reads(claim);
        assert!(reads("claims.groups.exists(g, g == 'x')", "groups"));
        assert!(reads("'x' in claims['groups']", "groups"));
        assert!(!reads("claims.email", "groups"));
        assert!(reads("claims.map(k, k)[0]", "groups"));
    }
}
