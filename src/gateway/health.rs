//! Checks of what the gateway depends on, so that a failure is known before a caller meets it, and its end too.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tracing::info;

use crate::jitter;
use crate::operator::probe::Readiness;
use crate::route::Service;
use crate::sessions::caller_identity::CallerIdentity;
use crate::sessions::own_credentials::OwnCredentials;
use crate::state::Gateway;

/// The time between two checks of what works.
pub(super) const WELL: Duration = Duration::from_secs(5 * 60);
/// The longest time between two checks of what fails.
pub(super) const FAILING: Duration = Duration::from_secs(5);
/// The time between two searches for problems that began or ended.
const SEARCH: Duration = Duration::from_secs(1);

/// Logs the problems of the gateway that begin and end.
pub(super) async fn report_problems(readiness: Arc<Readiness>) {
    loop {
        sleep(SEARCH).await;
        readiness.log_problems();
    }
}

/// Checks the gateway's own credentials and STS.
pub(super) async fn check_sts(gateway: Arc<Gateway>, source: OwnCredentials, sts: CallerIdentity) {
    let mut known = String::new();
    let failing = || gateway.sessions.sts_health().failure().is_some() || !source.status().is_well();
    loop {
        // If there are none, the status of the source has the cause, and STS is not to blame.
        if source.status().is_well() || source.warm().await.is_ok() {
            let arn = sts.arn().await;
            gateway.sessions.sts_health().check(&arn);
            if let Ok(arn) = arn
                && arn != known
            {
                info!(arn, "STS accepts the gateway's own AWS credentials");
                known = arn;
            }
        }
        due(failing).await;
    }
}

/// Checks that connections to Bedrock can be opened: to the home region's runtime, and to every endpoint that failed,
/// all at once. A check sends no request.
pub(super) async fn check_bedrock(gateway: Arc<Gateway>) {
    loop {
        let config = gateway.config.load_full();
        let home = config.endpoints.find(&config.home, Service::Runtime).ok();
        let mut checks = JoinSet::new();
        for endpoint in config.endpoints.iter() {
            let is_home = home.is_some_and(|home| Arc::ptr_eq(home, endpoint));
            if !is_home {
                endpoint.reach.forget();
            }
            if endpoint.reach.is_failing() || is_home {
                let (gateway, endpoint) = (Arc::clone(&gateway), Arc::clone(endpoint));
                checks.spawn(async move { gateway.upstream.check(&endpoint).await });
            }
        }
        drop(config);
        checks.join_all().await;
        due(|| gateway.config.load().endpoints.iter().any(|endpoint| endpoint.reach.is_failing())).await;
    }
}

/// Waits until the next check: not long if something fails now, or a request finds that it does.
async fn due(failing: impl Fn() -> bool) {
    let latest = Instant::now() + jitter::a_little_less(WELL);
    loop {
        sleep(jitter::a_little_less(FAILING)).await;
        if failing() || Instant::now() >= latest {
            return;
        }
    }
}
