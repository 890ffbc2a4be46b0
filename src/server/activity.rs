//! What a connection's peer does, and since when: a peer that neither sends nor reads holds places that
//! others need, and the HTTP library notices only some of it.
//!
//! Written here, because hyper has no timeout for a peer that does not read, and its timeout for a head costs a timer
//! for each request.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use parking_lot::{Mutex, MutexGuard};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

/// How long a connection's peer may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Timeouts {
    /// From the connection's start (TLS included), or from a later head's first byte, to the head's end.
    pub(super) head: Duration,
    /// From one answer's end to the next request's beginning. Longer than what clients and balancers keep
    /// idle connections for (60 s), so that they close first and no request is lost on a connection that
    /// closes as it is written.
    pub(super) idle: Duration,
    /// How long after an answer what comes may still be the body of its request.
    pub(super) leftovers: Duration,
    /// For reading anything of what there is to read, of one answer or of all.
    pub(super) reading: Duration,
    /// How often this is looked after.
    pub(super) tick: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            head: Duration::from_secs(10),
            idle: Duration::from_secs(75),
            leftovers: Duration::from_secs(2),
            reading: Duration::from_secs(60),
            tick: Duration::from_secs(5),
        }
    }
}

/// What is wrong with a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CloseReason {
    /// It began a request and does not get to the head's end.
    SlowHead,
    /// It has had no request for long.
    Idle,
    /// It does not read what it asked for.
    NotReading,
}

/// What one connection's peer does now.
#[derive(Debug)]
pub(super) struct Activity {
    clock: Clock,
    leftovers: Duration,
    open: AtomicUsize,
    is_h2: AtomicBool,
    /// The server wants this connection to end.
    leaving: AtomicBool,
    idle: Since,
    head: Since,
    writing: Since,
    answers: Mutex<Vec<Arc<dyn Answer>>>,
}

/// An answer that is open.
trait Answer: std::fmt::Debug + Send + Sync {
    /// Set while nothing is taken of it.
    fn untaken(&self) -> &Since;

    /// Frees all that it holds; whoever asks for more of it is told that it broke off.
    fn cut(&self);
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
struct Since(AtomicU64);

impl Since {
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

    fn less_than(&self, time: Duration, clock: Clock) -> bool {
        self.0.load(Ordering::Relaxed) != 0 && !self.longer_than(time, clock)
    }

