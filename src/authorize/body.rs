//! Reading a request's body: whole, bounded in size and time, within one budget of memory for all.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body::Body;
use http_body_util::BodyExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout, timeout_at};

/// Request bodies held in memory at once by this process, bytes.
pub const MEMORY_BYTES: usize = 512 * 1024 * 1024;
/// Longest silence within a body.
pub const IDLE: Duration = Duration::from_secs(30);
/// Longest time a body may take in all.
pub const TOTAL: Duration = Duration::from_secs(5 * 60);

/// The budget counts in units, because a semaphore's acquire takes a `u32` of them.
const UNIT_BYTES: usize = 1024;

/// The bounds of bodies and the memory they share.
#[derive(Debug)]
pub struct Bodies {
    max: usize,
    memory: Arc<Semaphore>,
}

/// A share of the memory for bodies, given back on drop.
#[derive(Debug)]
pub struct Held(Option<OwnedSemaphorePermit>);

/// Why a body was not read to its end.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    #[error("the body is larger than {max} bytes")]
    TooLarge { max: usize },
    #[error("too many request bodies at once")]
    NoMemory,
    #[error("the body did not arrive in time")]
    TooSlow,
    #[error("the body broke off: {0}")]
    Broken(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl Bodies {
    /// `max`: the largest body taken, bytes.
    pub fn new(max: usize) -> Self {
        Self { max, memory: Arc::new(Semaphore::new(MEMORY_BYTES / UNIT_BYTES)) }
    }

    /// Reads `body` to its end.
    ///
    /// # Errors
    /// See [`BodyError`]; an announced length over the limit is refused before a byte is read.
    pub(super) async fn read<B>(&self, body: &mut B) -> Result<(Bytes, Held), BodyError>
    where
        B: Body<Data = Bytes> + Unpin,
        B::Error: std::error::Error + Send + Sync + 'static,
    {
        let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
        if announced > self.max {
            return Err(BodyError::TooLarge { max: self.max });
        }
        let mut held = Held(None);
        self.hold(&mut held, announced)?;
        let end = Instant::now() + TOTAL;
        let mut first = Bytes::new();
        let mut rest = BytesMut::new();
        while let Some(data) = next(body, end).await? {
            let length = first.len() + rest.len() + data.len();
            if length > self.max {
                return Err(BodyError::TooLarge { max: self.max });
            }
            self.hold(&mut held, length)?;
            // A body that came in one piece is not copied.
            if first.is_empty() && rest.is_empty() {
                first = data;
            } else {
                if rest.is_empty() {
                    rest.reserve(announced.max(length));
                    rest.extend_from_slice(&std::mem::take(&mut first));
                }
                rest.extend_from_slice(&data);
            }
        }
        Ok((if rest.is_empty() { first } else { rest.freeze() }, held))
    }

    fn hold(&self, held: &mut Held, bytes: usize) -> Result<(), BodyError> {
        let has = held.0.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let wants = bytes.div_ceil(UNIT_BYTES);
        if wants <= has {
            return Ok(());
        }
        let more = u32::try_from(wants - has).map_err(|_| BodyError::NoMemory)?;
        let more = Arc::clone(&self.memory).try_acquire_many_owned(more).map_err(|_| BodyError::NoMemory)?;
        match &mut held.0 {
            Some(permit) => permit.merge(more),
            none => *none = Some(more),
        }
        Ok(())
    }
}

/// The next piece of data; trailers are dropped, as nothing that Bedrock serves takes any.
async fn next<B>(body: &mut B, end: Instant) -> Result<Option<Bytes>, BodyError>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: std::error::Error + Send + Sync + 'static,
{
    loop {
        let frame = timeout_at(end, timeout(IDLE, Pin::new(&mut *body).frame())).await;
        match frame.map_err(|_| BodyError::TooSlow)?.map_err(|_| BodyError::TooSlow)? {
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

/// How much of a refused request's body is thrown away so that the refusal reaches its sender.
const DISCARD_BYTES: usize = 256 * 1024;
/// … and for how long.
const DISCARD_TIME: Duration = Duration::from_secs(1);

/// Throws away what a refused caller still sends, in a task of its own: closing the connection under
/// an HTTP/1.1 client that is still writing would reset it before it has read the answer.
pub fn discard<B>(mut body: B)
where
    B: Body<Data = Bytes> + Unpin + Send + 'static,
    B::Error: Send,
{
    if body.is_end_stream() {
        return;
    }
    tokio::spawn(timeout(DISCARD_TIME, async move {
        let mut seen = 0;
        while let Some(Ok(frame)) = body.frame().await {
            seen += frame.data_ref().map_or(0, Bytes::len);
            if seen > DISCARD_BYTES {
                break;
            }
        }
    }));
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use http_body_util::{Full, StreamBody};

    use super::*;

    fn pieces(pieces: &[&'static [u8]]) -> impl Body<Data = Bytes, Error = Infallible> + Unpin {
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

    #[tokio::test]
    async fn a_body_arrives_whole_and_its_memory_is_given_back() {
        let bodies = Bodies::new(16);
        let before = bodies.memory.available_permits();
        let (body, held) = bodies.read(&mut pieces(&[b"ab", b"", b"cd", b"e"])).await.unwrap();
        assert_eq!(&body[..], b"abcde");
        assert_eq!(bodies.memory.available_permits(), before - 1);
        drop(held);
        assert_eq!(bodies.memory.available_permits(), before);
    }

    #[tokio::test]
    async fn a_body_over_the_limit_is_refused_announced_or_not() {
        let bodies = Bodies::new(4);
        assert!(matches!(
            bodies.read(&mut pieces(&[b"abc", b"de"])).await,
            Err(BodyError::TooLarge { max: 4 })
        ));
        let announced = Full::new(Bytes::from_static(b"abcde"));
        assert!(matches!(bodies.read(&mut { announced }).await, Err(BodyError::TooLarge { max: 4 })));
        assert_eq!(bodies.memory.available_permits(), MEMORY_BYTES / UNIT_BYTES);
    }

    #[tokio::test]
    async fn bodies_share_one_budget() {
        let bodies = Bodies { max: 10_000, memory: Arc::new(Semaphore::new(2)) };
        let (_, first) = bodies.read(&mut Full::new(Bytes::from(vec![0; 2048]))).await.unwrap();
        assert!(matches!(bodies.read(&mut pieces(&[b"x"])).await, Err(BodyError::NoMemory)));
        drop(first);
        assert!(bodies.read(&mut pieces(&[b"x"])).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_stalls_is_given_up() {
        struct Never;
        impl Body for Never {
            type Data = Bytes;
            type Error = Infallible;
            fn poll_frame(
                self: Pin<&mut Self>,
                _: &mut std::task::Context<'_>,
            ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, Infallible>>> {
                std::task::Poll::Pending
            }
        }
        assert!(matches!(Bodies::new(4).read(&mut Never).await, Err(BodyError::TooSlow)));
    }
}
