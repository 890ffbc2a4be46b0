//! The one map of flights: for each key at most one task runs, and whoever wants its outcome waits
//! for that one.
//!
//! A flight is a task of its own, so it lands whether or not the caller who started it is still
//! there. moka's own single flights die with their caller and are not shared between its methods.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::watch;

/// Tasks under way, by key.
pub(super) struct Flights<K, V> {
    airborne: Arc<Airborne<K, V>>,
}

/// Never locked across an await, nor while anything but look-ups and counting happens.
type Airborne<K, V> = Mutex<HashMap<K, watch::Receiver<Option<V>>>>;

/// A task under way, to be waited for.
pub(super) struct Flight<V>(watch::Receiver<Option<V>>);

/// The flight ended without an outcome: it panicked, or the process is going down.
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

    /// The flight under way for `key`, or the one that `prepare` makes.
    ///
    /// `prepare` runs while nobody else can start or land one, so what it looks up is what the last
    /// flight left; it says what was settled meanwhile by an `Err`, which is handed back.
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

/// Takes the flight off the map, also when its task panics, and only then lets its outcome be
/// seen: who sees it and asks again must not meet the same flight.
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
    async fn a_flight_that_panics_is_lost_and_leaves_the_way_clear() {
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
        // A thread of its own, because a deadlock would last for ever.
        std::thread::spawn(move || {
            let _entered = handle.enter();
            let flight = start(&Flights::new(), async { 1 });
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            done.send(runtime.block_on(flight.landed())).unwrap();
        });
        assert_eq!(outcome.recv_timeout(std::time::Duration::from_secs(10)), Ok(Err(Lost)));
    }

    #[tokio::test]
    async fn what_was_settled_meanwhile_is_handed_back() {
        let flights = Flights::<u8, u8>::new();
        let begun = flights.join_or_start(&0, || Err::<std::future::Ready<u8>, _>("settled"));
        assert_eq!(begun.err(), Some("settled"));
        assert_eq!(start(&flights, async { 1 }).landed().await, Ok(1));
    }
}
