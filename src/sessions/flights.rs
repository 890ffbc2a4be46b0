//! The map of flights. For each key at most one task runs; all requests that need its outcome wait for that task.
//!
//! A flight is a task of its own, so it lands even if the request that started it has ended. The single flights of moka
//! end with the request that started them, and its methods do not share them.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::watch;

/// The tasks in progress, by key.
pub(super) struct Flights<K, V> {
    airborne: Arc<Airborne<K, V>>,
}

/// The tasks in progress. No code holds the lock across an await; under it, only look-ups and counting happen.
type Airborne<K, V> = Mutex<HashMap<K, watch::Receiver<Option<V>>>>;

/// A task in progress, whose outcome a request can wait for.
pub(super) struct Flight<V>(watch::Receiver<Option<V>>);

/// An error: the flight ended without an outcome, because it panicked or the process stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lost;

impl<K, V> Flights<K, V>
where
    K: Hash + Eq + Clone + Send + 'static,
    V: Clone + Send + Sync + 'static,
{
    pub(super) fn new() -> Self {
        Self { airborne: Arc::new(Mutex::new(HashMap::new())) }
    }

    /// Joins the flight in progress for `key`, or starts the one that `prepare` makes.
    ///
    /// While `prepare` runs, no other task can start or land a flight. So `prepare` sees what the last flight left. If
    /// that settles the request, `prepare` returns an `Err`, and so does this function.
    pub(super) fn join_or_start<F, E>(
        &self,
        key: &K,
        prepare: impl FnOnce() -> Result<F, E>,
    ) -> Result<Flight<V>, E>
    where
        F: Future<Output = V> + Send + 'static,
    {
        let mut airborne = self.airborne.lock();
        if let Some(flight) = airborne.get(key) {
            return Ok(Flight(flight.clone()));
        }
        let task = prepare()?;
        let (outcome, flight) = watch::channel(None);
        airborne.insert(key.clone(), flight.clone());
        let landing = Landing { key: key.clone(), airborne: Arc::clone(&self.airborne), outcome };
        // A runtime that shuts down drops the task within `spawn`, and the task's landing locks the map.
        drop(airborne);
        tokio::spawn(async move { landing.with(task.await) });
        Ok(Flight(flight))
    }
}

impl<V: Clone> Flight<V> {
    /// The outcome, once the flight has landed.
    ///
    /// # Errors
    /// [`Lost`] when there will never be one.
    pub(super) async fn landed(mut self) -> Result<V, Lost> {
        let outcome = self.0.wait_for(Option::is_some).await.map_err(|_| Lost)?;
        outcome.clone().ok_or(Lost)
    }
}

/// The end of a flight. It removes the flight from the map, also when its task panics, and only then publishes the
/// outcome: a request that sees the outcome and tries again must not join the same flight.
struct Landing<K: Hash + Eq, V> {
    key: K,
    airborne: Arc<Airborne<K, V>>,
    outcome: watch::Sender<Option<V>>,
}

impl<K: Hash + Eq, V> Landing<K, V> {
    fn with(self, value: V) {
        let outcome = self.outcome.clone();
        drop(self);
        outcome.send_replace(Some(value));
    }
}

impl<K: Hash + Eq, V> Drop for Landing<K, V> {
    fn drop(&mut self) {
        self.airborne.lock().remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    fn start<F>(flights: &Flights<u8, u8>, task: F) -> Flight<u8>
    where
        F: Future<Output = u8> + Send + 'static,
    {
        flights.join_or_start(&0, || Ok::<_, Infallible>(task)).unwrap()
    }

    #[tokio::test]
    async fn after_a_flight_that_panics_another_can_start() {
        let flights = Flights::new();
        let first = start(&flights, async { panic!("on purpose") });
        let second = start(&flights, async { 2 });
        assert_eq!(first.landed().await, Err(Lost));
        assert_eq!(second.landed().await, Err(Lost), "it had joined the first");
        assert_eq!(start(&flights, async { 3 }).landed().await, Ok(3));
    }

    /// A runtime that shuts down drops a new task within `spawn`.
    #[test]
    fn a_flight_that_starts_while_the_runtime_shuts_down_is_lost() {
        let stopped = tokio::runtime::Runtime::new().unwrap();
        let handle = stopped.handle().clone();
        drop(stopped);
        let (done, outcome) = std::sync::mpsc::channel();
        // In a thread of its own, because a deadlock would never end.
        std::thread::spawn(move || {
            let _entered = handle.enter();
            let flight = start(&Flights::new(), async { 1 });
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            done.send(runtime.block_on(flight.landed())).unwrap();
        });
        assert_eq!(outcome.recv_timeout(std::time::Duration::from_secs(10)), Ok(Err(Lost)));
    }

    #[tokio::test]
    async fn an_error_of_prepare_is_returned() {
        let flights = Flights::<u8, u8>::new();
        let begun = flights.join_or_start(&0, || Err::<std::future::Ready<u8>, _>("settled"));
        assert_eq!(begun.err(), Some("settled"));
        assert_eq!(start(&flights, async { 1 }).landed().await, Ok(1));
    }
}
