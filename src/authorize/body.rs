//! Reads whole request bodies, with limits on size and time, and one budget of memory for all of them.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use http_body::Body;
use http_body_util::BodyExt as _;
use tokio::time::{Instant, timeout, timeout_at};

use crate::authorize::inspect::Scans;
use crate::authorize::unread::Unread;
use crate::body::WholeBody;
use crate::body::arriving::Arriving;
use crate::limits::Level;
use crate::limits::memory::{self, BodyMemory, MemoryLimits, OutOfMemory};

/// Longest time without data within a body.
pub const IDLE: Duration = Duration::from_secs(30);
/// Longest time for a whole body.
pub const TOTAL: Duration = Duration::from_secs(5 * 60);

/// The limits of bodies, and the memory and the scans that they share.
#[derive(Debug)]
pub struct Bodies {
    max: usize,
    limits: MemoryLimits,
    memory: Arc<BodyMemory>,
    scans: Scans,
}

/// Why a body was not read to its end. The texts are for the operator.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    #[error("the request body is larger than listen.max_body, {max} bytes")]
    TooLarge { max: usize },
    #[error("the request bodies in flight fill the gateway's memory for them, {limit} (limits.body_memory)")]
    NoMemory { limit: memory::Bytes },
    #[error(
        "the principal's request bodies in flight fill its memory for them, {limit} (limits.body_memory_per_principal)"
    )]
    NoMemoryForCaller { limit: memory::Bytes },
    #[error("the request body did not arrive in time: 30 s passed without data, or 5 min in all")]
    TooSlow,
    #[error("the request body ended too early: {0}")]
    Broken(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl Bodies {
    /// `max` is the size of the largest body that is accepted, bytes.
    pub fn new(max: usize, limits: MemoryLimits) -> Self {
        Self { max, limits, memory: Arc::default(), scans: Scans::default() }
    }

    /// Bodies with other limits, which share the memory and the scans of these.
    pub fn with_limits(&self, max: usize, limits: MemoryLimits) -> Self {
        Self { max, limits, memory: Arc::clone(&self.memory), scans: self.scans.clone() }
    }

    /// The use of the memory: by all bodies, and by the principal with the most bytes.
    pub fn levels(&self) -> (Level, Level) {
        self.memory.levels(self.limits)
    }

    pub(super) fn scans(&self) -> &Scans {
        &self.scans
    }

    fn exhausted(&self, error: OutOfMemory) -> BodyError {
        match error {
            OutOfMemory::Gateway => BodyError::NoMemory { limit: memory::Bytes(self.limits.all) },
            OutOfMemory::Caller => {
                BodyError::NoMemoryForCaller { limit: memory::Bytes(self.limits.per_principal) }
            }
        }
    }

    /// Reads a caller's body to its end, and hashes it while it arrives. Memory is reserved as bytes arrive, not by the
    /// announced length.
    ///
    /// # Errors
    /// See [`BodyError`]. An announced length over the limit is refused before any byte is read.
    pub(super) async fn read<B>(
        &self,
        principal: &Arc<str>,
        unread: &mut Unread<B>,
    ) -> Result<WholeBody, BodyError>
    where
        B: Body<Data = Bytes> + Unpin,
        B::Error: std::error::Error + Send + Sync + 'static,
    {
        let body = unread.get().ok_or_else(|| BodyError::Broken("it has been read already".into()))?;
        let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
        if announced > self.max {
            return Err(BodyError::TooLarge { max: self.max });
        }
        let mut end = None;
        let mut arriving = Arriving::new(self.memory.slot(principal, self.limits), announced, self.max);
        while let Some(data) = next(body, &mut end).await? {
            if arriving.len() + data.len() > self.max {
                return Err(BodyError::TooLarge { max: self.max });
            }
            arriving.push(data).await.map_err(|error| self.exhausted(error))?;
        }
        unread.was_read();
        Ok(arriving.finish())
    }
}

/// The next piece of data. Trailers are dropped, because no operation of Bedrock uses them. `end` is the time at which
/// the body must be complete. It is set at the first wait, because most bodies arrive with their head.
async fn next<B>(body: &mut B, end: &mut Option<Instant>) -> Result<Option<Bytes>, BodyError>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: std::error::Error + Send + Sync + 'static,
{
    loop {
        let polled = poll_fn(|cx| Poll::Ready(Pin::new(&mut *body).poll_frame(cx))).await;
        let frame = match polled {
            Poll::Ready(frame) => frame,
            Poll::Pending => {
                let end = *end.get_or_insert_with(|| Instant::now() + TOTAL);
                let arrives = timeout_at(end, timeout(IDLE, Pin::new(&mut *body).frame())).await;
                arrives.map_err(|_| BodyError::TooSlow)?.map_err(|_| BodyError::TooSlow)?
            }
        };
        match frame {
            None => return Ok(None),
            Some(Err(error)) => return Err(BodyError::Broken(Box::new(error))),
            Some(Ok(frame)) => {
                if let Ok(data) = frame.into_data()
                    && !data.is_empty()
                {
                    return Ok(Some(data));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use http_body_util::{Full, StreamBody};

    use super::*;
    use crate::body::digest::BodyDigest;

    fn pieces(
        pieces: &[&'static [u8]],
    ) -> impl Body<Data = Bytes, Error = Infallible> + Unpin + Send + use<> {
        let mut pieces = pieces.iter().map(|piece| Bytes::from_static(piece)).collect::<Vec<_>>().into_iter();
        StreamBody::new(PieceStream(std::iter::from_fn(move || pieces.next())))
    }

    struct PieceStream<I>(I);

    impl<I: Iterator<Item = Bytes> + Unpin> futures_core::Stream for PieceStream<I> {
        type Item = Result<http_body::Frame<Bytes>, Infallible>;
        fn poll_next(
            mut self: Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Self::Item>> {
            std::task::Poll::Ready(self.0.next().map(|data| Ok(http_body::Frame::data(data))))
        }
    }

    fn bodies(max: usize) -> Bodies {
        Bodies::new(max, MemoryLimits { all: 4096, per_principal: 2048 })
    }

    fn alice() -> Arc<str> {
        "alice".into()
    }

    fn in_use(bodies: &Bodies) -> (usize, usize) {
        bodies.memory.in_use()
    }

    #[tokio::test]
    async fn a_body_arrives_whole_and_its_memory_is_released() {
        let bodies = bodies(16);
        let body = bodies.read(&alice(), &mut Unread::new(pieces(&[b"ab", b"", b"cd", b"e"]))).await.unwrap();
        assert_eq!(*body.bytes(), *b"abcde");
        assert_eq!(*body.digest(), BodyDigest::of(b"abcde"));
        assert!((5..=16).contains(&in_use(&bodies).0));
        drop(body);
        assert_eq!(in_use(&bodies), (0, 0));
    }

    #[tokio::test]
    async fn a_body_over_the_limit_is_refused_with_and_without_announced_length() {
        let bodies = bodies(4);
        assert!(matches!(
            bodies.read(&alice(), &mut Unread::new(pieces(&[b"abc", b"de"]))).await,
            Err(BodyError::TooLarge { max: 4 })
        ));
        let announced = Full::new(Bytes::from_static(b"abcde"));
        assert!(matches!(
            bodies.read(&alice(), &mut Unread::new(announced)).await,
            Err(BodyError::TooLarge { max: 4 })
        ));
        assert_eq!(in_use(&bodies), (0, 0));
    }

    #[tokio::test]
    async fn bodies_share_one_budget_and_no_caller_uses_all_of_it() {
        let bodies = bodies(10_000);
        let large = || Full::new(Bytes::from(vec![0; 2048]));
        let first = bodies.read(&alice(), &mut Unread::new(large())).await.unwrap();
        let more = bodies.read(&alice(), &mut Unread::new(pieces(&[b"x"]))).await;
        assert!(matches!(more, Err(BodyError::NoMemoryForCaller { limit: memory::Bytes(2048) })));
        let second = bodies.read(&"bob".into(), &mut Unread::new(large())).await.unwrap();
        let more = bodies.read(&"carol".into(), &mut Unread::new(pieces(&[b"x"]))).await;
        assert!(matches!(more, Err(BodyError::NoMemory { limit: memory::Bytes(4096) })));
        drop((first, second));
        assert!(bodies.read(&alice(), &mut Unread::new(pieces(&[b"x"]))).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn an_announced_body_that_is_never_sent_uses_no_memory() {
        let bodies = bodies(1000);
        let mut announced = Unread::new(Announced { bytes: 1000, sent: 10 });
        let (alice, reading) = (alice(), &bodies);
        let mut read = std::pin::pin!(reading.read(&alice, &mut announced));
        assert!(timeout(Duration::from_secs(1), &mut read).await.is_err(), "it waits");
        assert_eq!(in_use(&bodies).0, 10);
    }

    /// A body that announces `bytes`, sends `sent` of them and then nothing more.
    struct Announced {
        bytes: u64,
        sent: usize,
    }

    impl Body for Announced {
        type Data = Bytes;
        type Error = Infallible;
        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, Infallible>>> {
            match std::mem::take(&mut self.sent) {
                0 => std::task::Poll::Pending,
                some => std::task::Poll::Ready(Some(Ok(http_body::Frame::data(vec![0; some].into())))),
            }
        }

        fn size_hint(&self) -> http_body::SizeHint {
            http_body::SizeHint::with_exact(self.bytes)
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_stalls_times_out() {
        let mut silent = Unread::new(Announced { bytes: 4, sent: 0 });
        assert!(matches!(bodies(4).read(&alice(), &mut silent).await, Err(BodyError::TooSlow)));
    }
}
