//! The gateway's own AWS credentials: where they come from, and whether the gateway has ever had any.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use aws_config::imds::client::error::ImdsError;
use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{self, ProvideCredentials, SharedCredentialsProvider, future};
use aws_sdk_sts::error::ErrorMetadata;
use parking_lot::Mutex;

use self::sources::{NoSource, Sources};
use super::failure_text::FailureText;
use super::transport::{StsSettings, StsSetupError};
use crate::causes;
use crate::clock;

/// How long the SDK may keep keys without an end. It asks up to ten seconds earlier.
const KEPT: Duration = Duration::from_secs(15);

mod sources;
mod words;

/// The gateway's own credentials. The gateway looks for them where every AWS SDK does, in the same order:
/// environment, profile, web identity, container, EC2.
#[derive(Debug, Clone)]
pub struct OwnCredentials {
    provider: SharedCredentialsProvider,
    /// Those that can be read again.
    sources: Option<Arc<Sources>>,
    state: Arc<Mutex<OwnCredentialsStatus>>,
}

/// The state of the gateway's own credentials after the last attempt to fetch them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OwnCredentialsStatus {
    /// The gateway has fetched credentials at least once.
    pub had_credentials: bool,
    /// They belong to a session. A role assumed with them is chained ("role chaining").
    pub is_session: bool,
    /// Why the last attempt failed, in words for the operator. `None`: it succeeded.
    pub last_error: Option<FailureText>,
}

impl OwnCredentialsStatus {
    /// Whether there are credentials, and the last attempt to fetch them succeeded.
    pub fn is_well(&self) -> bool {
        self.had_credentials && self.last_error.is_none()
    }
}

impl OwnCredentials {
    /// The sources of the AWS SDKs, by this process's environment. Nothing is fetched yet.
    ///
    /// # Errors
    /// When the CA file is unusable.
    pub fn from_environment(settings: &StsSettings) -> Result<Self, StsSetupError> {
        let sources = Arc::new(Sources::new(settings)?);
        let provider: Arc<dyn ProvideCredentials> = Arc::clone(&sources) as _;
        Ok(Self { provider: provider.into(), sources: Some(sources), state: Arc::default() })
    }

    /// The credentials of the profile with this name, for calls of another account than the gateway's.
    ///
    /// # Errors
    /// When the CA file is unusable.
    pub fn of_profile(settings: &StsSettings, name: &str) -> Result<Self, StsSetupError> {
        Ok(Self::new(sources::named_profile(settings, name)?))
    }

    /// The credentials of `provider`.
    pub fn new(provider: impl ProvideCredentials + 'static) -> Self {
        let provider = SharedCredentialsProvider::new(provider);
        Self { provider, sources: None, state: Arc::default() }
    }

    /// Fetches credentials; [`OwnCredentials::status`] then says whether there are any.
    ///
    /// # Errors
    /// When no source has credentials, or a configured source fails.
    pub async fn warm(&self) -> Result<(), CredentialsError> {
        self.fetch().await.map(drop)
    }

    pub fn status(&self) -> OwnCredentialsStatus {
        self.state.lock().clone()
    }

