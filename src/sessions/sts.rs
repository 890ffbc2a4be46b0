//! The `AssumeRole` call, and what its failures mean.

use std::collections::HashSet;
use std::error::Error;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Once};
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_sts::Client;
use aws_sdk_sts::config::retry::RetryConfig;
use aws_sdk_sts::config::timeout::TimeoutConfig;
use aws_sdk_sts::config::{BehaviorVersion, Builder, IdentityCache, Region, StalledStreamProtectionConfig};
use aws_sdk_sts::error::{BuildError, ProvideErrorMetadata, SdkError};
use aws_sdk_sts::operation::assume_role::{AssumeRoleError, AssumeRoleOutput};
use aws_sdk_sts::types::{PolicyDescriptorType, Tag};
use http::HeaderValue;

use parking_lot::Mutex;

use super::own_credentials::OwnCredentials;
use super::rate::Rate;
use super::transport::{StsSettings, StsSetupError, http_client};
use crate::attribution::arn::RoleArn;
use crate::attribution::tags::TagKey;
use crate::causes;
use crate::identity::SessionIdentity;
use crate::jitter;
use crate::reason::Reason;

/// What a session may last that was assumed with another session's credentials ("role chaining").
const CHAINED: Duration = Duration::from_hours(1);

/// How long STS may take for a session: attempts, the pauses between them and the turns of further ones. It begins
/// with the first turn. If the wait for that turn (`rate`, ten seconds) counted too, STS would have no time left
/// for a call whose turn comes late, and under a lasting overload every turn comes late.
pub(super) const STS_DEADLINE: Duration = Duration::from_secs(10);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
const ATTEMPTS: u32 = 3;
/// The longest pause before the second attempt; four times as long before the third.
const PAUSE: Duration = Duration::from_millis(200);
/// How long a further attempt waits for its turn: the first ones of others are worth more.
const RETRY_WAIT: Duration = Duration::from_secs(2);

/// What grants sessions: STS, or a test's stand-in for it.
pub trait AssumeRole: Send + Sync + 'static {
    /// Asks for one session. Callers bound the time, ask for a session once at a time, and have taken a
    /// turn of `rate` for the first call; each further one takes its own.
    fn assume_role<'a>(&'a self, id: Arc<SessionIdentity>, rate: &'a Rate) -> Issuing<'a>;
}

/// The outcome of an `AssumeRole` call, when it comes.
pub type Issuing<'a> = Pin<Box<dyn Future<Output = Result<Issued, StsError>> + Send + 'a>>;

/// A session as STS granted it.
#[derive(Debug, Clone)]
pub struct Issued {
    /// Key id and secret.
    pub credentials: Credentials,
    /// `x-amz-security-token`, as every request bears it.
    pub token: HeaderValue,
    pub expires: SystemTime,
}

/// Why STS granted no session. The texts are STS's own: role ARNs stand in them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StsError {
    /// It will not grant this session, now or later.
    #[error("{code}: {message}")]
    Denied { code: String, message: String },
    /// It gave no usable answer; it may later.
    #[error("{failure}: {message}")]
    Unavailable { failure: StsFailure, message: String },
    /// It would grant the gateway nothing, or the gateway could not even ask.
    #[error("{code}: {message}")]
    GatewayRefused { code: String, message: String },
}

/// In which way STS gave no usable answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StsFailure {
    /// Too many calls of this account.
    Throttled,
    /// No answer in time.
    TimedOut,
    /// No connection.
    Unreachable,
    /// An answer that says, or shows, that something is broken.
    Failed,
}

impl StsFailure {
    /// The reason in the access log and in metrics.
    pub fn reason(self) -> Reason {
        match self {
            Self::Throttled => Reason::StsThrottled,
            Self::TimedOut => Reason::StsTimeout,
            Self::Unreachable => Reason::StsUnreachable,
            Self::Failed => Reason::StsFailed,
        }
    }
}

impl fmt::Display for StsFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.reason().fmt(f)
    }
}

impl StsError {
    /// Nothing came within the time that the caller gives STS.
    pub(super) fn deadline() -> Self {
        Self::unavailable(StsFailure::TimedOut, "no answer within the deadline")
    }

    fn unavailable(failure: StsFailure, message: impl Into<String>) -> Self {
        Self::Unavailable { failure, message: message.into() }
    }

    /// Whether the session asked for was longer than role chaining allows. STS says so in words
    /// only: "The requested `DurationSeconds` exceeds the 1 hour session limit for roles assumed by
    /// role chaining".
    fn is_chaining_cap(&self) -> bool {
        let Self::Denied { code, message } = self else { return false };
        let message = message.to_ascii_lowercase();
        code == "ValidationError"
            && (message.contains("role chaining") || message.contains("1 hour session limit"))
    }