    fn longer_than(&self, time: Duration, clock: Clock) -> bool {
        let since = self.0.load(Ordering::Relaxed);
        since != 0 && u128::from(clock.now().saturating_sub(since)) > time.as_millis()
    }
}

impl Activity {
    pub(super) fn new(timeouts: &Timeouts) -> Arc<Self> {
        Arc::new(Self {
            clock: Clock(Instant::now()),
            leftovers: timeouts.leftovers,
            open: AtomicUsize::new(0),
            is_h2: AtomicBool::new(false),
            leaving: AtomicBool::new(false),
            idle: Since::default(),
            head: Since::default(),
            writing: Since::default(),
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

    pub(super) fn is_h2(&self) -> bool {
        self.is_h2.load(Ordering::Relaxed)
    }

    /// From now on an answer on HTTP/1.1 is the last of its connection.
    pub(super) fn leave(&self) {
        self.leaving.store(true, Ordering::Relaxed);
    }

    /// The peer has sent something: a head, perhaps.
    fn has_sent(&self) {
        // HTTP/2 has frames that are no request's, and after a refusal comes the rest of what was refused.
        let may_be_head = self.open.load(Ordering::Relaxed) == 0
            && !self.is_h2.load(Ordering::Relaxed)
            && !self.idle.less_than(self.leftovers, self.clock);
        if may_be_head {
            self.head.set_once(self.clock);
        }
    }

    /// What is wrong now, if anything.
    pub(super) fn close_reason(&self, timeouts: &Timeouts) -> Option<CloseReason> {
        if self.writing.longer_than(timeouts.reading, self.clock) {
            return Some(CloseReason::NotReading);
        }
        let open = self.open.load(Ordering::Relaxed);
        // On HTTP/1.1 what is not read shows in writing; on HTTP/2 each stream has a window of its own.
        if self.is_h2.load(Ordering::Relaxed) && open > 0 {
            return (self.cut_untaken(timeouts) == open).then_some(CloseReason::NotReading);
        }
        if open > 0 {
            return None;
        }
        if self.head.longer_than(timeouts.head, self.clock) {
            return Some(CloseReason::SlowHead);
        }
        // What it does not read of the last answers keeps a graceful end from coming.
        if self.idle.longer_than(timeouts.idle + timeouts.reading, self.clock) {
            return Some(CloseReason::NotReading);
        }
        self.idle.longer_than(timeouts.idle, self.clock).then_some(CloseReason::Idle)
    }

    /// Cuts the answers that nobody reads, and leaves those beside them alone. Returns how many there are.
    fn cut_untaken(&self, timeouts: &Timeouts) -> usize {
        let mut untaken = self.answers.lock().clone();
        untaken.retain(|answer| answer.untaken().longer_than(timeouts.reading, self.clock));
        for answer in &untaken {
            answer.cut();
        }
        untaken.len()
    }
}

/// A request that has not been answered to the end.
#[derive(Debug)]
pub(super) struct Open(Arc<Activity>);

impl Open {
    /// Whether no further request is wanted on this connection, which HTTP/1.1 says with the answer.
    pub(super) fn is_the_last(&self) -> bool {
        self.0.leaving.load(Ordering::Relaxed) && !self.0.is_h2()
    }

    /// The answer's body, watched on its way out.
    pub(super) fn answer<B: Send + 'static>(self, body: B) -> TrackedBody<B> {
        let slot = Arc::new(Slot { untaken: Since::default(), body: Mutex::new(Some(body)) });
        slot.untaken.set(self.0.clock);
        let answer = Arc::clone(&slot) as Arc<dyn Answer>;
        self.0.answers.lock().push(answer);
        TrackedBody { slot, open: self }
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
pub(super) struct TrackedBody<B: Send + 'static> {
    slot: Arc<Slot<B>>,
    open: Open,
}

/// The body, until it is cut.
struct Slot<B> {
    untaken: Since,
    body: Mutex<Option<B>>,
}

impl<B> Slot<B> {
    fn body(&self) -> MutexGuard<'_, Option<B>> {
        self.body.lock()
    }
}

impl<B> std::fmt::Debug for Slot<B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Slot").field("untaken", &self.untaken).finish_non_exhaustive()
    }
}

impl<B: Send> Answer for Slot<B> {
    fn untaken(&self) -> &Since {
        &self.untaken
    }

    fn cut(&self) {
        drop(self.body().take());
    }
}

impl<B: Send + 'static> Drop for TrackedBody<B> {
    fn drop(&mut self) {
        let mine: *const () = Arc::as_ptr(&self.slot).cast();
        let mut answers = self.open.0.answers.lock();
        answers.retain(|answer| !std::ptr::addr_eq(Arc::as_ptr(answer), mine));
    }
}

impl<B> Body for TrackedBody<B>
where
    B: Body<Data = Bytes, Error: Into<BoxError>> + Send + Unpin + 'static,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let mut body = self.slot.body();
        let Some(body) = body.as_mut() else {
            return Poll::Ready(Some(Err("nobody read the answer".into())));
        };
        let polled = Pin::new(body).poll_frame(cx);
        match polled {
            // There is nothing to be read.
            Poll::Pending => self.slot.untaken.clear(),
            Poll::Ready(_) => self.slot.untaken.set(self.open.0.clock),
        }
        polled.map_err(Into::into)
    }

    fn is_end_stream(&self) -> bool {
        self.slot.body().as_ref().is_some_and(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.slot.body().as_ref().map(Body::size_hint).unwrap_or_default()
    }
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A connection's bytes, watched.
#[derive(Debug)]
pub(super) struct TrackedIo<I> {
    io: I,
    activity: Arc<Activity>,
}

impl<I> TrackedIo<I> {
    pub(super) fn new(io: I, activity: Arc<Activity>) -> Self {
        Self { io, activity }
    }

    fn wrote<T>(&self, polled: &Poll<T>) {
        match polled {
            Poll::Pending => self.activity.writing.set_once(self.activity.clock),
            Poll::Ready(_) => self.activity.writing.clear(),
        }
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for TrackedIo<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.io).poll_read(cx, buffer);
        if buffer.filled().len() > before {
            self.activity.has_sent();
        }
        polled
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for TrackedIo<I> {
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
