//! Waiting for something to come true, without knowing when.

use std::time::Duration;

use tokio::time::Instant;

/// Far above what anything here takes, since the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(30);

/// The time between two checks.
const PACE: Duration = Duration::from_millis(5);

/// The result of a check: `true`, or `Some` with a value, ends the wait.
pub trait Awaited {
    type Came;

    fn came(self) -> Option<Self::Came>;
}

impl Awaited for bool {
    type Came = ();

    fn came(self) -> Option<()> {
        self.then_some(())
    }
}

impl<T> Awaited for Option<T> {
    type Came = T;

    fn came(self) -> Option<T> {
        self
    }
}

/// Repeats a check until it returns `true` or `Some`, and returns the value. Panics after half a minute.
pub async fn until<T: Awaited>(what: &str, holds: impl AsyncFnMut() -> T) -> T::Came {
    within(PATIENCE, what, holds).await
}

/// [`until`] with another limit.
pub async fn within<T: Awaited>(limit: Duration, what: &str, mut holds: impl AsyncFnMut() -> T) -> T::Came {
    let end = Instant::now() + limit;
    loop {
        if let Some(came) = holds().await.came() {
            return came;
        }
        assert!(Instant::now() < end, "waited in vain for {what}");
        tokio::time::sleep(PACE).await;
    }
}
