//! The threads that serve callers. Each has a single-threaded runtime of its own, so its tasks wait in one queue, in the
//! order in which they became ready. A runtime of many threads has several queues, and under load some tasks starve.
//!
//! All other work runs on the runtime that starts the workers, the control runtime.

use std::cell::Cell;
use std::future::Future;
use std::io;
use std::num::NonZeroUsize;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::thread;

use pin_project_lite::pin_project;
use tokio::net::TcpStream;
use tokio::runtime::{self, Handle};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::workers::poll_meter::PollMeter;

pub mod poll_meter;

/// How many tasks more than the least busy worker a worker may have, and still run its connections' streams itself. A
/// stream on another thread costs two wake-ups.
const STREAMS_AHEAD: usize = 4;

/// One of this many polls is of a task that another thread has given to the worker or woken: a new connection, a stream,
/// the end of a call to STS. By the library's default of 31, a thousand new connections would wait for a second or more
/// at a busy worker.
const ARRIVALS_EVERY: u32 = 2;

thread_local! {
    static CURRENT: Cell<usize> = const { Cell::new(0) };
}

/// The number of the worker whose thread this is, counted from 0. It is 0 on all other threads.
pub fn current() -> usize {
    CURRENT.get()
}

/// The number of cores that this process may use: its CPU set, and the quota of its cgroup rounded down, but at least 1.
pub fn cores() -> NonZeroUsize {
    thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
}

/// The workers. If this is dropped, their threads end, and with them all tasks.
#[derive(Debug)]
pub struct Workers {
    all: Vec<Worker>,
    /// Where the next search for the least busy worker begins, so that equals take turns.
    next: AtomicUsize,
    polls: Option<Arc<PollMeter>>,
    _running: watch::Sender<()>,
}

#[derive(Debug)]
struct Worker {
    runtime: Handle,
    tasks: Arc<Tasks>,
}

/// The number of a worker's tasks, on a cache line of its own.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Tasks(AtomicUsize);

impl Workers {
    /// Starts `count` threads. `polls` measures their tasks.
    ///
    /// # Errors
    /// Those of the system, when it cannot start a thread or a runtime.
    pub fn start(count: NonZeroUsize, polls: Option<Arc<PollMeter>>) -> io::Result<Arc<Self>> {
        let (running, stopped) = watch::channel(());
        let all = (0..count.get())
            .map(|number| Worker::start(number, stopped.clone()))
            .collect::<Result<_, _>>()?;
        Ok(Arc::new(Self { all, next: AtomicUsize::new(0), polls, _running: running }))
    }

    /// No thread of its own: the one worker is the runtime that calls this.
    pub fn here() -> Arc<Self> {
        let worker = Worker { runtime: Handle::current(), tasks: Arc::default() };
        let (next, running) = (AtomicUsize::new(0), watch::Sender::new(()));
        Arc::new(Self { all: vec![worker], next, polls: None, _running: running })
    }

    /// Serves a connection on the least busy worker, as one of `tasks`. `serve` must not block: it makes the future.
    ///
    /// # Errors
    /// Those of the system, when the worker cannot watch the socket.
    pub(crate) fn serve<F>(
        &self,
        socket: std::net::TcpStream,
        tasks: &mut JoinSet<()>,
        serve: impl FnOnce(TcpStream) -> F,
    ) -> io::Result<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let worker = self.least_busy();
        let stream = {
            let _entered = worker.runtime.enter();
            TcpStream::from_std(socket)?
        };
        tasks.spawn_on(self.task(worker, serve(stream)), &worker.runtime);
        Ok(())
    }

    /// Runs a stream of an HTTP/2 connection. It stays on the worker of its connection unless another is less busy.
    pub(crate) fn serve_stream(&self, stream: impl Future<Output = ()> + Send + 'static) {
        let worker = self.for_stream();
        worker.runtime.spawn(self.task(worker, stream));
    }

    fn task<F>(&self, worker: &Worker, future: F) -> Task<F> {
        Task { future, polls: self.polls.clone(), _counted: Counted::of(&worker.tasks) }
    }

    fn least_busy(&self) -> &Worker {
        let first = self.next.fetch_add(1, Ordering::Relaxed);
        let count = self.all.len();
        let in_turn = (0..count).map(|number| &self.all[first.wrapping_add(number) % count]);
        // There is always one: `start` and `here` make at least one.
        in_turn.min_by_key(|worker| worker.tasks()).unwrap_or(&self.all[0])
    }

    fn for_stream(&self) -> &Worker {
        let own = &self.all[current() % self.all.len()];
        let other = self.least_busy();
        if own.tasks() > other.tasks() + STREAMS_AHEAD { other } else { own }
    }
}

impl Worker {
    fn start(number: usize, mut stopped: watch::Receiver<()>) -> io::Result<Self> {
        let mut builder = runtime::Builder::new_current_thread();
        let runtime = builder.enable_all().global_queue_interval(ARRIVALS_EVERY).build()?;
        let handle = runtime.handle().clone();
        thread::Builder::new().name(format!("worker-{number}")).spawn(move || {
            CURRENT.set(number);
            // An error means that the sender is gone: `Workers` was dropped.
            let _gone = runtime.block_on(stopped.changed()).is_err();
            // Does not wait for a look-up of a host name, which can take long.
            runtime.shutdown_background();
        })?;
        Ok(Self { runtime: handle, tasks: Arc::default() })
    }

    fn tasks(&self) -> usize {
        self.tasks.0.load(Ordering::Relaxed)
    }
}

pin_project! {
    /// A task of a worker.
    struct Task<F> {
        #[pin]
        future: F,
        polls: Option<Arc<PollMeter>>,
        _counted: Counted,
    }
}

impl<F: Future> Future for Task<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let task = self.project();
        match task.polls {
            None => task.future.poll(cx),
            Some(polls) => polls.measure(|| task.future.poll(cx)),
        }
    }
}

/// Counts a task of a worker until it is dropped.
struct Counted(Arc<Tasks>);

impl Counted {
    fn of(tasks: &Arc<Tasks>) -> Self {
        tasks.0.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(tasks))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Makes this thread count as the one of worker `number`.
#[cfg(test)]
pub(crate) fn become_worker(number: usize) {
    CURRENT.set(number);
}

#[cfg(test)]
mod tests;
