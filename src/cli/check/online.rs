//! `check --online`: fetches the signing keys of each issuer and calls STS, as the gateway will.

use serde_json::{Value, json};
use tokio::time::timeout;

use crate::config::Config;
use crate::doctor::issuers::{self, TIMEOUT};
use crate::proxy::Proxy;
use crate::sessions::caller_identity::CallerIdentity;
use crate::sessions::own_credentials::OwnCredentials;
use crate::sessions::sts::StsClient;
use crate::sessions::{SessionError, StsSettings};

/// The result of one check.
pub(super) struct Outcome {
    /// For example `issuer okta`.
    subject: String,
    /// The finding, or the failure and the next step.
    result: Result<String, String>,
}

impl Outcome {
    pub(super) fn passed(&self) -> bool {
        self.result.is_ok()
    }

    /// One line of text.
    pub(super) fn line(&self) -> String {
        match &self.result {
            Ok(found) => format!("ok     {}: {found}", self.subject),
            Err(fault) => format!("failed {}: {fault}", self.subject),
        }
    }

    pub(super) fn json(&self) -> Value {
        let (Ok(detail) | Err(detail)) = &self.result;
        json!({ "check": self.subject, "ok": self.passed(), "detail": detail })
    }
}

/// Runs all checks at once: each issuer in the order of the file, then STS.
pub(super) fn run(config: &Config) -> Vec<Outcome> {
    match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(check(config)),
        Err(error) => vec![Outcome {
            subject: "network".to_owned(),
            result: Err(format!("cannot start the async runtime: {error}")),
        }],
    }
}

async fn check(config: &Config) -> Vec<Outcome> {
    let proxy = match Proxy::from_environment() {
        Ok(proxy) => proxy,
        Err(error) => return vec![Outcome { subject: "proxy".to_owned(), result: Err(error.to_string()) }],
    };
    let sts = config.aws.sts_settings(proxy.clone());
    let (keys, own) = tokio::join!(issuers::keys(config, &proxy), within(caller_identity(&sts)));
    let issuers =
        keys.into_iter().map(|(name, result)| Outcome { subject: format!("issuer {name}"), result });
    issuers.chain([Outcome { subject: format!("STS in {}", sts.region), result: own }]).collect()
}

async fn within(check: impl Future<Output = Result<String, String>>) -> Result<String, String> {
    let in_time = timeout(TIMEOUT, check).await;
    in_time.unwrap_or_else(|_| Err(format!("no answer within {} s; check the network", TIMEOUT.as_secs())))
}

/// The ARN that STS knows the gateway by.
async fn caller_identity(settings: &StsSettings) -> Result<String, String> {
    let source = OwnCredentials::from_environment(settings).map_err(|error| error.to_string())?;
    let client = StsClient::new(settings, source.clone()).map_err(|error| error.to_string())?;
    // Without credentials the SDK's own error says less.
    if let Err(error) = source.warm().await {
        return Err(source.status().last_error.map_or_else(|| error.to_string(), |why| why.full));
    }
    let arn = CallerIdentity::over(&client).arn().await;
    arn.map(|arn| format!("the gateway is {arn}")).map_err(|error| fault(&error))
}

/// The failure and the next step.
fn fault(error: &SessionError) -> String {
    match error {
        SessionError::Unavailable { .. } => {
            format!("{error}; check aws.region, aws.endpoints and the network")
        }
        _ => error.to_string(),
    }
}
