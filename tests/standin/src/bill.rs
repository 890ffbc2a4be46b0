//! The bill: a ledger by principal, tags, region, model and kind of token, and every correctly signed call.
//!
//! The ledger is shown as rows of a CUR 2.0 export. The prices are invented (see `bill/product.rs`); everything else
//! follows AWS's documentation.

mod call;
mod operation;
mod product;
mod row;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

pub use call::Call;
pub use operation::{Operation, Service};
pub use row::Row;

use product::{Prices, Product};

const HOUR: Duration = Duration::from_hours(1);

/// The ledger and the calls. Bedrock writes both.
#[derive(Debug, Default)]
pub struct Bill {
    books: Mutex<Books>,
}

#[derive(Debug, Default)]
struct Books {
    calls: Vec<Arc<Call>>,
    /// The number of tokens of each item.
    ledger: BTreeMap<Item, u64>,
}

/// The tokens that a call has used. `input` does not include tokens that were read from or written to the cache.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    pub input: u64,
    pub output: u64,
    pub cache_read: u64,
    pub cache_write: u64,
}

/// The key of a row. Rows are sorted by it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Item {
    principal: String,
    tags: BTreeMap<String, String>,
    region: String,
    service: Service,
    model: String,
    kind: Kind,
    streamed: bool,
    /// The beginning of the hour of the usage.
    hour: SystemTime,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Input,
    Output,
    CacheRead,
    CacheWrite,
}

impl Bill {
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Records a call when it arrives.
    pub(crate) fn arrived(&self, call: Arc<Call>) {
        self.books().calls.push(call);
    }

    /// Charges the tokens that a call has used, in addition to earlier charges.
    pub(crate) fn charge(&self, call: &Call, usage: Usage) {
        let mut books = self.books();
        for (kind, tokens) in usage.kinds() {
            if tokens > 0 {
                *books.ledger.entry(Item::new(call, kind)).or_default() += tokens;
            }
        }
    }

    /// Every correctly signed call in order of arrival, also those that failed later.
    pub fn calls(&self) -> Vec<Call> {
        self.books().calls.iter().map(|call| Call::clone(call)).collect()
    }

    /// The length of [`calls`](Self::calls).
    pub fn call_count(&self) -> usize {
        self.books().calls.len()
    }

    /// The rows of the export: one for each hour, principal, set of tags, model, usage type and operation.
    pub fn rows(&self) -> Vec<Row> {
        self.books().ledger.iter().map(|(item, tokens)| Row::new(item, *tokens)).collect()
    }

    /// The export as CSV with a header line. Maps are JSON text.
    pub fn to_csv(&self) -> String {
        row::csv(&self.rows())
    }

    /// The total cost of all rows in US dollars.
    pub fn total(&self) -> f64 {
        usd(self.books().ledger.iter().map(|(item, tokens)| item.cost(*tokens)).sum())
    }

    /// The principals that have been charged, sorted.
    pub fn principals(&self) -> Vec<String> {
        let principals: BTreeSet<_> = self.books().ledger.keys().map(|item| item.principal.clone()).collect();
        principals.into_iter().collect()
    }

    /// Forgets the calls but keeps the charges. Long test runs have too many calls to keep.
    pub fn forget_calls(&self) {
        self.books().calls.clear();
    }

    /// Forgets everything.
    pub fn clear(&self) {
        *self.books() = Books::default();
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Usage {
    fn kinds(self) -> [(Kind, u64); 4] {
        [
            (Kind::Input, self.input),
            (Kind::Output, self.output),
            (Kind::CacheRead, self.cache_read),
            (Kind::CacheWrite, self.cache_write),
        ]
    }
}

impl Item {
    fn new(call: &Call, kind: Kind) -> Self {
        let since = call.at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        Self {
            principal: call.principal.clone(),
            tags: call.tags.clone(),
            region: call.region.clone(),
            service: call.service,
            model: call.model.clone(),
            kind,
            streamed: call.operation.streams(),
            hour: UNIX_EPOCH + Duration::from_secs(since - since % HOUR.as_secs()),
        }
    }

    /// The cost in billionths of a US dollar.
    fn cost(&self, tokens: u64) -> u64 {
        tokens * self.kind.price(Product::of(&self.model).prices)
    }

    /// The account in the principal's ARN.
    fn account(&self) -> &str {
        self.principal.split(':').nth(4).unwrap_or_default()
    }
}

impl Kind {
    fn price(self, prices: Prices) -> u64 {
        match self {
            Self::Input => prices.input,
            Self::Output => prices.output,
            Self::CacheRead => prices.cache_read,
            Self::CacheWrite => prices.cache_write,
        }
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "the column is a double, and 2^53 billionths are nine million dollars"
)]
fn usd(billionths: u64) -> f64 {
    billionths as f64 / 1e9
}

#[cfg(test)]
mod tests;
