//! The activity of one connection's peer. A peer that neither sends nor reads holds slots that other clients need;
//! the server closes its connection.
//!
//! This is hand-written: hyper has no timeout for a peer that does not read, and its timeout for a head costs a
//! timer for each request.

use std::fmt;
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

use crate::server::protocol::Beginning;

/// The timeouts for a connection's peer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Timeouts {
    /// For a head: from the connection's start (TLS included), or from the first byte of a later head, to its end.
    pub(super) head: Duration,
    /// From the end of one answer to the beginning of the next request. Clients and balancers keep idle connections
    /// for 60 s. This is longer, so that they close first: a request that is written while the server closes would
    /// be lost.
    pub(super) idle: Duration,
    /// How long after an answer the peer may still send the rest of its request's body.
    pub(super) leftovers: Duration,
    /// For a peer that reads nothing although there is something to read, of one answer or of all.
    pub(super) reading: Duration,
    /// The time between two checks of these timeouts.
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

/// Why the server closes a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CloseReason {
    /// The peer began a request and did not finish the head in time.
    SlowHead,
    /// The peer has sent no request for too long.
    Idle,
    /// The peer does not read the answers that it requested.
    NotReading,
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::SlowHead => "the client did not finish a request's head in time",
            Self::Idle => "the client sent no request for too long",
            Self::NotReading => "the client does not read its answers",
        })
    }
}

/// The present activity of one connection's peer.
#[derive(Debug)]
pub(super) struct Activity {
    clock: Clock,
    leftovers: Duration,
    open: AtomicUsize,
    is_h2: AtomicBool,
    /// The server asks for the end of this connection.
    leaving: AtomicBool,
    idle: Since,
    head: Since,
    writing: Since,
    answers: Mutex<Vec<Arc<dyn Answer>>>,
}

/// An answer that has not ended.
trait Answer: fmt::Debug + Send + Sync {
    /// Since when the peer has read nothing of the answer.
    fn unread(&self) -> &Since;

    /// Frees all that the answer holds. The next poll of its body returns an error.
    fn abort(&self);
}

/// A clock that counts milliseconds from the start of a connection, from 1.
#[derive(Debug, Clone, Copy)]
struct Clock(Instant);

impl Clock {
    fn now(self) -> u64 {
        u64::try_from(self.0.elapsed().as_millis()).unwrap_or(u64::MAX).saturating_add(1)
    }
}

/// The time since which a condition has been true; 0 while it is false.
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

    /// Notes that a whole head has arrived.
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

    /// Makes the next answer over HTTP/1.1 the last one of its connection.
    pub(super) fn leave(&self) {
        self.leaving.store(true, Ordering::Relaxed);
    }

    /// Notes that the peer has sent something, which may be a head.
    fn has_sent(&self) {
        // HTTP/2 also has frames without a request. After a refusal, the rest of the refused body arrives.
        let may_be_head = self.open.load(Ordering::Relaxed) == 0
            && !self.is_h2.load(Ordering::Relaxed)
            && !self.idle.less_than(self.leftovers, self.clock);
        if may_be_head {
            self.head.set_once(self.clock);
        }
    }

    /// The reason to close the connection now, if there is one.
    pub(super) fn close_reason(&self, timeouts: &Timeouts) -> Option<CloseReason> {
        if self.writing.longer_than(timeouts.reading, self.clock) {
            return Some(CloseReason::NotReading);
        }
        let open = self.open.load(Ordering::Relaxed);
        // Over HTTP/1.1 a peer that does not read blocks `writing`. Over HTTP/2 each stream has a window of its own.
        if self.is_h2.load(Ordering::Relaxed) && open > 0 {
            return (self.abort_unread(timeouts) == open).then_some(CloseReason::NotReading);
        }
        if open > 0 {
            return None;
        }
        if self.head.longer_than(timeouts.head, self.clock) {
            return Some(CloseReason::SlowHead);
        }
        // A graceful end never comes while the peer leaves a part of the last answers unread.
        if self.idle.longer_than(timeouts.idle + timeouts.reading, self.clock) {
            return Some(CloseReason::NotReading);
        }
        self.idle.longer_than(timeouts.idle, self.clock).then_some(CloseReason::Idle)
    }

    /// The number of requests whose answers have not ended.
    pub(super) fn requests(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// Aborts the answers that the peer does not read, and no others. Returns their number.
    fn abort_unread(&self, timeouts: &Timeouts) -> usize {
        let mut unread = self.answers.lock().clone();
        unread.retain(|answer| answer.unread().longer_than(timeouts.reading, self.clock));
        for answer in &unread {
            answer.abort();
        }
        unread.len()
    }
}

/// A request whose answer has not ended.
#[derive(Debug)]
pub(super) struct Open(Arc<Activity>);

impl Open {
    /// Whether this answer is the last one of the connection. Over HTTP/1.1 the answer says so.
    pub(super) fn is_the_last(&self) -> bool {
        self.0.leaving.load(Ordering::Relaxed) && !self.0.is_h2()
    }

    /// The answer's body, with its progress tracked.
    pub(super) fn answer<B: Send + 'static>(self, body: B) -> TrackedBody<B> {
        let slot = Arc::new(Slot { unread: Since::default(), body: Mutex::new(Some(body)) });
        slot.unread.set(self.0.clock);
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

/// An answer's body that notes since when the peer has read nothing of it.
#[derive(Debug)]
pub(super) struct TrackedBody<B: Send + 'static> {
    slot: Arc<Slot<B>>,
    open: Open,
}

/// The body, until it is aborted.
struct Slot<B> {
    unread: Since,
    body: Mutex<Option<B>>,
}

impl<B> Slot<B> {
    fn body(&self) -> MutexGuard<'_, Option<B>> {
        self.body.lock()
    }
}

impl<B> fmt::Debug for Slot<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slot").field("unread", &self.unread).finish_non_exhaustive()
    }
}

impl<B: Send> Answer for Slot<B> {
    fn unread(&self) -> &Since {
        &self.unread
    }

    fn abort(&self) {
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
            return Poll::Ready(Some(Err("the client did not read the answer".into())));
        };
        let polled = Pin::new(body).poll_frame(cx);
        match polled {
            // The peer has nothing to read.
            Poll::Pending => self.slot.unread.clear(),
            Poll::Ready(_) => self.slot.unread.set(self.open.0.clock),
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

/// A connection whose reads and writes are tracked.
#[derive(Debug)]
pub(super) struct TrackedIo<I> {
    io: I,
    /// Bytes that were read already, and are read first.
    beginning: Option<Beginning>,
    activity: Arc<Activity>,
}

impl<I> TrackedIo<I> {
    pub(super) fn new(io: I, activity: Arc<Activity>) -> Self {
        Self { io, beginning: None, activity }
    }

    /// The same connection, which reads `beginning` once more.
    #[must_use]
    pub(super) fn after(self, beginning: Beginning) -> Self {
        Self { beginning: Some(beginning), ..self }
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
        // The bytes after the beginning arrive in the same read. For a read of their own, hyper would double its buffer.
        if self.beginning.as_mut().is_some_and(|beginning| beginning.pass(buffer)) {
            self.beginning = None;
        }
        if buffer.remaining() == 0 {
            self.activity.has_sent();
            return Poll::Ready(Ok(()));
        }
        let polled = Pin::new(&mut self.io).poll_read(cx, buffer);
        if buffer.filled().len() == before {
            return polled;
        }
        self.activity.has_sent();
        if polled.is_pending() { Poll::Ready(Ok(())) } else { polled }
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
