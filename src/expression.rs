//! CEL expressions over a token's claims: compiled and checked at load, evaluated within limits.
//!
//! An unknown name would fail only when a request reaches it. So the syntax tree is checked at load, and an unknown
//! name is an error there. The operator writes the expressions, but callers choose the claims. So an expression that
//! claims could make expensive is rejected at load as well: deep comprehensions and computed regular expressions.
//! The amount of data that one evaluation builds has a limit.
//!
//! `Cargo.toml` pins one version of `cel`. The evaluation depends on how the parser expands `exists`, `all` and
//! `exists_one`, and the library's functions pay from a budget in a thread-local. The library promises neither, so
//! both must be reviewed before an upgrade.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::{Arc, LazyLock};
use std::thread;

use cel::common::ast::IdedExpr;
use cel::{Env, extensions};

pub use self::budget::at_once;
pub use self::evaluation::{EvaluationError, Outcome};
pub use self::input::{ClaimsTooLarge, Input, InputError, Truth};
pub use self::issuer_at::IssuerAt;
pub use self::kind::NotACondition;
pub use self::misuse::{RegexFault, WrongCall};
use self::references::References;
pub use self::stray::StrayText;
pub use self::syntax::SyntaxFault;
use crate::spelling::similar;

mod budget;
mod evaluation;
mod functions;
mod input;
mod issuer_at;
mod kind;
mod misuse;
mod place;
mod references;
mod stray;
mod syntax;
mod text;

/// The longest expression, in bytes.
const LONGEST: usize = 4096;
/// The deepest nesting of comprehensions. Two levels over 1,000 nodes are a million steps, the limit of the budget.
const MOST_NESTED: usize = 2;
/// Most levels of the syntax tree. Evaluation recurses on the stack of the thread that serves the request.
const DEEPEST: usize = 32;
/// The stack of the parser's own thread. The parser recurses up to 96 levels deep; in debug builds each level takes
/// more than 100 KiB.
const PARSER_STACK: usize = 64 << 20;

/// An expression that uses only names and functions that exist.
#[derive(Debug)]
pub struct Expression {
    source: String,
    tree: IdedExpr,
    /// The top-level claims that it reads; `None` if it reads any by a computed name.
    reads: Option<BTreeSet<String>>,
    reads_headers: bool,
}

impl PartialEq for Expression {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

/// Why an expression is rejected at load. The words are for the operator; [`help`](Self::help) says what to write.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExpressionError {
    #[error("not a CEL expression: {0}")]
    Syntax(SyntaxFault),
    #[error("the expression has {0} bytes; the limit is {LONGEST}")]
    TooLong(usize),
    #[error("there is no `{0}`")]
    UnknownName(String),
    #[error("there is no function `{0}`")]
    UnknownFunction(String),
    #[error("{0}")]
    WrongCall(WrongCall),
    /// The variable, and its only use.
    #[error("`{0}` cannot be used like this")]
    UnknownMember(&'static str, &'static str),
    #[error("the header `{0}` is not in the issuer's request_headers")]
    UnlistedHeader(String),
    #[error("a regular expression is computed")]
    ComputedRegex,
    #[error("{0}")]
    Regex(RegexFault),
    #[error("map, filter, exists and all are nested more than {MOST_NESTED} deep")]
    TooNested,
    #[error("the expression is more than {DEEPEST} levels deep")]
    TooDeep,
}

impl ExpressionError {
    /// The part of `source`, the expression, that it is about, in bytes; `None` for the whole.
    pub fn part(&self, source: &str) -> Option<Range<usize>> {
        match self {
            Self::Syntax(fault) => place::token(source, fault.place?),
            Self::UnknownName(name) | Self::UnknownFunction(name) | Self::UnlistedHeader(name) => {
                place::word(source, name)
            }
            Self::WrongCall(call) => place::word(source, &call.function),
            Self::UnknownMember(name, _) => place::word(source, name),
            Self::Regex(fault) => source.find(&fault.pattern).map(|at| at..at + fault.pattern.len()),
            Self::TooLong(_) | Self::ComputedRegex | Self::TooNested | Self::TooDeep => None,
        }
    }

