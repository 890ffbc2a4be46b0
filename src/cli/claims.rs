//! Claims without a token: which issuer they are of.

use serde_json::{Map, Value};

use crate::auth::issuer::IssuerSettings;
use crate::config::Config;

/// The issuer with this name or, without a name, the one whose url is the claims' `iss`. `key` is where the operator
/// writes the name.
///
/// # Errors
/// When there is no such issuer: the names of the configured ones.
pub(super) fn issuer<'c>(
    claims: &Map<String, Value>,
    name: Option<&str>,
    key: &str,
    config: &'c Config,
) -> Result<&'c IssuerSettings, String> {
    let known = || {
        let names = config.issuers.iter().map(|issuer| format!("{} ({})", issuer.name, issuer.url));
        names.collect::<Vec<_>>().join(", ")
    };
    if let Some(name) = name {
        let named = config.issuers.iter().find(|issuer| *issuer.name == *name);
        return named
            .ok_or_else(|| format!("no issuer is named {name}; the configured issuers are: {}", known()));
    }
    let Some(url) = claims.get("iss").and_then(Value::as_str) else {
        return Err(format!(
            "the claims have no `iss`; set {key} to one of the configured issuers: {}",
            known()
        ));
    };
    config.issuers.iter().find(|issuer| issuer.url == url).ok_or_else(|| {
        format!("no issuer has the url {url:?}, the `iss` of the claims; set {key} to one of: {}", known())
    })
}
