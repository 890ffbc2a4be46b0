//! `check --online`: fetches the signing keys of each issuer and calls STS, as the gateway will.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::auth::usable_keys;
use crate::config::{Config, counted};
use crate::gateway::sts_settings;
use crate::proxy::Proxy;
use crate::sessions::caller_identity::CallerIdentity;
use crate::sessions::own_credentials::OwnCredentials;
use crate::sessions::sts::StsClient;
use crate::sessions::{SessionError, StsSettings};

/// The time limit of one check. All run at once.
const TIMEOUT: Duration = Duration::from_secs(10);

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
    let mut checks = JoinSet::new();
    for (index, settings) in config.issuers.iter().cloned().enumerate() {
        let proxy = proxy.clone();
        checks.spawn(async move {
            let subject = format!("issuer {}", settings.name);
            let fetched = within(async {
                let (keys, from) = usable_keys(&settings, &proxy).await?;
                Ok(format!("{} from {from}", counted(keys, "signing key")))
            })
            .await;
            (index, Outcome { subject, result: fetched })
        });
    }
    let (last, sts) = (config.issuers.len(), sts_settings(&config.aws, proxy));
    checks.spawn(async move {
        let subject = format!("STS in {}", sts.region);
        (last, Outcome { subject, result: within(caller_identity(&sts)).await })
    });
    let mut results = checks.join_all().await;
    results.sort_by_key(|(index, _)| *index);
    results.into_iter().map(|(_, checked)| checked).collect()
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
