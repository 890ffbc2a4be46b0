//! What the Cost and Usage Report would say: a ledger by principal, tags, model and kind of token, in the
//! columns of a CUR 2.0 export. Prices are invented, but the same for everyone.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use bytes::Bytes;
use http::HeaderMap;
use serde::Serialize;

use crate::clock;

/// The ledger, and every call that was rightly signed.
#[derive(Debug, Default)]
pub struct Bill {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    calls: Vec<Call>,
    tokens: BTreeMap<Entry, u64>,
}

/// A call as it arrived, after its signature was verified.
#[derive(Debug, Clone)]
pub struct Call {
    pub principal: String,
    pub tags: BTreeMap<String, String>,
    pub model: String,
    pub operation: String,
    pub region: String,
    pub access_key_id: String,
    /// Path and query, as received.
    pub target: String,
    pub headers: HeaderMap,
    pub body: Bytes,
    pub at: SystemTime,
}

/// Tokens that a call has used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    pub input: u64,
    pub output: u64,
    pub cache_read: u64,
    pub cache_write: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    principal: String,
    region: String,
    model: String,
    operation: String,
    kind: Kind,
    tags: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Input,
    Output,
    CacheRead,
    CacheWrite,
}

impl Kind {
    fn usage_type(self) -> &'static str {
        match self {
            Self::Input => "input-tokens",
            Self::Output => "output-tokens",
            Self::CacheRead => "cache-read-input-token-count",
            Self::CacheWrite => "cache-write-input-token-count",
        }
    }

    fn inference_type(self) -> &'static str {
        match self {
            Self::Input => "Input tokens",
            Self::Output => "Output tokens",
            Self::CacheRead => "Prompt cache read input tokens",
            Self::CacheWrite => "Prompt cache write input tokens",
        }
    }
}

/// A row of the export; fields are its columns.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    pub bill_billing_period_start_date: String,
    pub line_item_usage_account_id: String,
    pub line_item_usage_start_date: String,
    pub line_item_line_item_type: String,
    pub line_item_product_code: String,
    pub line_item_usage_type: String,
    pub line_item_operation: String,
    pub line_item_resource_id: String,
    pub line_item_iam_principal: String,
    pub line_item_usage_amount: f64,
    pub pricing_unit: String,
    pub line_item_unblended_cost: f64,
    pub product: BTreeMap<String, String>,
    pub tags: BTreeMap<String, String>,
}

impl Bill {
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    pub(crate) fn arrived(&self, call: Call) {
        self.state().calls.push(call);
    }

    pub(crate) fn used(&self, call: &Call, usage: Usage) {
        let kinds = [
            (Kind::Input, usage.input),
            (Kind::Output, usage.output),
            (Kind::CacheRead, usage.cache_read),
            (Kind::CacheWrite, usage.cache_write),
        ];
        let mut state = self.state();
        for (kind, tokens) in kinds.into_iter().filter(|(_, tokens)| *tokens > 0) {
            let entry = Entry {
                principal: call.principal.clone(),
                region: call.region.clone(),
                model: call.model.clone(),
                operation: call.operation.clone(),
                kind,
                tags: call.tags.clone(),
            };
            *state.tokens.entry(entry).or_default() += tokens;
        }
    }

    /// Every call so far, in the order of arrival.
    pub fn calls(&self) -> Vec<Call> {
        self.state().calls.clone()
    }

    /// The principals that have used anything.
    pub fn principals(&self) -> Vec<String> {
        let mut principals: Vec<String> =
            self.state().tokens.keys().map(|entry| entry.principal.clone()).collect();
        principals.dedup();
        principals
    }

    /// The rows of the export.
    pub fn rows(&self) -> Vec<Row> {
        self.state().tokens.iter().map(|(entry, tokens)| row(entry, *tokens)).collect()
    }

    /// The sum of all rows, USD.
    pub fn total(&self) -> f64 {
        self.rows().iter().map(|row| row.line_item_unblended_cost).sum()
    }

