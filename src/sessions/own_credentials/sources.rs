//! The sources of the gateway's own credentials, in the order of every AWS SDK.
//!
//! `aws-config` has this chain too. But its error does not say which source failed, and its source for profiles never
//! recovers: after one error it returns another one for ever, also when the file has been corrected.

use std::error::Error;
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use aws_config::ecs::EcsCredentialsProvider;
use aws_config::environment::EnvironmentVariableCredentialsProvider;
use aws_config::imds;
use aws_config::imds::credentials::ImdsCredentialsProvider;
use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_config::web_identity_token::WebIdentityTokenCredentialsProvider;
use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{self, ProvideCredentials, future};
use aws_sdk_sts::config::{BehaviorVersion, Region};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use parking_lot::Mutex;

use super::words::{Source, Surroundings, sentence, why};
use crate::sessions::failure_text::FailureText;
use crate::sessions::transport::{StsSettings, StsSetupError, http_client};

/// How long the gateway waits for EC2's metadata service, with one attempt. The service is on the same machine, or
/// there is none.
const IMDS_TIMEOUT: Duration = Duration::from_secs(1);

/// The sources.
#[derive(Debug)]
pub(super) struct Sources {
    settings: ProviderSettings,
    /// The source that had credentials first.
    chosen: OnceLock<Source>,
    profile: Mutex<Arc<ProfileFileCredentialsProvider>>,
    environment: EnvironmentVariableCredentialsProvider,
    web_identity: WebIdentityTokenCredentialsProvider,
    container: EcsCredentialsProvider,
    instance: ImdsCredentialsProvider,
}

/// The source of one named profile.
pub(super) fn named_profile(
    settings: &StsSettings,
    name: &str,
) -> Result<ProfileFileCredentialsProvider, StsSetupError> {
    let config = ProviderSettings::new(settings)?.provider_config();
    Ok(ProfileFileCredentialsProvider::builder().configure(&config).profile_name(name).build())
}

impl Sources {
    pub(super) fn new(settings: &StsSettings) -> Result<Self, StsSetupError> {
        let settings = ProviderSettings::new(settings)?;
        let config = settings.provider_config();
        let instance = imds::Client::builder()
            .configure(&config)
            .max_attempts(1)
            .connect_timeout(IMDS_TIMEOUT)
            .read_timeout(IMDS_TIMEOUT)
            .build();
        Ok(Self {
            chosen: OnceLock::new(),
            profile: Mutex::new(Arc::new(profile(&config))),
            environment: EnvironmentVariableCredentialsProvider::new(),
            web_identity: WebIdentityTokenCredentialsProvider::builder().configure(&config).build(),
            container: EcsCredentialsProvider::builder().configure(&config).build(),
            instance: ImdsCredentialsProvider::builder().configure(&config).imds_client(instance).build(),
            settings,
        })
    }

    /// The credentials of the first source that has some. A source that is configured and fails ends the search:
    /// otherwise the gateway would run as another principal than the operator intended. For the same reason the source
    /// that had credentials first remains the only one.
    async fn fetch(&self) -> provider::Result {
        let around = Surroundings::of_process();
        let mut tried = Vec::new();
        let chosen = self.chosen.get().map(std::slice::from_ref);
        for &source in chosen.unwrap_or(&Source::ALL) {
            let error = match self.of(source).await {
                Ok(credentials) => {
                    self.chosen.get_or_init(|| source);
                    return Ok(credentials);
                }
                Err(error) => error,
            };
            let why = why(source, &error, &around);
            let is_last = why.is_fault();
            tried.push((source, why));
            if is_last {
                break;
            }
        }
        Err(CredentialsError::not_loaded(NoSource(sentence(&tried))))
    }

    /// Makes the next fetch read the files of profiles again.
    pub(super) fn read_again(&self) {
        *self.profile.lock() = Arc::new(profile(&self.settings.provider_config()));
    }

    /// The name of the source that had credentials.
    pub(super) fn chosen(&self) -> Option<&'static str> {
        self.chosen.get().map(|source| source.as_str())
    }

    async fn of(&self, source: Source) -> provider::Result {
        match source {
            Source::Environment => self.environment.provide_credentials().await,
            Source::Profile => {
                let provider = Arc::clone(&self.profile.lock());
                let outcome = provider.provide_credentials().await;
                if outcome.is_err() {
                    self.read_again();
                }
                outcome
            }
            Source::WebIdentity => self.web_identity.provide_credentials().await,
            Source::Container => self.container.provide_credentials().await,
            Source::Instance => self.instance.provide_credentials().await,
        }
    }
}

/// The settings of every source.
#[derive(Debug)]
struct ProviderSettings {
    region: Region,
    fips: bool,
    dual_stack: bool,
    http: SharedHttpClient,
}

impl ProviderSettings {
    fn new(settings: &StsSettings) -> Result<Self, StsSetupError> {
        Ok(Self {
            region: Region::new(settings.region.clone()),
            fips: settings.fips,
            dual_stack: settings.dual_stack,
            http: http_client(settings.ca.as_deref(), &settings.proxy)?,
        })
    }

    /// A configuration that has read no file yet: it reads the files of profiles only once.
    fn provider_config(&self) -> ProviderConfig {
        ProviderConfig::default()
            // Without a region here the sources would look for one at the metadata service.
            .with_region(Some(self.region.clone()))
            .with_use_fips(Some(self.fips))
            .with_use_dual_stack(Some(self.dual_stack))
            .with_behavior_version(Some(BehaviorVersion::v2026_01_12()))
            .with_http_client(self.http.clone())
    }
}

fn profile(config: &ProviderConfig) -> ProfileFileCredentialsProvider {
    ProfileFileCredentialsProvider::builder().configure(config).build()
}

impl ProvideCredentials for Sources {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(self.fetch())
    }

    fn fallback_on_interrupt(&self) -> Option<Credentials> {
        self.instance.fallback_on_interrupt()
    }
}

/// No source has credentials; the text is for the operator.
#[derive(Debug)]
pub(super) struct NoSource(pub(super) FailureText);

impl fmt::Display for NoSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.full)
    }
}

impl Error for NoSource {}
