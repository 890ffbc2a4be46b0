//! Whether each issuer's signing keys can be fetched.

use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::timeout;

use super::{Check, Findings};
use crate::auth::issuer::KeySource;
use crate::auth::usable_keys;
use crate::config::{Config, counted};
use crate::proxy::Proxy;

/// The longest wait for the keys of one issuer. All are fetched at once.
pub const TIMEOUT: Duration = Duration::from_secs(10);

/// Fetches the keys of all issuers at once, as the gateway will. For each issuer, in the order of the file: its name,
/// and the number of keys with their address, or the failure and the next step.
pub async fn keys(config: &Config, proxy: &Proxy) -> Vec<(String, Result<String, String>)> {
    let mut fetching = JoinSet::new();
    for (index, settings) in config.issuers.iter().cloned().enumerate() {
        let proxy = proxy.clone();
        fetching.spawn(async move {
            let fetched = timeout(TIMEOUT, usable_keys(&settings, &proxy)).await.unwrap_or_else(|_elapsed| {
                Err(format!("no answer within {} s; check the network", TIMEOUT.as_secs()))
            });
            let found = fetched.map(|(keys, from)| format!("{} from {from}", counted(keys, "signing key")));
            (index, (settings.name.to_string(), found))
        });
    }
    let mut results = fetching.join_all().await;
    results.sort_by_key(|(index, _)| *index);
    results.into_iter().map(|(_, result)| result).collect()
}

pub(super) async fn check(
    config: &Config,
    proxy: &Proxy,
    findings: &mut Findings,
    note: &mut (dyn FnMut(Check) + Send),
) {
    let results = keys(config, proxy).await;
    let discovered = |name: &str| {
        let issuer = config.issuers.iter().find(|issuer| *issuer.name == *name);
        issuer.is_some_and(|issuer| matches!(issuer.keys, KeySource::Discovery))
    };
    if results.iter().any(|(name, found)| found.is_ok() && discovered(name)) {
        findings.held("A40", "the keys of at least one issuer were fetched through its discovery document");
    }
    for (issuer, found) in results {
        let name = format!("issuer {issuer}");
        note(match found {
            Ok(keys) => Check::ok(name, keys),
            Err(fault) => Check::fail(
                name,
                fault,
                "check issuer.url and the network; without the keys the gateway accepts no token of this issuer",
            ),
        });
    }
}