    /// What an error code of STS means; some come with and without `Exception`.
    fn of_code(code: &str, message: &str) -> Self {
        let (code, message) = (code.to_owned(), message.to_owned());
        match code.strip_suffix("Exception").unwrap_or(&code) {
            // The last one where a tag is set that the gateway's own session hands on (IAM user guide,
            // "Pass session tags", chaining).
            "AccessDenied"
            | "PackedPolicyTooLarge"
            | "MalformedPolicyDocument"
            | "ValidationError"
            | "InvalidParameterValue" => Self::Denied { code, message },
            // The gateway's own credentials, its clock, or its region.
            "ExpiredToken"
            | "InvalidClientTokenId"
            | "SignatureDoesNotMatch"
            | "UnrecognizedClient"
            | "MissingAuthenticationToken"
            | "IncompleteSignature"
            | "RequestExpired"
            | "RegionDisabled"
            | "OptInRequired" => Self::GatewayRefused { code, message },
            // With status 400, unlike anywhere else in AWS.
            "Throttling" | "Throttled" | "TooManyRequests" | "RequestLimitExceeded" => {
                Self::unavailable(StsFailure::Throttled, format!("{code}: {message}"))
            }
            _ => Self::unavailable(StsFailure::Failed, format!("{code}: {message}")),
        }
    }
}

/// The real STS, asked with the gateway's own credentials.
#[derive(Debug)]
pub struct StsClient {
    client: Client,
    source: OwnCredentials,
    chaining: Chaining,
}

impl StsClient {
    /// One client for every session: 2 s to connect, three attempts, and no time limit of an attempt. The client
    /// caches the gateway's own credentials and renews them shortly before they end.
    ///
    /// # Errors
    /// When the CA file is unusable. Nothing is connected to yet.
    pub fn new(settings: &StsSettings, source: OwnCredentials) -> Result<Self, StsSetupError> {
        let http = http_client(settings.ca.as_deref())?;
        Ok(Self::of(Self::config(settings, &source).http_client(http), source))
    }

    fn of(config: Builder, source: OwnCredentials) -> Self {
        Self { client: Client::from_conf(config.build()), source, chaining: Chaining::new() }
    }

    /// Everything except the way to the network.
    fn config(settings: &StsSettings, source: &OwnCredentials) -> Builder {
        // The caller's deadline is the only limit on an attempt: the gateway never gives a slow one up for another.
        let timeouts = TimeoutConfig::builder().connect_timeout(CONNECT_TIMEOUT).build();
        // The SDK alone would give 6.2 s to a source of credentials, which may be another slow STS.
        let own = IdentityCache::lazy().load_timeout(STS_DEADLINE).build();
        let mut config = Builder::new()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(Region::new(settings.region.clone()))
            .credentials_provider(source.clone())
            .identity_cache(own)
            // It would call again without a turn.
            .retry_config(RetryConfig::disabled())
            .timeout_config(timeouts)
            // It would end an attempt whose answer pauses for five seconds.
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .use_fips(settings.fips)
            .use_dual_stack(settings.dual_stack);
        if let Some(endpoint) = &settings.endpoint {
            config = config.endpoint_url(endpoint.as_str());
        }
        config
    }

    async fn grant(&self, id: &SessionIdentity, rate: &Rate) -> Result<Issued, StsError> {
        let mut pause = PAUSE;
        let mut attempt = 1;
        loop {
            let chained = self.source.status().is_session;
            let duration = self.chaining.allowed(id.role_arn(), id.duration(), chained);
            let error = match self.call(id, duration).await {
                Ok(issued) => return Ok(issued),
                Err(error) => error,
            };
            let error = if duration > CHAINED && error.is_chaining_cap() {
                self.chaining.learn(id.role_arn());
                // Not for good, if the next call cannot be made now.
                StsError::unavailable(StsFailure::Throttled, "no turn for the call that role chaining allows")
            } else if matches!(error, StsError::Unavailable { .. }) && attempt < ATTEMPTS {
                attempt += 1;
                tokio::time::sleep(jitter::up_to(pause)).await;
                pause *= 4;
                error
            } else {
                return Err(error);
            };
            if rate.turn_within(RETRY_WAIT).await.is_err() {
                return Err(error);
            }
        }
    }

