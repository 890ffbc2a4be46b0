//! A request body before it is read.

use std::time::Duration;

use bytes::Bytes;
use http_body::Body;
use http_body_util::BodyExt as _;
use tokio::runtime::Handle;
use tokio::time::timeout;

/// Most bytes of a refused request's body that are read and discarded, so that the client can receive the refusal.
const DISCARD_BYTES: usize = 256 * 1024;
/// Longest time for that.
const DISCARD_TIME: Duration = Duration::from_secs(1);

/// A request's body before it is read. If it is dropped unread, a task reads and discards it. Otherwise the gateway
/// would close the connection of an HTTP/1.1 client that is still writing, and the reset would reach the client before
/// it has read the answer.
#[derive(Debug)]
pub struct Unread<B> {
    /// `None` once the body has been read.
    body: Option<B>,
    discard: fn(B),
}

impl<B> Unread<B>
where
    B: Body<Data = Bytes> + Unpin + Send + 'static,
    B::Error: Send,
{
    pub fn new(body: B) -> Self {
        Self { body: Some(body), discard }
    }
}

impl<B> Unread<B> {
    /// The body, for reading; `None` once it has been read.
    pub(super) fn get(&mut self) -> Option<&mut B> {
        self.body.as_mut()
    }

    /// Records that the body was read to its end, so nothing of it must be discarded.
    pub(super) fn was_read(&mut self) {
        self.body = None;
    }
}

impl<B> Drop for Unread<B> {
    fn drop(&mut self) {
        if let Some(body) = self.body.take() {
            (self.discard)(body);
        }
    }
}

fn discard<B>(mut body: B)
where
    B: Body<Data = Bytes> + Unpin + Send + 'static,
    B::Error: Send,
{
    if body.is_end_stream() {
        return;
    }
    // A process that is ending has no runtime any more, and sends no answer.
    let Ok(runtime) = Handle::try_current() else { return };
    runtime.spawn(timeout(DISCARD_TIME, async move {
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
    use std::pin::Pin;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Context, Poll};

    use http_body::Frame;

    use super::*;

    /// A body without end. It counts the bytes that are read.
    struct Endless(Arc<AtomicUsize>);

    impl Body for Endless {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            self.0.fetch_add(1024, Ordering::Relaxed);
            Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&[0; 1024])))))
        }
    }

    #[tokio::test]
    async fn an_unread_body_is_discarded_up_to_a_limit() {
        let read = Arc::new(AtomicUsize::new(0));
        drop(Unread::new(Endless(Arc::clone(&read))));
        while Arc::strong_count(&read) > 1 {
            tokio::task::yield_now().await;
        }
        assert_eq!(read.load(Ordering::Relaxed), DISCARD_BYTES + 1024);
    }

    #[tokio::test]
    async fn a_body_that_was_read_is_not_discarded() {
        let read = Arc::new(AtomicUsize::new(0));
        let mut unread = Unread::new(Endless(Arc::clone(&read)));
        unread.was_read();
        drop(unread);
        assert_eq!(read.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn without_a_runtime_a_body_is_only_dropped() {
        let read = Arc::new(AtomicUsize::new(0));
        drop(Unread::new(Endless(Arc::clone(&read))));
        assert_eq!((Arc::strong_count(&read), read.load(Ordering::Relaxed)), (1, 0));
    }
}
