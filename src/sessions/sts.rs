//! The `AssumeRole` call, and the meaning of its failures.

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
use aws_sdk_sts::operation::assume_role::AssumeRoleOutput;
use aws_sdk_sts::types::{PolicyDescriptorType, Tag};
use http::HeaderValue;

use parking_lot::Mutex;

use super::diagnosis::Denial;
use super::own_credentials::{self, OwnCredentials};
use super::rate::Rate;
use super::transport::{StsRoute, StsSettings, StsSetupError, http_client};
use crate::attribution::arn::RoleArn;
use crate::attribution::tags::TagKey;
use crate::causes;
use crate::identity::SessionIdentity;
use crate::jitter;
use crate::proxy::{NoConnection, Obstacle};
use crate::reason::Reason;

/// The longest session that STS grants if the gateway's own credentials also belong to a session ("role chaining").
const CHAINED: Duration = Duration::from_hours(1);

/// The default of `aws.sts_timeout`, the time limit for one session: all attempts, the pauses between them, and the
/// waits for the turns of the retries. It begins with the first turn. The wait for that turn (`rate`, ten seconds) does
/// not count: otherwise STS would have no time left for a call whose turn comes late, and under a lasting overload every
/// turn comes late.
pub const STS_DEADLINE: Duration = Duration::from_secs(10);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
const ATTEMPTS: u32 = 3;
/// The longest pause before the second attempt. The pause before the third is up to four times as long.
const PAUSE: Duration = Duration::from_millis(200);
/// The longest wait of a retry for its turn. First attempts for other callers are more important.
const RETRY_WAIT: Duration = Duration::from_secs(2);

/// A source of sessions: STS, or a stand-in of a test.
pub trait AssumeRole: Send + Sync + 'static {
    /// Requests one session. The calling code sets the deadline, makes one call at a time for each session, and has
    /// taken a turn of `rate` for the first attempt. Each retry takes its own turn.
    fn assume_role<'a>(&'a self, id: Arc<SessionIdentity>, rate: &'a Rate) -> Issuing<'a>;

    /// The time limit for one session, which the calling code sets.
    fn deadline(&self) -> Duration {
        STS_DEADLINE
    }
}

/// The future of an `AssumeRole` call.
pub type Issuing<'a> = Pin<Box<dyn Future<Output = Result<Issued, StsError>> + Send + 'a>>;

/// A session as STS granted it.
#[derive(Debug, Clone)]
pub struct Issued {
    /// Key id and secret.
    pub credentials: Credentials,
    /// The session token, as the value of `x-amz-security-token`.
    pub token: HeaderValue,
    pub expires: SystemTime,
    /// How much of the room for tags and policies the session takes, percent. STS refuses more than 100.
    pub packed_percent: Option<i32>,
    /// The source identity of the session. The gateway's own session may hand one on.
    pub source_identity: Option<String>,
}

/// Why STS granted no session. The texts are for the operator's log only: those of STS contain role ARNs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StsError {
    /// STS will not grant this session, now or later.
    #[error("{code}: {message}")]
    Denied { code: String, message: String },
    /// STS gave no usable answer, or a second call got no turn. A later call may succeed.
    #[error("{failure}: {message}")]
    Unavailable { failure: StsFailure, message: String },
    /// STS refuses every call of the gateway, or the gateway has no credentials to call it with.
    #[error("{code}: {message}")]
    GatewayRefused { code: String, message: String },
}

/// The kind of failure of [`StsError::Unavailable`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StsFailure {
    /// STS throttled the call: this account makes too many STS calls.
    Throttled,
    /// The gateway's own limit, `max_sts_rate`, left no turn for a second call.
    NoTurn,
    /// STS did not answer in time.
    TimedOut,
    /// The gateway could not connect to STS, because of this.
    Unreachable(Obstacle),
    /// STS answered with an error of its own, or with something that the gateway cannot use.
    Failed,
}

impl StsFailure {
    /// The reason in the access log and in metrics.
    pub fn reason(self) -> Reason {
        match self {
            Self::Throttled => Reason::StsThrottled,
            Self::NoTurn => Reason::StsRateExhausted,
            Self::TimedOut => Reason::StsTimeout,
            Self::Unreachable(_) => Reason::StsUnreachable,
            Self::Failed => Reason::StsFailed,
        }
    }
}

impl fmt::Display for StsFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Throttled => "STS throttled the call",
            Self::NoTurn => "the gateway's own limit left no turn for a second AssumeRole call",
            Self::TimedOut => "STS did not answer in time",
            Self::Unreachable(_) => "STS could not be reached",
            Self::Failed => "STS gave no usable answer",
        })
    }
}

impl StsError {
    /// STS gave no answer in time.
    pub(super) fn deadline(limit: Duration) -> Self {
        let message = format!("no session within {} s (aws.sts_timeout)", limit.as_secs_f64());
        Self::unavailable(StsFailure::TimedOut, message)
    }

