//! A row of a CUR 2.0 export, and the export as CSV.

use std::collections::BTreeMap;
use std::time::SystemTime;

use serde::Serialize;
use serde_json::Value;

use super::product::{Product, Scope};
use super::{HOUR, Item, Kind, Service, usd};
use crate::clock;

/// Claude's product code. The Marketplace's codes are opaque; this one is invented.
const MARKETPLACE_CODE: &str = "7standin0claude0bedrock00";

/// A row of `COST_AND_USAGE_REPORT` with `INCLUDE_RESOURCES`, `INCLUDE_IAM_PRINCIPAL_DATA` and hourly
/// granularity. The fields have the names of columns; the export has more columns.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    pub bill_billing_entity: String,
    pub bill_billing_period_start_date: String,
    pub bill_payer_account_id: String,
    pub line_item_iam_principal: String,
    pub line_item_line_item_type: String,
    pub line_item_operation: String,
    pub line_item_product_code: String,
    pub line_item_resource_id: String,
    /// In US dollars.
    pub line_item_unblended_cost: f64,
    pub line_item_usage_account_id: String,
    /// In `pricing_unit`.
    pub line_item_usage_amount: f64,
    pub line_item_usage_end_date: String,
    pub line_item_usage_start_date: String,
    pub line_item_usage_type: String,
    /// Thousands of tokens.
    pub pricing_unit: String,
    pub product: BTreeMap<String, String>,
    pub product_product_family: String,
    pub product_region_code: String,
    /// Session tags are `iamPrincipal/<key>`.
    pub tags: BTreeMap<String, String>,
}

impl Row {
    pub(super) fn new(item: &Item, tokens: u64) -> Self {
        let product = Product::of(&item.model);
        let account = item.account().to_owned();
        Self {
            bill_billing_entity: if product.marketplace { "AWS Marketplace" } else { "AWS" }.to_owned(),
            bill_billing_period_start_date: month(item.hour),
            bill_payer_account_id: account.clone(),
            line_item_iam_principal: item.principal.clone(),
            line_item_line_item_type: "Usage".to_owned(),
            line_item_operation: operation(item.streamed).to_owned(),
            line_item_product_code: if product.marketplace { MARKETPLACE_CODE } else { "AmazonBedrock" }
                .to_owned(),
            line_item_resource_id: resource(item),
            line_item_unblended_cost: usd(item.cost(tokens)),
            line_item_usage_account_id: account,
            line_item_usage_amount: thousands(tokens),
            line_item_usage_end_date: timestamp(item.hour + HOUR),
            line_item_usage_start_date: timestamp(item.hour),
            line_item_usage_type: usage_type(item, &product.name),
            pricing_unit: "1K tokens".to_owned(),
            product: [
                ("provider", product.provider.as_str()),
                ("model", product.model.as_str()),
                ("inference_type", item.kind.inference_type()),
                ("feature", "On-demand Inference"),
            ]
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into(),
            product_product_family: "Amazon Bedrock".to_owned(),
            product_region_code: item.region.clone(),
            tags: item
                .tags
                .iter()
                .map(|(key, value)| (format!("iamPrincipal/{key}"), value.clone()))
                .collect(),
        }
    }
}

/// The columns of the export, in order.
const COLUMNS: [&str; 19] = [
    "bill_billing_entity",
    "bill_billing_period_start_date",
    "bill_payer_account_id",
    "line_item_iam_principal",
    "line_item_line_item_type",
    "line_item_operation",
    "line_item_product_code",
    "line_item_resource_id",
    "line_item_unblended_cost",
    "line_item_usage_account_id",
    "line_item_usage_amount",
    "line_item_usage_end_date",
    "line_item_usage_start_date",
    "line_item_usage_type",
    "pricing_unit",
    "product",
    "product_product_family",
    "product_region_code",
    "tags",
];