    /// The export as CSV: maps are JSON text, as AWS writes them.
    pub fn to_csv(&self) -> String {
        let mut csv = String::new();
        for (index, row) in self.rows().iter().enumerate() {
            let serde_json::Value::Object(columns) = serde_json::json!(row) else { continue };
            if index == 0 {
                let names: Vec<&str> = columns.keys().map(String::as_str).collect();
                writeln!(csv, "{}", names.join(",")).expect("a String takes all");
            }
            let cells: Vec<String> = columns
                .values()
                .map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned))
                .map(|text| format!("\"{}\"", text.replace('"', "\"\"")))
                .collect();
            writeln!(csv, "{}", cells.join(",")).expect("a String takes all");
        }
        csv
    }

    pub fn clear(&self) {
        *self.state() = State::default();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn row(entry: &Entry, tokens: u64) -> Row {
    let product = Product::of(&entry.model);
    let day = clock::iso8601(clock::now());
    let day = day.split('T').next().unwrap_or_default().to_owned();
    let month = day.rsplit_once('-').map_or("", |(month, _)| month).to_owned();
    #[expect(clippy::cast_precision_loss, reason = "as the export's column is a double")]
    let amount = tokens as f64 / 1000.0;
    let price = match entry.kind {
        Kind::Input => product.input,
        Kind::Output => product.output,
        Kind::CacheRead => product.input * 0.1,
        Kind::CacheWrite => product.input * 1.25,
    };
    let scope = match entry.model.split('.').next() {
        Some("global") => "-cross-region-global",
        Some("us" | "eu" | "apac" | "jp" | "au") => "-cross-region-geo",
        _ => "",
    };
    Row {
        bill_billing_period_start_date: format!("{month}-01T00:00:00.000Z"),
        line_item_usage_account_id: entry.principal.split(':').nth(4).unwrap_or_default().to_owned(),
        line_item_usage_start_date: format!("{day}T00:00:00.000Z"),
        line_item_line_item_type: "Usage".to_owned(),
        line_item_product_code: "AmazonBedrockService".to_owned(),
        line_item_usage_type: format!(
            "{}-{}-{}{scope}",
            prefix(&entry.region),
            product.name,
            entry.kind.usage_type()
        ),
        line_item_operation: entry.operation.clone(),
        line_item_resource_id: entry.model.clone(),
        line_item_iam_principal: entry.principal.clone(),
        line_item_usage_amount: amount,
        pricing_unit: "1K tokens".to_owned(),
        line_item_unblended_cost: amount * price,
        product: [
            ("provider", product.provider),
            ("model", product.name.as_str()),
            ("inference_type", entry.kind.inference_type()),
            ("feature", "On-demand Inference"),
        ]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect(),
        tags: entry.tags.iter().map(|(key, value)| (format!("iamPrincipal/{key}"), value.clone())).collect(),
    }
}

/// A region's name in usage types.
fn prefix(region: &str) -> String {
    match region {
        "us-east-1" => "USE1".to_owned(),
        "us-east-2" => "USE2".to_owned(),
        "us-west-2" => "USW2".to_owned(),
        "eu-west-1" => "EU".to_owned(),
        "eu-central-1" => "EUC1".to_owned(),
        other => other.replace('-', "").to_uppercase(),
    }
}

/// A model's billing name and its prices, USD per 1,000 tokens.
struct Product {
    name: String,
    provider: &'static str,
    input: f64,
    output: f64,
}

impl Product {
    fn of(model: &str) -> Self {
        let id = model.rsplit('/').next().unwrap_or(model);
        let claude = |family: &str, input, output| {
            let version: Vec<&str> = id
                .split(['-', ':'])
                .skip_while(|part| !part.eq_ignore_ascii_case(family))
                .skip(1)
                .take_while(|part| part.bytes().all(|byte| byte.is_ascii_digit()) && part.len() < 3)
                .collect();
            Self {
                name: format!("Claude{}{family}", version.join(".")),
                provider: "Anthropic",
                input,
                output,
            }
        };
        match id {
            id if id.contains("sonnet") => claude("Sonnet", 0.003, 0.015),
            id if id.contains("opus") => claude("Opus", 0.005, 0.025),
            id if id.contains("haiku") => claude("Haiku", 0.001, 0.005),
            id if id.contains("nova") => {
                Self { name: "NovaLite".to_owned(), provider: "Amazon", input: 0.000_06, output: 0.000_24 }
            }
            _ => Self { name: "Other".to_owned(), provider: "Other", input: 0.001, output: 0.002 },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(user: &str, model: &str) -> Call {
        Call {
            principal: format!("arn:aws:sts::123456789012:assumed-role/BedrockUser/{user}"),
            tags: BTreeMap::from([("team".to_owned(), "search".to_owned())]),
            model: model.to_owned(),
            operation: "Converse".to_owned(),
            region: "us-east-1".to_owned(),
            access_key_id: "ASIA".to_owned(),
            target: "/".to_owned(),
            headers: HeaderMap::new(),
            body: Bytes::new(),
            at: clock::now(),
        }
    }

    #[test]
    fn usage_adds_up_by_principal_model_and_kind() {
        let bill = Bill::new();
        let usage = Usage { input: 500, output: 100, ..Usage::default() };
        for _ in 0..2 {
            bill.used(&call("alice", "us.anthropic.claude-sonnet-4-6-v1:0"), usage);
        }
        bill.used(&call("bob", "anthropic.claude-opus-4-8-v1:0"), usage);
        let rows = bill.rows();
        let shown: Vec<(&str, f64)> =
            rows.iter().map(|row| (row.line_item_usage_type.as_str(), row.line_item_usage_amount)).collect();
        assert_eq!(
            shown,
            [
                ("USE1-Claude4.6Sonnet-input-tokens-cross-region-geo", 1.0),
                ("USE1-Claude4.6Sonnet-output-tokens-cross-region-geo", 0.2),
                ("USE1-Claude4.8Opus-input-tokens", 0.5),
                ("USE1-Claude4.8Opus-output-tokens", 0.1),
            ]
        );
        assert!((bill.total() - (0.003 + 0.003 + 0.0025 + 0.0025)).abs() < 1e-9);
        assert_eq!(rows[0].tags["iamPrincipal/team"], "search");
        assert_eq!(bill.principals().len(), 2);
        assert_eq!(bill.to_csv().lines().count(), 5);
    }
}
