//! Bodies that give the other tasks of a worker their turn.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use crate::body::PIECE;

/// The bytes that a task may still handle, of `BYTES`, before it yields to the other tasks of its worker.
#[derive(Debug)]
pub(crate) struct Turn<const BYTES: usize> {
    left: usize,
}

impl<const BYTES: usize> Turn<BYTES> {
    pub(crate) fn new() -> Self {
        Self { left: BYTES }
    }

    /// The bytes that are left, which is at least one. If there are none, the task is pending once, and its next turn
    /// begins.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<usize> {
        if self.left == 0 {
            self.left = BYTES;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(self.left)
    }

    /// Uses `bytes` up.
    pub(crate) fn spend(&mut self, bytes: usize) {
        self.left = self.left.saturating_sub(bytes);
    }
}

/// A body that yields to the other tasks after each [`PIECE`], though more has arrived. Its frames are as received.
///
/// This is half of a [`STEP`](crate::body::STEP), because hyper polls a body that is pending a second time in the same
/// poll of its task.
#[derive(Debug)]
pub(crate) struct Paced<B> {
    body: B,
    turn: Turn<PIECE>,
}

impl<B> Paced<B> {
    pub(crate) fn new(body: B) -> Self {
        Self { body, turn: Turn::new() }
    }

    pub(crate) fn get(&self) -> &B {
        &self.body
    }

    /// Is pending only if this task must give the others their turn first. Otherwise a pending body has no more data.
    pub(crate) fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.turn.poll(cx).map(|_| ())
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Paced<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        ready!(self.turn.poll(cx));
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &polled {
            self.turn.spend(frame.data_ref().map_or(0, Bytes::len));
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

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::task::Waker;

    use super::*;

    /// A body without end, of frames of one size, that is always ready.
    struct Endless(Bytes);

    impl Body for Endless {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            Poll::Ready(Some(Ok(Frame::data(self.0.clone()))))
        }
    }

    #[test]
    fn a_body_that_is_always_ready_yields() {
        for size in [1, 1000, PIECE / 2, PIECE] {
            let mut body = Paced::new(Endless(vec![0; size].into()));
            let mut cx = Context::from_waker(Waker::noop());
            for _turn in 0..3 {
                let mut passed = 0;
                while let Poll::Ready(frame) = Pin::new(&mut body).poll_frame(&mut cx) {
                    passed += frame.unwrap().unwrap().into_data().unwrap().len();
                }
                assert_eq!(passed, PIECE.next_multiple_of(size));
            }
        }
    }
}