    async fn call(&self, id: &SessionIdentity, duration: Duration) -> Result<Issued, StsError> {
        let tags = id
            .tags()
            .iter()
            .map(|(key, value)| Tag::builder().key(key.as_str()).value(value.as_str()).build());
        let tags: Vec<_> = tags
            .collect::<Result<_, _>>()
            .map_err(|error: BuildError| StsError::unavailable(StsFailure::Failed, error.to_string()))?;
        let policies = id.policy_arns().iter().map(|arn| PolicyDescriptorType::builder().arn(arn).build());
        let transitive = id.transitive_tags().iter().map(TagKey::as_str).map(str::to_owned);
        let answer = self
            .client
            .assume_role()
            .role_arn(id.role_arn().as_str())
            .role_session_name(id.name().as_str())
            .duration_seconds(i32::try_from(duration.as_secs()).unwrap_or(i32::MAX))
            .set_tags(some(tags))
            .set_transitive_tag_keys(some(transitive.collect()))
            .set_source_identity(id.source_identity().map(str::to_owned))
            .set_external_id(id.external_id().map(str::to_owned))
            .set_policy(id.policy().map(str::to_owned))
            .set_policy_arns(some(policies.collect()))
            .send()
            .await;
        answer.map_err(|error| meaning(&error)).and_then(|granted| issued(&granted))
    }
}

impl AssumeRole for StsClient {
    fn assume_role<'a>(&'a self, id: Arc<SessionIdentity>, rate: &'a Rate) -> Issuing<'a> {
        Box::pin(async move { self.grant(&id, rate).await })
    }
}

/// An empty list is not sent at all.
fn some<T>(list: Vec<T>) -> Option<Vec<T>> {
    (!list.is_empty()).then_some(list)
}

fn issued(granted: &AssumeRoleOutput) -> Result<Issued, StsError> {
    let malformed = || StsError::unavailable(StsFailure::Failed, "an answer without credentials");
    let granted = granted.credentials().ok_or_else(malformed)?;
    let expires = SystemTime::try_from(*granted.expiration()).map_err(|_| malformed())?;
    let mut token = HeaderValue::try_from(granted.session_token()).map_err(|_| malformed())?;
    token.set_sensitive(true);
    let (id, secret) = (granted.access_key_id(), granted.secret_access_key());
    let credentials = Credentials::new(id, secret, None, Some(expires), "AssumeRole");
    Ok(Issued { credentials, token, expires })
}

/// What a failed call means.
fn meaning(error: &SdkError<AssumeRoleError>) -> StsError {
    if let Some(code) = error.code() {
        return StsError::of_code(code, error.message().unwrap_or_default());
    }
    if let Some(cause) = missing_credentials(error) {
        let code = "NoCredentials".to_owned();
        return StsError::GatewayRefused { code, message: causes::in_one_line(cause) };
    }
    let failure = match error {
        SdkError::TimeoutError(_) => StsFailure::TimedOut,
        SdkError::DispatchFailure(cause) if cause.is_timeout() => StsFailure::TimedOut,
        SdkError::DispatchFailure(_) => StsFailure::Unreachable,
        _ => StsFailure::Failed,
    };
    StsError::unavailable(failure, causes::in_one_line(error))
}

/// The call was never made, for want of credentials to sign it with.
fn missing_credentials<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a CredentialsError> {
    causes::chain(error).find_map(|error| error.downcast_ref::<CredentialsError>())
}

/// Where role chaining caps a session at one hour.
#[derive(Debug)]
struct Chaining {
    /// Roles at which STS said so.
    capped: Mutex<HashSet<RoleArn>>,
    explained: Once,
}

impl Chaining {
    fn new() -> Self {
        Self { capped: Mutex::default(), explained: Once::new() }
    }

    /// The duration to ask for; `chained` when the gateway's own credentials are a session's.
    fn allowed(&self, role: &RoleArn, wanted: Duration, chained: bool) -> Duration {
        if wanted <= CHAINED {
            return wanted;
        }
        if chained {
            self.explained.call_once(|| {
                tracing::warn!(
                    wanted_seconds = wanted.as_secs(),
                    "the gateway's own credentials are a session's: roles assumed with them are \
                     chained, and AWS caps those sessions at one hour, which is used"
                );
            });
            return CHAINED;
        }
        let capped = self.capped.lock();
        if capped.contains(role) { CHAINED } else { wanted }
    }

    /// STS said that this role is chained.
    fn learn(&self, role: &RoleArn) {
        let mut capped = self.capped.lock();
        if capped.insert(role.clone()) {
            tracing::warn!(
                role_arn = role.as_str(),
                "AWS caps sessions of this role at one hour, because the gateway reaches it by role \
                 chaining; one hour is used from here on"
            );
        }
    }
}

#[cfg(test)]
mod tests;
