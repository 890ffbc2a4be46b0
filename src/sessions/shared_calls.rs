//! Calls that requests share ("single flight"): for each key at most one call is in progress. All requests that need
//! its outcome wait for that call.
//!
//! A shared call is a task of its own, so it finishes even if the request that started it has ended. moka's own calls
//! end with the request that started them, and its methods do not share them.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::watch;

/// The shared calls in progress, by key.
pub(super) struct SharedCalls<K, V> {
    /// The control runtime, which runs the calls.
    runtime: Handle,
    in_progress: Arc<InProgress<K, V>>,
}

/// The map of calls in progress. No code holds the lock across an await; under it, only look-ups and counting happen.
type InProgress<K, V> = Mutex<HashMap<K, watch::Receiver<Option<V>>>>;

/// A call in progress, whose outcome a request can wait for.
pub(super) struct SharedCall<V>(watch::Receiver<Option<V>>);

/// An error: the call ended without an outcome, because its task panicked or the process stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NoOutcome;

impl<K, V> SharedCalls<K, V>
where
    K: Hash + Eq + Clone + Send + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// No calls yet. The runtime that calls this will run them all.
    pub(super) fn new() -> Self {
        Self { runtime: Handle::current(), in_progress: Arc::new(Mutex::new(HashMap::new())) }
    }

    /// Joins the call in progress for `key`, or starts the one that `prepare` makes.
    ///
    /// While `prepare` runs, no other call can start or finish. So `prepare` sees what the last call left. If that
    /// settles the request, `prepare` returns an `Err`, and so does this function.
    pub(super) fn join_or_start<F, E>(
        &self,
        key: &K,
        prepare: impl FnOnce() -> Result<F, E>,
    ) -> Result<SharedCall<V>, E>
    where
        F: Future<Output = V> + Send + 'static,
    {
        let mut in_progress = self.in_progress.lock();
        if let Some(call) = in_progress.get(key) {
            return Ok(SharedCall(call.clone()));
        }
        let task = prepare()?;
        let (outcome, call) = watch::channel(None);
        in_progress.insert(key.clone(), call.clone());
        let finish = Finish { key: key.clone(), in_progress: Arc::clone(&self.in_progress), outcome };
        // Release the lock first: `spawn` can drop the task at once, when the runtime shuts down. That drop takes the
        // lock.
        drop(in_progress);
        self.runtime.spawn(async move { finish.with(task.await) });
        Ok(SharedCall(call))
    }
}

impl<V: Clone> SharedCall<V> {
    /// Waits until the call has finished, and returns its outcome.
    ///
    /// # Errors
    /// [`NoOutcome`] when there will never be one.
    pub(super) async fn outcome(mut self) -> Result<V, NoOutcome> {
        let outcome = self.0.wait_for(Option::is_some).await.map_err(|_| NoOutcome)?;
        outcome.clone().ok_or(NoOutcome)
    }
}

/// The end of a call. It removes the call from the map, also when its task panics, and only then publishes the outcome:
/// a request that sees the outcome and tries again must not join the same call.
struct Finish<K: Hash + Eq, V> {
    key: K,
    in_progress: Arc<InProgress<K, V>>,
    outcome: watch::Sender<Option<V>>,
}

impl<K: Hash + Eq, V> Finish<K, V> {
    fn with(self, value: V) {
        let outcome = self.outcome.clone();
        drop(self);
        outcome.send_replace(Some(value));
    }
}

impl<K: Hash + Eq, V> Drop for Finish<K, V> {
    fn drop(&mut self) {
        self.in_progress.lock().remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    fn start<F>(calls: &SharedCalls<u8, u8>, task: F) -> SharedCall<u8>
    where
        F: Future<Output = u8> + Send + 'static,
    {
        calls.join_or_start(&0, || Ok::<_, Infallible>(task)).unwrap()
    }

    #[tokio::test]
    async fn after_a_call_that_panics_another_can_start() {
        let calls = SharedCalls::new();
        let first = start(&calls, async { panic!("on purpose") });
        let second = start(&calls, async { 2 });
        assert_eq!(first.outcome().await, Err(NoOutcome));
        assert_eq!(second.outcome().await, Err(NoOutcome), "it had joined the first");
        assert_eq!(start(&calls, async { 3 }).outcome().await, Ok(3));
    }

    /// A runtime that shuts down drops a new task within `spawn`.
    #[test]
    fn a_call_that_starts_while_the_runtime_shuts_down_has_no_outcome() {
        let stopped = tokio::runtime::Runtime::new().unwrap();
        let handle = stopped.handle().clone();
        drop(stopped);
        let (done, outcome) = std::sync::mpsc::channel();
        // In a thread of its own, because a deadlock would never end.
        std::thread::spawn(move || {
            let _entered = handle.enter();
            let call = start(&SharedCalls::new(), async { 1 });
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            done.send(runtime.block_on(call.outcome())).unwrap();
        });
        assert_eq!(outcome.recv_timeout(std::time::Duration::from_secs(10)), Ok(Err(NoOutcome)));
    }

    #[tokio::test]
    async fn an_error_of_prepare_is_returned() {
        let calls = SharedCalls::<u8, u8>::new();
        let begun = calls.join_or_start(&0, || Err::<std::future::Ready<u8>, _>("settled"));
        assert_eq!(begun.err(), Some("settled"));
        assert_eq!(start(&calls, async { 1 }).outcome().await, Ok(1));
    }
}
