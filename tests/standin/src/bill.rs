//! What the Cost and Usage Report would say: a ledger by principal, tags, region, model and kind of
//! token, shown as rows of a CUR 2.0 export. Beside it, every call that was rightly signed.
//!
//! Prices are the stand-in's own (see `bill/product.rs`); all else is as AWS documents it.

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

/// The ledger, and the calls. Bedrock writes it.
#[derive(Debug, Default)]
pub struct Bill {
    books: Mutex<Books>,
}

#[derive(Debug, Default)]
struct Books {
    calls: Vec<Arc<Call>>,
    /// In tokens.
    ledger: BTreeMap<Item, u64>,
}

/// Tokens that a call has used. Input does not include what was read from or written to the cache.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    pub input: u64,
    pub output: u64,
    pub cache_read: u64,
    pub cache_write: u64,
}

/// What a line of the bill is about; its order is the order of the rows.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Item {
    principal: String,
    tags: BTreeMap<String, String>,
    region: String,
    service: Service,
    model: String,
    kind: Kind,
    streamed: bool,
    /// When the hour of the usage began.
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

    /// Writes down a call on its arrival.
    pub(crate) fn arrived(&self, call: Arc<Call>) {
        self.books().calls.push(call);
    }

    /// Charges what a call has used; adds to what it was charged before.
    pub(crate) fn charge(&self, call: &Call, usage: Usage) {
        let mut books = self.books();
        for (kind, tokens) in usage.kinds() {
            if tokens > 0 {
                *books.ledger.entry(Item::new(call, kind)).or_default() += tokens;
            }
        }
    }

    /// Every call that was rightly signed, in order of arrival, whatever became of it.
    pub fn calls(&self) -> Vec<Call> {
        self.books().calls.iter().map(|call| Call::clone(call)).collect()
    }

    /// The length of [`calls`](Self::calls).
    pub fn call_count(&self) -> usize {
        self.books().calls.len()
    }

    /// The export's rows: one for each hour, principal, set of tags, model, usage type and operation.
    pub fn rows(&self) -> Vec<Row> {
        self.books().ledger.iter().map(|(item, tokens)| Row::new(item, *tokens)).collect()
    }

    /// The export as CSV, with a line of column names; maps are JSON text.
    pub fn to_csv(&self) -> String {
        row::csv(&self.rows())
    }

    /// What all rows cost together, in US dollars.
    pub fn total(&self) -> f64 {
        usd(self.books().ledger.iter().map(|(item, tokens)| item.cost(*tokens)).sum())
    }

    /// Who has been charged for anything, sorted.
    pub fn principals(&self) -> Vec<String> {
        let principals: BTreeSet<_> = self.books().ledger.keys().map(|item| item.principal.clone()).collect();
        principals.into_iter().collect()
    }

    /// Forgets the calls, but not what was charged for them: runs of hours have many.
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

    /// In billionths of a US dollar.
    fn cost(&self, tokens: u64) -> u64 {
        tokens * self.kind.price(Product::of(&self.model).prices)
    }

    /// The part of the principal's ARN.
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
