//! What a connection's peer does, and since when: a peer that neither sends nor reads holds places that
//! others need, and the HTTP library notices only some of it.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

/// How long a connection's peer may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// From the connection's start (TLS included), or from a later head's first byte, to the head's end.
    pub(super) head: Duration,
    /// From one answer's end to the next request's beginning. Longer than what clients and balancers keep
    /// idle connections for (60 s), so that they close first and no request is lost on a connection that
    /// closes as it is written.
    pub(super) idle: Duration,
    /// For reading anything of what there is to read.
    pub(super) reading: Duration,
    /// How often this is looked after.
    pub(super) tick: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            head: Duration::from_secs(10),
            idle: Duration::from_secs(75),
            reading: Duration::from_secs(60),
            tick: Duration::from_secs(5),
        }
    }
}

/// What is wrong with a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// It began a request and does not get to the head's end.
    SlowHead,
    /// It has had no request for long.
    Idle,
    /// It does not read what it asked for.
    NotReading,
}

/// What one connection's peer does now.
#[derive(Debug)]
pub(super) struct Conduct {
    clock: Clock,
    open: AtomicUsize,
    is_h2: AtomicBool,
    idle: Mark,
    head: Mark,
    writing: Mark,
    /// One for each answer that is open, set while nothing is taken of it.
    answers: Mutex<Vec<Arc<Mark>>>,
}

/// Milliseconds of one connection's life, from 1.
#[derive(Debug, Clone, Copy)]
struct Clock(Instant);

impl Clock {
    fn now(self) -> u64 {
        u64::try_from(self.0.elapsed().as_millis()).unwrap_or(u64::MAX).saturating_add(1)
    }
}

/// Since when something has been so; 0 while it is not.
#[derive(Debug, Default)]
struct Mark(AtomicU64);

impl Mark {
    fn set(&self, clock: Clock) {
        self.0.store(clock.now(), Ordering::Relaxed);
    }

    fn set_once(&self, clock: Clock) {
        if self.0.load(Ordering::Relaxed) == 0 {
            self.set(clock);
        }
    }

    fn clear(&self) {
        self.0.store(0, Ordering::Relaxed);
    }

    fn longer_than(&self, time: Duration, clock: Clock) -> bool {
        let since = self.0.load(Ordering::Relaxed);
        since != 0 && u128::from(clock.now().saturating_sub(since)) > time.as_millis()
    }
}

impl Conduct {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            clock: Clock(Instant::now()),
            open: AtomicUsize::new(0),
            is_h2: AtomicBool::new(false),
            idle: Mark::default(),
            head: Mark::default(),
            writing: Mark::default(),
            answers: Mutex::default(),
        })
    }

    /// A request's head has come whole.
    pub(super) fn begin(self: &Arc<Self>, is_h2: bool) -> Open {
        self.is_h2.store(is_h2, Ordering::Relaxed);
        self.open.fetch_add(1, Ordering::Relaxed);
        self.idle.clear();
        self.head.clear();
        Open(Arc::clone(self))
    }

    /// What is wrong now, if anything.
    pub(super) fn fault(&self, patience: &Patience) -> Option<Fault> {
        let reading = |mark: &Mark| mark.longer_than(patience.reading, self.clock);
        let answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        if reading(&self.writing) || answers.iter().any(|answer| reading(answer)) {
            return Some(Fault::NotReading);
        }
        drop(answers);
        if self.open.load(Ordering::Relaxed) > 0 {
            return None;
        }
        if self.head.longer_than(patience.head, self.clock) {
            return Some(Fault::SlowHead);
        }
        self.idle.longer_than(patience.idle, self.clock).then_some(Fault::Idle)
    }
}

/// A request that has not been answered to the end.
#[derive(Debug)]
pub(super) struct Open(Arc<Conduct>);

impl Open {
    /// The answer's body, watched on its way out.
    pub(super) fn answer<B>(self, body: B) -> Watched<B> {
        let mark = Arc::new(Mark::default());
        mark.set(self.0.clock);
        self.0.answers.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&mark));
        Watched { body, mark, open: self }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if self.0.open.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.0.idle.set(self.0.clock);
        }
    }
}

/// An answer's body that notes when nothing is taken of it.
#[derive(Debug)]
pub(super) struct Watched<B> {
    body: B,
    mark: Arc<Mark>,
    open: Open,
}

impl<B> Drop for Watched<B> {
    fn drop(&mut self) {
        let mut answers = self.open.0.answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers.retain(|answer| !Arc::ptr_eq(answer, &self.mark));
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Watched<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        match polled {
            // There is nothing to be read.
            Poll::Pending => self.mark.clear(),
            Poll::Ready(_) => self.mark.set(self.open.0.clock),
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A connection's bytes, watched.
#[derive(Debug)]
pub(super) struct WatchedIo<I> {
    io: I,
    conduct: Arc<Conduct>,
}

impl<I> WatchedIo<I> {
    pub(super) fn new(io: I, conduct: Arc<Conduct>) -> Self {
        Self { io, conduct }
    }

    fn wrote<T>(&self, polled: &Poll<T>) {
        match polled {
            Poll::Pending => self.conduct.writing.set_once(self.conduct.clock),
            Poll::Ready(_) => self.conduct.writing.clear(),
        }
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for WatchedIo<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.io).poll_read(cx, buffer);
        let conduct = &self.conduct;
        // HTTP/2 has frames that are no request's.
        let may_be_head = conduct.open.load(Ordering::Relaxed) == 0 && !conduct.is_h2.load(Ordering::Relaxed);
        if may_be_head && buffer.filled().len() > before {
            conduct.head.set_once(conduct.clock);
        }
        polled
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for WatchedIo<I> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        let polled = Pin::new(&mut self.io).poll_write(cx, bytes);
        self.wrote(&polled);
        polled
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        let polled = Pin::new(&mut self.io).poll_write_vectored(cx, pieces);
        self.wrote(&polled);
        polled
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        let polled = Pin::new(&mut self.io).poll_flush(cx);
        self.wrote(&polled);
        polled
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        let polled = Pin::new(&mut self.io).poll_shutdown(cx);
        self.wrote(&polled);
        polled
    }
}