    fn unavailable(failure: StsFailure, message: impl Into<String>) -> Self {
        Self::Unavailable { failure, message: message.into() }
    }

    /// Whether the requested session was longer than role chaining allows.
    fn is_chaining_cap(&self) -> bool {
        let Self::Denied { code, message } = self else { return false };
        Denial::of(code, message) == Denial::RoleChaining
    }

    /// The meaning of an error code of STS. Some codes exist with and without `Exception` at the end.
    fn of_code(code: &str, message: &str) -> Self {
        let (code, message) = (code.to_owned(), message.to_owned());
        match code.strip_suffix("Exception").unwrap_or(&code) {
            // STS returns `InvalidParameterValue` if a call sets a tag that the gateway's own session passes on as a
            // transitive tag (IAM user guide, "Pass session tags", chaining).
            // Assumption A7.
            "AccessDenied"
            | "PackedPolicyTooLarge"
            | "MalformedPolicyDocument"
            | "ValidationError"
            | "InvalidParameterValue" => Self::Denied { code, message },
            // These concern the gateway's own credentials, its clock, or its region.
            // Assumption A9.
            "ExpiredToken"
            | "InvalidClientTokenId"
            | "SignatureDoesNotMatch"
            | "UnrecognizedClient"
            | "MissingAuthenticationToken"
            | "IncompleteSignature"
            | "RequestExpired"
            | "RegionDisabled"
            | "OptInRequired" => Self::GatewayRefused { code, message },
            // STS sends them with status 400, unlike other AWS services.
            // Assumption A8.
            "Throttling" | "Throttled" | "TooManyRequests" | "RequestLimitExceeded" => {
                Self::unavailable(StsFailure::Throttled, format!("{code}: {message}"))
            }
            _ => Self::unavailable(StsFailure::Failed, format!("{code}: {message}")),
        }
    }
}

/// The code of [`StsError::GatewayRefused`] if the gateway has no credentials of its own.
pub(super) const NO_CREDENTIALS: &str = "NoCredentials";

/// The client of the real STS. It calls STS with the gateway's own credentials.
#[derive(Debug)]
pub struct StsClient {
    client: Client,
    source: OwnCredentials,
    route: StsRoute,
    chaining: Chaining,
    deadline: Duration,
}

impl StsClient {
    /// The client for all sessions: 2 s to connect, three attempts, no time limit for one attempt. It caches the
    /// gateway's own credentials and renews them shortly before they expire. It opens no connection yet.
    ///
    /// # Errors
    /// When the CA file is unusable.
    pub fn new(settings: &StsSettings, source: OwnCredentials) -> Result<Self, StsSetupError> {
        let http = http_client(settings.ca.as_deref(), &settings.proxy)?;
        let config = Self::config(settings, &source).http_client(http);
        Ok(Self { route: StsRoute::of(settings), deadline: settings.timeout, ..Self::of(config, source) })
    }

    fn of(config: Builder, source: OwnCredentials) -> Self {
        Self {
            client: Client::from_conf(config.build()),
            source,
            route: StsRoute::default(),
            chaining: Chaining::new(),
            deadline: STS_DEADLINE,
        }
    }

    /// The SDK's client, which shares its connections and credentials with this one.
    pub(super) fn client(&self) -> Client {
        self.client.clone()
    }

    pub(super) fn source(&self) -> OwnCredentials {
        self.source.clone()
    }

    pub(super) fn route(&self) -> StsRoute {
        self.route.clone()
    }

    /// The configuration of the client, without its HTTP client.
    fn config(settings: &StsSettings, source: &OwnCredentials) -> Builder {
        // The deadline is the only time limit of an attempt: the gateway never abandons a slow attempt for another.
        let timeouts =
            TimeoutConfig::builder().connect_timeout(CONNECT_TIMEOUT.min(settings.timeout)).build();
        // The SDK's default for a source of credentials is 6.2 s, and that source may be another slow STS.
        let own = IdentityCache::lazy().load_timeout(settings.timeout).build();
        let mut config = Builder::new()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(Region::new(settings.region.clone()))
            .credentials_provider(source.clone())
            .identity_cache(own)
            // The SDK would retry without a turn of `rate`.
            .retry_config(RetryConfig::disabled())
            .timeout_config(timeouts)
            // The SDK would end an attempt whose answer pauses for five seconds.
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
                // This error stays if the second call gets no turn. A later request may get one, so it is no denial.
                StsError::unavailable(
                    StsFailure::NoTurn,
                    "AWS limits role chaining to one hour, so STS refused the configured duration; \
                     raise [sessions] max_sts_rate, within STS's quota, or set a duration of one hour",
                )
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
            // Assumption A6.
            .set_tags(some(tags))
            .set_transitive_tag_keys(some(transitive.collect()))
            .set_source_identity(id.source_identity().map(str::to_owned))
            .set_external_id(id.external_id().map(str::to_owned))
            .set_policy(id.policy().map(str::to_owned))
            .set_policy_arns(some(policies.collect()))
            .send()
            .await;
        answer.map_err(|error| failed(&error, &self.route, &self.source)).and_then(|granted| issued(&granted))
    }
}

