//! The gateway's own identity: where its credentials come from, and whether there were any.

use std::sync::Arc;
use std::time::Duration;

use aws_config::default_provider::credentials::DefaultCredentialsChain;
use aws_config::imds;
use aws_config::provider_config::ProviderConfig;
use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{self, ProvideCredentials, SharedCredentialsProvider, future};
use aws_sdk_sts::config::{BehaviorVersion, Region};
use parking_lot::Mutex;

use super::transport::{StsSettings, StsSetupError, http_client};
use crate::causes;

/// The metadata service of EC2 is on the same machine or not at all: one attempt, a short one.
const IMDS_TIMEOUT: Duration = Duration::from_secs(1);

/// The gateway's own credentials, by the order in which every AWS SDK looks for them: environment,
/// profile, web identity, container, EC2.
#[derive(Debug, Clone)]
pub struct OwnCredentials {
    provider: SharedCredentialsProvider,
    state: Arc<Mutex<OwnCredentialsStatus>>,
}

/// What is known of the gateway's own credentials.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OwnCredentialsStatus {
    /// Credentials were had once.
    pub had_credentials: bool,
    /// They are those of a session, so that a role assumed with them is chained.
    pub is_session: bool,
    /// Why the last attempt to get some failed, if it did.
    pub last_error: Option<String>,
}

impl OwnCredentials {
    /// The default chain, reading this process's environment. Nothing is fetched yet.
    ///
    /// # Errors
    /// When the CA file is unusable.
    pub async fn from_environment(settings: &StsSettings) -> Result<Self, StsSetupError> {
        let region = Region::new(settings.region.clone());
        let config = ProviderConfig::default()
            .with_region(Some(region.clone()))
            .with_use_fips(Some(settings.fips))
            .with_use_dual_stack(Some(settings.dual_stack))
            .with_behavior_version(Some(BehaviorVersion::v2026_01_12()))
            .with_http_client(http_client(settings.ca.as_deref())?);
        let imds = imds::Client::builder()
            .configure(&config)
            .max_attempts(1)
            .connect_timeout(IMDS_TIMEOUT)
            .read_timeout(IMDS_TIMEOUT)
            .build();
        // With a region given it is not looked for, which would ask the metadata service.
        let chain = DefaultCredentialsChain::builder()
            .configure(config)
            .region(region)
            .imds_client(imds)
            .build()
            .await;
        Ok(Self::new(chain))
    }

    /// Credentials of this provider.
    pub fn new(provider: impl ProvideCredentials + 'static) -> Self {
        let provider = SharedCredentialsProvider::new(provider);
        Self { provider, state: Arc::default() }
    }

    /// Fetches credentials, so that [`OwnCredentials::status`] tells whether there are any.
    ///
    /// # Errors
    /// When no source has any, or the one that should fails.
    pub async fn warm(&self) -> Result<(), CredentialsError> {
        self.fetch().await.map(drop)
    }

    pub fn status(&self) -> OwnCredentialsStatus {
        self.state.lock().clone()
    }

    async fn fetch(&self) -> provider::Result {
        let outcome = self.provider.provide_credentials().await;
        let mut state = self.state.lock();
        match &outcome {
            Ok(credentials) => {
                *state = OwnCredentialsStatus {
                    had_credentials: true,
                    is_session: credentials.session_token().is_some(),
                    last_error: None,
                };
            }
            Err(error) => state.last_error = Some(causes::in_one_line(error)),
        }
        outcome
    }
}

impl ProvideCredentials for OwnCredentials {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(self.fetch())
    }

    fn fallback_on_interrupt(&self) -> Option<Credentials> {
        self.provider.fallback_on_interrupt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn tells_whether_there_were_credentials_and_of_which_kind() {
        let key = Credentials::new("AKIA", "secret", None, None, "test");
        let source = OwnCredentials::new(key);
        assert_eq!(source.status(), OwnCredentialsStatus::default());
        source.warm().await.unwrap();
        assert!(source.status().had_credentials);
        assert!(!source.status().is_session);

        let session = Credentials::new("ASIA", "hidden", Some("token".to_owned()), None, "test");
        let source = OwnCredentials::new(session);
        source.warm().await.unwrap();
        assert!(source.status().is_session);
        assert!(!format!("{source:?}").contains("hidden"));
    }

    #[derive(Debug)]
    struct Nothing;

    impl ProvideCredentials for Nothing {
        fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
        where
            Self: 'a,
        {
            future::ProvideCredentials::ready(Err(CredentialsError::not_loaded("none here")))
        }
    }

    #[tokio::test]
    async fn keeps_the_last_error_in_words() {
        let source = OwnCredentials::new(Nothing);
        source.warm().await.unwrap_err();
        let status = source.status();
        assert!(!status.had_credentials);
        assert!(status.last_error.unwrap().ends_with("none here"));
    }
}
