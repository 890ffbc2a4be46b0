//! A request's body while it is sent.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use crate::body::paced::Turn;
use crate::body::{PIECE, WholeBody};

/// A body that is sent to Bedrock. It yields to the other tasks after each [`PIECE`], for the reason of
/// [`Paced`](crate::body::paced::Paced).
#[derive(Debug)]
pub(crate) struct SentBody {
    body: Arc<WholeBody>,
    /// The piece to send next, and the position in it.
    piece: usize,
    at: usize,
    /// The bytes that are not sent yet.
    left: usize,
    turn: Turn<PIECE>,
}

impl SentBody {
    pub(crate) fn new(body: Arc<WholeBody>) -> Self {
        Self { piece: 0, at: 0, left: body.len(), turn: Turn::new(), body }
    }

    #[cfg(test)]
    pub(crate) fn empty() -> Self {
        Self::new(Arc::new(WholeBody::for_tests(&[])))
    }

    /// The next bytes, at most `most`.
    fn next(&mut self, most: usize) -> Option<Bytes> {
        loop {
            let piece = self.body.pieces.get(self.piece)?;
            if self.at == piece.len() {
                (self.piece, self.at) = (self.piece + 1, 0);
                continue;
            }
            let end = piece.len().min(self.at + most);
            let data = piece.slice(self.at..end);
            self.at = end;
            self.turn.spend(data.len());
            self.left -= data.len();
            return Some(data);
        }
    }
}

impl Body for SentBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        let most = ready!(self.turn.poll(cx));
        Poll::Ready(self.next(most).map(|data| Ok(Frame::data(data))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left as u64)
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future as _;
    use std::io;
    use std::pin::pin;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Waker;

    use http::Request;
    use http_body_util::BodyExt as _;
    use hyper::client::conn::http1;
    use hyper_util::rt::TokioIo;
    use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

    use super::*;
    use crate::body::STEP;

    #[tokio::test]
    async fn the_pieces_are_sent_in_their_order() {
        let large = vec![1; 2 * PIECE + 1];
        let in_order: [&[&[u8]]; 4] = [&[], &[b"a"], &[b"ab", b"", b"c"], &[&large, b"x", &large]];
        for pieces in in_order {
            let body = Arc::new(WholeBody::for_tests(pieces));
            let mut sent = SentBody::new(Arc::clone(&body));
            assert_eq!(sent.size_hint().exact(), Some(body.len() as u64));
            assert_eq!(sent.is_end_stream(), body.is_empty());
            let mut bytes = Vec::new();
            while let Some(frame) = sent.frame().await {
                bytes.extend_from_slice(frame.unwrap().data_ref().unwrap());
            }
            assert_eq!(bytes, body.bytes()[..]);
        }
    }

    /// A connection whose peer reads at once, and never answers. It counts the bytes.
    struct Fast(Arc<AtomicUsize>);

    impl AsyncWrite for Fast {
        fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            self.0.fetch_add(bytes.len(), Ordering::Relaxed);
            Poll::Ready(Ok(bytes.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    impl AsyncRead for Fast {
        fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }
    }

    #[tokio::test]
    async fn one_poll_of_a_connection_sends_at_most_a_step() {
        const HEAD: usize = 100;
        let bytes = vec![7; 4 * STEP];
        for size in [1000, PIECE, 4 * STEP] {
            let body = WholeBody::for_tests(&bytes.chunks(size).collect::<Vec<_>>());
            let written = Arc::<AtomicUsize>::default();
            let (mut requests, connection) =
                http1::handshake(TokioIo::new(Fast(Arc::clone(&written)))).await.unwrap();
            let body = SentBody::new(Arc::new(body));
            let request = Request::post("/").header("host", "bedrock").body(body).unwrap();
            let _answer = requests.try_send_request(request);
            let mut connection = pin!(connection);
            let mut cx = Context::from_waker(Waker::noop());
            let mut before = 0;
            while before < bytes.len() {
                assert!(connection.as_mut().poll(&mut cx).is_pending());
                let after = written.load(Ordering::Relaxed);
                assert!(after > before && after <= before + STEP + HEAD, "{before}, then {after}");
                before = after;
            }
        }
    }
}