impl AssumeRole for StsClient {
    fn assume_role<'a>(&'a self, id: Arc<SessionIdentity>, rate: &'a Rate) -> Issuing<'a> {
        Box::pin(async move { self.grant(&id, rate).await })
    }

    fn deadline(&self) -> Duration {
        self.deadline
    }
}

/// The list, or `None` for an empty one, which must not be sent.
fn some<T>(list: Vec<T>) -> Option<Vec<T>> {
    (!list.is_empty()).then_some(list)
}

fn issued(answer: &AssumeRoleOutput) -> Result<Issued, StsError> {
    let malformed = || StsError::unavailable(StsFailure::Failed, "the answer holds no usable credentials");
    let granted = answer.credentials().ok_or_else(malformed)?;
    let expires = SystemTime::try_from(*granted.expiration()).map_err(|_| malformed())?;
    let mut token = HeaderValue::try_from(granted.session_token()).map_err(|_| malformed())?;
    token.set_sensitive(true);
    let (id, secret) = (granted.access_key_id(), granted.secret_access_key());
    let credentials = Credentials::new(id, secret, None, Some(expires), "AssumeRole");
    let source_identity = answer.source_identity().map(str::to_owned);
    Ok(Issued {
        credentials,
        token,
        expires,
        packed_percent: answer.session_token_utilization(),
        source_identity,
    })
}

/// The meaning of a failed call. If STS refuses the gateway itself, `source` reads its files again.
pub(super) fn failed<E: Error + ProvideErrorMetadata + 'static>(
    error: &SdkError<E>,
    route: &StsRoute,
    source: &OwnCredentials,
) -> StsError {
    let error = meaning(error, route);
    if matches!(&error, StsError::GatewayRefused { code, .. } if code != NO_CREDENTIALS) {
        source.refused();
    }
    error
}

fn meaning<E: Error + ProvideErrorMetadata + 'static>(error: &SdkError<E>, route: &StsRoute) -> StsError {
    if let Some(code) = error.code() {
        return StsError::of_code(code, error.message().unwrap_or_default());
    }
    if let Some(cause) = missing_credentials(error) {
        let code = NO_CREDENTIALS.to_owned();
        return StsError::GatewayRefused { code, message: own_credentials::explain(cause).full };
    }
    let NoConnection { obstacle, text } = route.explain(error);
    let failure = match error {
        SdkError::TimeoutError(_) => StsFailure::TimedOut,
        SdkError::DispatchFailure(cause) if cause.is_timeout() => StsFailure::TimedOut,
        SdkError::DispatchFailure(_) => StsFailure::Unreachable(obstacle),
        _ => StsFailure::Failed,
    };
    StsError::unavailable(failure, text)
}

/// The error of the gateway's own credentials, if the SDK had none to sign the call with.
fn missing_credentials<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a CredentialsError> {
    causes::chain(error).find_map(|error| error.downcast_ref::<CredentialsError>())
}

/// The roles whose sessions AWS limits to one hour because of role chaining.
#[derive(Debug)]
struct Chaining {
    /// The roles for which STS has reported the limit.
    capped: Mutex<HashSet<RoleArn>>,
    explained: Once,
}

impl Chaining {
    fn new() -> Self {
        Self { capped: Mutex::default(), explained: Once::new() }
    }

    /// The duration to request. `chained`: the gateway's own credentials belong to a session.
    fn allowed(&self, role: &RoleArn, wanted: Duration, chained: bool) -> Duration {
        if wanted <= CHAINED {
            return wanted;
        }
        if chained {
            self.explained.call_once(|| {
                tracing::warn!(
                    wanted_seconds = wanted.as_secs(),
                    "sessions last one hour, not the configured duration: the gateway's own credentials belong \
                     to a session, and AWS limits role chaining to one hour"
                );
            });
            return CHAINED;
        }
        let capped = self.capped.lock();
        if capped.contains(role) { CHAINED } else { wanted }
    }

    /// Notes that STS has reported the limit for this role.
    fn learn(&self, role: &RoleArn) {
        let mut capped = self.capped.lock();
        if capped.insert(role.clone()) {
            tracing::warn!(
                role_arn = role.as_str(),
                "sessions of this role last one hour, not the configured duration: AWS limits role chaining to \
                 one hour"
            );
        }
    }
}

#[cfg(test)]
mod tests;