    /// The source that had the credentials, in words for the operator. `None`: none had any yet.
    pub fn source(&self) -> Option<&'static str> {
        self.sources.as_ref().and_then(|sources| sources.chosen())
    }

    /// Notes that STS refused the credentials. The next fetch reads the files of profiles again: the operator may have
    /// corrected them.
    pub(super) fn refused(&self) {
        if let Some(sources) = &self.sources {
            sources.read_again();
        }
    }

    async fn fetch(&self) -> provider::Result {
        let outcome = self.provider.provide_credentials().await.map(renewable);
        let mut state = self.state.lock();
        match &outcome {
            Ok(credentials) => {
                *state = OwnCredentialsStatus {
                    had_credentials: true,
                    // Assumption A10.
                    is_session: credentials.session_token().is_some(),
                    last_error: None,
                };
            }
            Err(error) => state.last_error = Some(explain(error)),
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

/// Keys without an end, for which the SDK asks again soon. It would keep them for 15 minutes, also after they are
/// corrected.
fn renewable(mut credentials: Credentials) -> Credentials {
    credentials.expiry_mut().get_or_insert_with(|| clock::now() + KEPT);
    credentials
}

/// One sentence for each kind of error: what failed, the next step, then the cause.
pub(super) fn explain(error: &CredentialsError) -> FailureText {
    if let Some(NoSource(text)) = causes::chain(error).find_map(|error| error.downcast_ref()) {
        return text.clone();
    }
    let (sentence, cause) = match error {
        CredentialsError::CredentialsNotLoaded(_) => {
            ("no AWS credentials found; set up one of the sources", cause(error))
        }
        CredentialsError::ProviderTimedOut(timeout) => (
            "the source of the AWS credentials did not answer in time; check that the gateway can reach it",
            format!("timeout of {} s", timeout.timeout_duration().as_secs()),
        ),
        CredentialsError::InvalidConfiguration(_) => (
            "the configuration of the AWS credentials is invalid; fix the profile or the environment",
            cause(error),
        ),
        CredentialsError::ProviderError(_) => {
            ("the source of the AWS credentials failed; check its address and its permissions", cause(error))
        }
        _ => ("the source of the AWS credentials gave an answer that the gateway cannot use", cause(error)),
    };
    FailureText::with_cause(sentence, &cause)
}

/// The causes of `error` in one line.
fn cause(error: &CredentialsError) -> String {
    causes::joined(causes::chain(error).skip(1).map(plain))
}

/// The text of one error. Two errors of the SDK print debug output instead, with the headers and the body of an
/// answer.
fn plain(error: &(dyn Error + 'static)) -> String {
    if let Some(ImdsError::ErrorResponse(answer)) = error.downcast_ref() {
        return format!(
            "EC2's metadata service answered with status {}",
            answer.response().status().as_u16()
        );
    }
    if let Some(answer) = error.downcast_ref::<ErrorMetadata>() {
        let parts = [answer.code(), answer.message()];
        return parts.into_iter().flatten().collect::<Vec<_>>().join(": ");
    }
    error.to_string()
}

#[cfg(test)]
mod tests {
    use aws_config::imds;
    use aws_config::provider_config::ProviderConfig;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;
    use crate::sessions::transport::http_client;

    #[tokio::test]
    async fn the_status_says_whether_there_were_credentials_and_of_which_kind() {
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

    #[test]
    fn each_kind_of_error_is_one_plain_sentence() {
        let answer = ErrorMetadata::builder().code("AccessDenied").message("not authorized").build();
        for (error, sentence) in [
            (CredentialsError::not_loaded_no_source(), "no AWS credentials found; set up one of the sources"),
            (
                CredentialsError::provider_timed_out(Duration::from_secs(5)),
                "the source of the AWS credentials did not answer in time; check that the gateway can reach it: \
                 timeout of 5 s",
            ),
            (
                CredentialsError::invalid_configuration("profile `x` was not defined"),
                "the configuration of the AWS credentials is invalid; fix the profile or the environment: \
                 profile `x` was not defined",
            ),
            (
                CredentialsError::provider_error(answer),
                "the source of the AWS credentials failed; check its address and its permissions: \
                 AccessDenied: not authorized",
            ),
            (
                CredentialsError::unhandled("no key id"),
                "the source of the AWS credentials gave an answer that the gateway cannot use: no key id",
            ),
        ] {
            assert_eq!(explain(&error).full, sentence);
            assert!(!explain(&error).short.contains("not authorized"));
        }
    }

    /// EC2's metadata service, which refuses with a body.
    async fn refusing() -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move {
            // A token first; then no role.
            for answer in [
                "HTTP/1.1 200 OK\r\nconnection: close\r\nx-aws-ec2-metadata-token-ttl-seconds: 60\r\n\
                 content-length: 5\r\n\r\ntoken",
                "HTTP/1.1 403 Forbidden\r\nconnection: close\r\ncontent-length: 6\r\n\r\nhidden",
            ] {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut head = [0; 4096];
                assert!(stream.read(&mut head).await.unwrap() > 0);
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        address
    }

    #[tokio::test]
    async fn a_refusal_of_ec2_is_a_status_without_headers_or_body() {
        let config = ProviderConfig::default()
            .with_http_client(http_client(None, &crate::proxy::Proxy::default()).unwrap());
        let client = imds::Client::builder().configure(&config).endpoint(refusing().await).unwrap();
        let client = client.max_attempts(1).build();
        let provider = imds::credentials::ImdsCredentialsProvider::builder().imds_client(client).build();
        let text = explain(&provider.provide_credentials().await.unwrap_err()).full;
        assert_eq!(
            text,
            "the source of the AWS credentials failed; check its address and its permissions: \
             EC2's metadata service answered with status 403"
        );
    }

    #[tokio::test]
    async fn the_status_keeps_the_last_error_in_words() {
        let source = OwnCredentials::new(Nothing);
        source.warm().await.unwrap_err();
        let status = source.status();
        assert!(!status.had_credentials);
        assert!(status.last_error.unwrap().full.ends_with("none here"));
    }
}