    /// The next step for the operator.
    pub fn help(&self) -> String {
        match self {
            Self::Syntax(fault) => fault.help.clone(),
            Self::TooLong(_) => "shorten it".to_owned(),
            Self::UnknownName(name) => match similar(name, ["claims", "issuer", "request"]) {
                Some(intended) => format!("did you mean `{intended}`?"),
                None => format!(
                    "for the text write '{name}' in single quotes, and for the claim write claims.{name}"
                ),
            },
            Self::UnknownFunction(name) => match functions::intended(name) {
                Some(intended) => format!("did you mean `{intended}`?"),
                None => format!("the functions are {}", functions::names()),
            },
            Self::WrongCall(call) => format!("write, for example, {}", call.example),
            Self::UnknownMember(_, usage) => format!("write {usage}"),
            Self::UnlistedHeader(name) => {
                format!("add it to the [[issuer]], for example request_headers = [\"{name}\"]")
            }
            Self::ComputedRegex => "write it out as a string".to_owned(),
            Self::Regex(fault) => fault.help(),
            Self::TooNested => "use fewer levels".to_owned(),
            Self::TooDeep => {
                "replace a long chain of conditions by a map, for example {'a': 'b'}[claims.c]".to_owned()
            }
        }
    }
}

static ENVIRONMENT: LazyLock<Arc<Env>> = LazyLock::new(|| {
    let mut env = Env::stdlib().with_optional_support(false);
    // The only possible error is a duplicate declaration. A test calls every function.
    let _declared =
        env.add_extension(extensions::strings).and_then(|()| functions::declare(&mut env)).is_ok();
    Arc::new(env)
});

impl Expression {
    /// Compiles `source`. `request_headers` are the names, in lower case, of the headers that it may read.
    ///
    /// # Errors
    /// When it is not CEL, uses an unknown name or function, or could be expensive.
    pub fn compile(source: &str, request_headers: &[String]) -> Result<Self, ExpressionError> {
        if source.len() > LONGEST {
            return Err(ExpressionError::TooLong(source.len()));
        }
        let mut tree = parse(source)?;
        let References { reads, reads_headers, .. } = References::check(&mut tree, request_headers)?;
        Ok(Self { source: source.to_owned(), tree, reads, reads_headers })
    }

    pub fn source(&self) -> &str {
        &self.source
    }

    /// Whether it may read the top-level claim `name`.
    pub fn reads(&self, name: &str) -> bool {
        self.reads.as_ref().is_none_or(|reads| reads.contains(name))
    }

    /// The top-level claims that it reads; none if it reads any by a computed name.
    pub fn claims_read(&self) -> impl Iterator<Item = &str> {
        self.reads.iter().flatten().map(String::as_str)
    }

    /// Whether it reads a header of the request, which the caller chooses.
    pub fn reads_headers(&self) -> bool {
        self.reads_headers
    }

    /// Whether its value is the same for all callers of an issuer.
    pub fn is_constant(&self) -> bool {
        !self.reads_headers && self.reads.as_ref().is_some_and(BTreeSet::is_empty)
    }

    /// The kind of its values, if its syntax shows that it can be neither true nor false.
    pub fn not_a_condition(&self) -> Option<NotACondition> {
        kind::not_a_condition(&self.tree)
    }

    /// A text that stands alone beside `&&` or `||`, if there is one.
    pub fn stray_text(&self) -> Option<StrayText> {
        stray::text(&self.tree)
    }

    /// The ends of its values at which the name of the caller's issuer appears.
    pub fn issuer_at(&self) -> IssuerAt {
        IssuerAt::of(&self.tree)
    }

    /// Whether it is true; `None` if the value is missing.
    ///
    /// # Errors
    /// When the evaluation fails, or its value is neither true nor false.
    fn truth(&self, input: &Input<'_>) -> Result<Option<bool>, EvaluationError> {
        budget::whole(input.size, EvaluationError::too_many_steps, || {
            evaluation::truth(&self.tree, &input.values)
        })
    }

    /// The value of the expression.
    ///
    /// # Errors
    /// When the evaluation fails. A missing value is not an error.
    fn evaluate(&self, input: &Input<'_>) -> Result<Outcome, EvaluationError> {
        budget::whole(input.size, EvaluationError::too_many_steps, || {
            evaluation::evaluate(&self.tree, &input.values)
        })
    }
}

fn parse(source: &str) -> Result<IdedExpr, ExpressionError> {
    let parsed = thread::scope(|scope| {
        let parser = thread::Builder::new().stack_size(PARSER_STACK);
        let parser = parser.spawn_scoped(scope, || ENVIRONMENT.parser().parse(source));
        parser.ok()?.join().ok()
    });
    Err(match parsed {
        Some(Ok(tree)) => return Ok(tree),
        Some(Err(errors)) => syntax::fault(source, &errors.to_string()),
        None => syntax::fault(source, "the parser failed"),
    })
}

#[cfg(test)]
mod tests;
