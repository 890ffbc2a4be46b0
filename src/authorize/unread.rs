//! A body that nobody has read yet.

use std::time::Duration;

use bytes::Bytes;
use http_body::Body;
use http_body_util::BodyExt as _;
use tokio::runtime::Handle;
use tokio::time::timeout;

/// How much of a refused request's body is thrown away so that the refusal reaches its sender.
const DISCARD_BYTES: usize = 256 * 1024;
/// … and for how long.
const DISCARD_TIME: Duration = Duration::from_secs(1);

/// A request's body before it is read. Dropped unread it discards itself, in a task of its own: closing the
/// connection under an HTTP/1.1 client that is still writing would reset it before it has read the answer.
#[derive(Debug)]
pub struct Unread<B> {
    /// Gone once it has been read.
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
    /// The body, to be read; `None` once it was.
    pub(super) fn get(&mut self) -> Option<&mut B> {
        self.body.as_mut()
    }

    /// The body was read to its end: nothing of it is left to discard.
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
    // A process that ends has no runtime any more, and nobody to answer.
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

    /// A body without end, which counts what is read of it.
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
    async fn an_unread_body_is_discarded_up_to_a_bound() {
        let read = Arc::new(AtomicUsize::new(0));
        drop(Unread::new(Endless(Arc::clone(&read))));
        while Arc::strong_count(&read) > 1 {
            tokio::task::yield_now().await;
        }
        assert_eq!(read.load(Ordering::Relaxed), DISCARD_BYTES + 1024);
    }

    #[tokio::test]
    async fn a_body_that_was_read_is_not_read_again() {
        let read = Arc::new(AtomicUsize::new(0));
        let mut unread = Unread::new(Endless(Arc::clone(&read)));
        unread.was_read();
        drop(unread);
        assert_eq!(read.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn without_a_runtime_it_is_only_dropped() {
        let read = Arc::new(AtomicUsize::new(0));
        drop(Unread::new(Endless(Arc::clone(&read))));
        assert_eq!((Arc::strong_count(&read), read.load(Ordering::Relaxed)), (1, 0));
    }
}
