//! Lists that come in pages: `maxResults`, and a `nextToken` for what follows.

use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use super::refusal::Refusal;
use crate::bill::Call;

/// What precedes the number of items told already in a token, which nobody is to read.
const TOKEN: &str = "standin-page-";

/// AWS's limit, and the size of a page that nobody has asked for.
const MAX_RESULTS: usize = 1000;

/// The page that `call` asks for, as the member `name`.
pub(super) fn of(call: &Call, name: &str, items: Vec<Value>) -> Result<Value, Refusal> {
    let size = match parameter(call, "maxResults").map(|size| size.parse()) {
        None => MAX_RESULTS,
        Some(Ok(size @ 1..=MAX_RESULTS)) => size,
        Some(_) => return Err(Refusal::validation("maxResults is to be from 1 to 1000")),
    };
    let told = match parameter(call, "nextToken") {
        None => 0,
        Some(token) => {
            let told = token.strip_prefix(TOKEN).and_then(|told| told.parse().ok());
            told.ok_or_else(|| Refusal::validation("The provided nextToken is not valid."))?
        }
    };
    let count = items.len();
    let page: Vec<_> = items.into_iter().skip(told).take(size).collect();
    let mut answer = json!({});
    if told + page.len() < count && !page.is_empty() {
        answer["nextToken"] = json!(format!("{TOKEN}{}", told + page.len()));
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