pub(super) fn csv(rows: &[Row]) -> String {
    let mut csv = COLUMNS.join(",") + "\n";
    for row in rows {
        let row = serde_json::json!(row);
        csv += &COLUMNS.map(|column| cell(&row[column])).join(",");
        csv.push('\n');
    }
    csv
}

fn cell(value: &Value) -> String {
    match value {
        Value::Number(number) => number.to_string(),
        Value::String(text) => quoted(text),
        map => quoted(&map.to_string()),
    }
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\"\""))
}

impl Kind {
    /// The part of usage types.
    fn usage_type(self) -> &'static str {
        match self {
            Self::Input => "input-tokens",
            Self::Output => "output-tokens",
            Self::CacheRead => "cache-read-input-token-count",
            Self::CacheWrite => "cache-write-input-token-count",
        }
    }

    fn mantle_usage_type(self) -> &'static str {
        match self {
            Self::Input => "input-tokens",
            Self::Output => "output-tokens",
            Self::CacheRead => "cache-read-tokens",
            Self::CacheWrite => "cache-write-tokens",
        }
    }

    /// The value in the `product` map. The words for the cache are a guess.
    fn inference_type(self) -> &'static str {
        match self {
            Self::Input => "Input tokens",
            Self::Output => "Output tokens",
            Self::CacheRead => "Cache read input tokens",
            Self::CacheWrite => "Cache write input tokens",
        }
    }
}

/// The usage type: `USE1-Claude4.6Sonnet-input-tokens`, or `USE1-openai.gpt-oss-120b-mantle-input-tokens-standard` for
/// mantle.
fn usage_type(item: &Item, product: &str) -> String {
    let region = region_code(&item.region);
    if item.service == Service::Mantle {
        return format!("{region}-{}-mantle-{}-standard", item.model, item.kind.mantle_usage_type());
    }
    let scope = Scope::of(&item.model).suffix();
    format!("{region}-{product}-{}{scope}", item.kind.usage_type())
}

/// The operation on the bill. Converse and `InvokeModel` are the same there.
fn operation(streamed: bool) -> &'static str {
    if streamed { "InvokeModelStreamingInference" } else { "InvokeModelInference" }
}

/// The ARN of the model or inference profile that was called.
fn resource(item: &Item) -> String {
    let Item { model, region, .. } = item;
    if model.starts_with("arn:") {
        return model.clone();
    }
    match Scope::of(model) {
        Scope::Region => format!("arn:aws:bedrock:{region}::foundation-model/{model}"),
        Scope::Geo | Scope::Global => {
            format!("arn:aws:bedrock:{region}:{}:inference-profile/{model}", item.account())
        }
    }
}

/// The region in usage types: `USE1` for `us-east-1`, with irregular exceptions.
fn region_code(region: &str) -> String {
    match region {
        "eu-west-1" => return "EU".to_owned(),
        "ap-south-1" => return "APS3".to_owned(),
        "ca-central-1" => return "CAN1".to_owned(),
        "us-gov-east-1" => return "UGE1".to_owned(),
        "us-gov-west-1" => return "UGW1".to_owned(),
        _ => {}
    }
    let parts: Vec<_> = region.split('-').collect();
    match parts.as_slice() {
        [part, direction, number] => {
            let direction: String = direction.chars().take(1).collect();
            format!("{part}{direction}{number}").to_uppercase()
        }
        _ => region.to_uppercase(),
    }
}

/// `2026-11-23T02:00:00.000Z`
fn timestamp(at: SystemTime) -> String {
    clock::iso8601(at).replace('Z', ".000Z")
}

/// The beginning of the month.
fn month(at: SystemTime) -> String {
    let day = clock::iso8601(at);
    let mut parts = day.split('-');
    let (year, month) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    format!("{year}-{month}-01T00:00:00.000Z")
}

#[expect(clippy::cast_precision_loss, reason = "the column is a double")]
fn thousands(tokens: u64) -> f64 {
    tokens as f64 / 1000.0
}
