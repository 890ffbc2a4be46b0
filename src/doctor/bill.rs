//! `--billing`: the checks of the account that pays, with credentials of its own.

use aws_credential_types::provider::ProvideCredentials as _;

use super::billing::Billing;
use super::signed_call::SignedCaller;
use super::{Check, Findings, Status};
use crate::attribution::tags::TagKey;
use crate::config::Config;
use crate::proxy::Proxy;
use crate::sessions::own_credentials::OwnCredentials;

const NAME: &str = "bill";

/// The billing services of the account that pays.
#[derive(Debug)]
pub struct Bill {
    billing: Billing,
    keys: Vec<TagKey>,
}

impl Bill {
    /// Fetches the credentials of the profile, or the gateway's own ones without a name. Nothing else is sent.
    ///
    /// # Errors
    /// The check that failed.
    pub async fn open(config: &Config, profile: Option<&str>) -> Result<Self, Check> {
        let failed = |why: String| {
            Check::fail(
                NAME,
                format!("no credentials of the account that pays: {why}"),
                "pass --profile with a profile of that account, which aws sts get-caller-identity --profile accepts",
            )
        };
        let proxy = Proxy::from_environment().map_err(|error| failed(error.to_string()))?;
        let settings = config.aws.sts_settings(proxy.clone());
        let source = match profile {
            Some(name) => OwnCredentials::of_profile(&settings, name),
            None => OwnCredentials::from_environment(&settings),
        };
        let source = source.map_err(|error| failed(error.to_string()))?;
        let credentials = source.provide_credentials().await.map_err(|error| {
            failed(source.status().last_error.map_or_else(|| error.to_string(), |why| why.full))
        })?;
        let caller = SignedCaller::new(credentials, &proxy, &config.aws.ca_files()).map_err(failed)?;
        let partition = config.aws.partition();
        let billing = Billing::of(partition, caller).ok_or_else(|| {
            Check::skip(NAME, format!("not tried: the partition {partition} has no Data Exports of its own"))
        })?;
        let mut keys: Vec<TagKey> = Vec::new();
        for (key, _) in config.mapping.issuers.iter().flat_map(|issuer| &issuer.tags) {
            if !keys.contains(key) {
                keys.push(key.clone());
            }
        }
        Ok(Self { billing, keys })
    }

    /// The checks of the export and of the tags.
    pub async fn check(&self, findings: &mut Findings) -> Vec<Check> {
        let checks = self.billing.checks(&self.keys).await;
        let is_ok = |begin: &str| {
            checks.iter().any(|check| check.status == Status::Ok && check.name.starts_with(begin))
        };
        if is_ok("tag iamPrincipal/") {
            findings.held("A2", "AWS lists a mapped key as iamPrincipal/KEY, and active");
        }
        if is_ok("export ") {
            findings.held(
                "A50",
                "an export of CUR 2.0 has the table, the setting and the columns of these names",
            );
        }
        checks
    }

    /// The tags that [`Bill::activate`] would activate, as the bill names them.
    ///
    /// # Errors
    /// The check that failed.
    pub async fn inactive(&self) -> Result<Vec<String>, Check> {
        self.billing.inactive(&self.keys).await.map_err(|error| {
            Check::fail(
                "activation",
                error.to_string(),
                "use credentials of the account that pays (--profile) which allow ce:ListCostAllocationTags",
            )
        })
    }

    /// Activates these tags. It cannot be undone for the rows that have the tag by then.
    pub async fn activate(&self, keys: &[String]) -> Vec<Check> {
        self.billing.activate(keys).await
    }
}
