//! CEL expressions over a token's claims: compiled and checked at load, evaluated with bounds.
//!
//! Unknown names would fail only when a caller's request reaches them, so the syntax tree is walked at
//! load and they are refused. Expressions are the operator's; what they are evaluated over is not, so
//! what could make one expensive is refused too, deep comprehensions and computed regular expressions, and
//! what one evaluation puts together is bounded.
//!
//! `Cargo.toml` pins one version of `cel`. The evaluation reads how the parser writes out `exists`, `all` and
//! `exists_one`, and the budget is a thread-local that the library's functions pay from. Neither is a promise
//! of the library, so a new version gets a review of both.

use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock};
use std::thread;

use cel::common::ast::IdedExpr;
use cel::{Env, extensions};

pub use self::evaluation::{EvaluationError, Outcome};
pub use self::input::{ClaimsTooLarge, Input, InputError, Truth};
pub use self::issuer_at::IssuerAt;
use self::references::References;

mod budget;
mod evaluation;
mod functions;
mod input;
mod issuer_at;
mod references;
mod text;

/// Longest expression, bytes.
const LONGEST: usize = 4096;
/// A comprehension within a comprehension and nothing further: over 1,000 nodes, a million steps.
const MOST_NESTED: usize = 2;
/// Most levels of the syntax tree. Evaluation descends it on the stack of whoever serves the request.
const DEEPEST: usize = 32;
/// The parser may descend 96 levels, in debug builds of more than 100 KiB each: it gets a stack of its own.
const PARSER_STACK: usize = 64 << 20;

/// An expression that uses only what is there.
#[derive(Debug)]
pub struct Expression {
    source: String,
    tree: IdedExpr,
    /// The top-level claims it reads; `None` where it reads them by a computed name.
    reads: Option<BTreeSet<String>>,
}

impl PartialEq for Expression {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

/// Why an expression is rejected at load. The words are for the operator.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExpressionError {
    #[error("not a CEL expression: {0}")]
    Syntax(String),
    #[error("the expression has {0} bytes; the limit is {LONGEST}")]
    TooLong(usize),
    #[error(
        "there is no `{0}`; an expression can use claims, issuer.name and request.headers['…'], \
         and a text is written in single quotes: '{0}'"
    )]
    UnknownName(String),
    #[error("there is no function `{0}`; the functions are {names}", names = functions::names())]
    UnknownFunction(String),
    #[error("a function is called with the wrong arguments; write {0}")]
    WrongCall(String),
    #[error("`{0}` can only be used as `{1}`")]
    UnknownMember(&'static str, &'static str),
    #[error("the header `{0}` is not in the issuer's request_headers; add it there")]
    UnlistedHeader(String),
    #[error("a regular expression must be written out as a string; it cannot be computed")]
    ComputedRegex,
    #[error("invalid regular expression: {0}")]
    Regex(String),
    #[error("map, filter, exists and all are nested more than {MOST_NESTED} deep")]
    TooNested,
    #[error(
        "the expression is more than {DEEPEST} levels deep; replace a long chain of conditions by a map, \
         for example {{'a': 'b'}}[claims.c]"
    )]
    TooDeep,
}

static ENVIRONMENT: LazyLock<Arc<Env>> = LazyLock::new(|| {
    let mut env = Env::stdlib().with_optional_support(false);
    // An error would say that a function is declared twice; a test calls every function there is.
    let _declared =
        env.add_extension(extensions::strings).and_then(|()| functions::declare(&mut env)).is_ok();
    Arc::new(env)
});

impl Expression {
    /// Compiles `source`. `request_headers` are the names, in lower case, that it may read.
    ///
    /// # Errors
    /// When it is not CEL, uses a name or function that is not there, or could be expensive.
    pub fn compile(source: &str, request_headers: &[String]) -> Result<Self, ExpressionError> {
        if source.len() > LONGEST {
            return Err(ExpressionError::TooLong(source.len()));
        }
        let mut tree = parse(source)?;
        let reads = References::check(&mut tree, request_headers)?;
        Ok(Self { source: source.to_owned(), tree, reads })
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

    /// Where its values name the caller's issuer.
    pub fn issuer_at(&self) -> IssuerAt {
        IssuerAt::of(&self.tree)
    }

    /// Whether it is true; `None` where it is missing. An error, where the evaluation fails or comes to
    /// anything but true or false.
    fn truth(&self, input: &Input<'_>) -> Result<Option<bool>, EvaluationError> {
        budget::whole(|| evaluation::truth(&self.tree, &input.values))
    }

    /// An error, where the evaluation fails in any way but by something missing.
    fn evaluate(&self, input: &Input<'_>) -> Result<Outcome, EvaluationError> {
        budget::whole(|| evaluation::evaluate(&self.tree, &input.values))
    }
}

fn parse(source: &str) -> Result<IdedExpr, ExpressionError> {
    let parsed = thread::scope(|scope| {
        let parser = thread::Builder::new().stack_size(PARSER_STACK);
        let parser = parser.spawn_scoped(scope, || ENVIRONMENT.parser().parse(source));
        parser.ok()?.join().ok()
    });
    let message = match parsed {
        Some(Ok(tree)) => return Ok(tree),
        Some(Err(error)) => syntax_message(&error.to_string()),
        None => "the parser failed".to_owned(),
    };
    Err(ExpressionError::Syntax(message))
}

/// Operators of other languages: what the parser's message holds, the operator, and CEL's own.
const FOREIGN_OPERATORS: [(&str, &str, &str); 3] =
    [("at: '=", "=", "=="), ("input 'and' ", "and", "&&"), ("input 'or' ", "or", "||")];

/// The first of the parser's errors, with its line and column in the expression.
fn syntax_message(errors: &str) -> String {
    let first = errors.lines().next().unwrap_or_default();
    let first = first.strip_prefix("ERROR: <input>:").unwrap_or(first);
    let (at, message) = first.split_once(": ").unwrap_or(("", first));
    match FOREIGN_OPERATORS.iter().find(|(sign, ..)| message.contains(sign)) {
        Some((_, foreign, own)) => format!("{at}: \"{foreign}\" is not an operator; write \"{own}\""),
        None => format!("{at}: {}", message.strip_prefix("Syntax error: ").unwrap_or(message)),
    }
}

#[cfg(test)]
mod tests;
