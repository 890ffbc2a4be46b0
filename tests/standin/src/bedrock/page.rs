//! Lists in pages: `maxResults` is the size of a page, `nextToken` leads to the next one.

use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use super::refusal::Refusal;
use crate::bill::Call;

/// The prefix of a `nextToken`. The number of items on the pages before follows. Clients must not interpret it.
const TOKEN: &str = "standin-page-";

/// AWS's limit, and the default size of a page.
const MAX_RESULTS: usize = 1000;

/// The page of `items` that `call` requests, as the member `name`.
pub(super) fn of(call: &Call, name: &str, items: Vec<Value>) -> Result<Value, Refusal> {
    let size = match parameter(call, "maxResults").map(|size| size.parse()) {
        None => MAX_RESULTS,
        Some(Ok(size @ 1..=MAX_RESULTS)) => size,
        Some(_) => return Err(Refusal::validation("maxResults must be from 1 to 1000")),
    };
    let skipped = match parameter(call, "nextToken") {
        None => 0,
        Some(token) => {
            let skipped = token.strip_prefix(TOKEN).and_then(|skipped| skipped.parse().ok());
            skipped.ok_or_else(|| Refusal::validation("The provided nextToken is not valid."))?
        }
    };
    let count = items.len();
    let page: Vec<_> = items.into_iter().skip(skipped).take(size).collect();
    let mut answer = json!({});
    if skipped + page.len() < count && !page.is_empty() {
        answer["nextToken"] = json!(format!("{TOKEN}{}", skipped + page.len()));
    }
    answer[name] = Value::Array(page);
    Ok(answer)
}

/// A parameter of the query, decoded.
pub(super) fn parameter(call: &Call, name: &str) -> Option<String> {
    let (_, query) = call.target.split_once('?')?;
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let (_, value) = pairs.into_iter().find(|(key, _)| *key == name)?;
    Some(percent_decode_str(value).decode_utf8_lossy().into_owned())
}
