//! Frees the memory of what has expired. The caches only check whether an entry is still valid when it is used.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;
use tracing::error;

use crate::state::Gateway;

/// The time between two sweeps.
const EVERY: Duration = Duration::from_secs(10);

/// Sweeps the caches, on a blocking thread: 100,000 sessions may expire together.
pub(super) async fn sweep(gateway: Arc<Gateway>) {
    loop {
        sleep(EVERY).await;
        let gateway = Arc::clone(&gateway);
        if let Err(error) = tokio::task::spawn_blocking(move || gateway.sweep()).await {
            error!(%error, "expired sessions and tokens were not removed");
        }
    }
}
