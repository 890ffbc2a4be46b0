//! The body of a stream: frames that leave as the gate lets them, and end as a fault says.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::Frame;
use tokio::sync::mpsc;

use super::{Fault, State};
use crate::frames;
use crate::server::{Body, Error, Reset};

type Sent = Result<Bytes, Error>;

struct Frames(mpsc::Receiver<Sent>);

impl hyper::body::Body for Frames {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        self.0.poll_recv(cx).map(|sent| sent.map(|sent| sent.map(Frame::data)))
    }
}

/// Sends `frames` as the gate lets them.
pub(super) fn body(state: Arc<State>, frames: Vec<Bytes>, fault: Option<Fault>) -> Body {
    let (sender, receiver) = mpsc::channel(1);
    let gate = Arc::clone(&super::lock(&state.gate));
    state.streams.fetch_add(1, Ordering::SeqCst);
    tokio::spawn(async move {
        let sending = async {
            for (index, frame) in frames.into_iter().enumerate() {
                if let Some(last) = ends(fault.as_ref(), index, &frame).await {
                    for sent in last {
                        if sender.send(sent).await.is_err() {
                            return false;
                        }
                    }
                    return true;
                }
                gate.acquire().await.expect("the gate is never closed").forget();
                if sender.send(Ok(frame)).await.is_err() {
                    return false;
                }
                state.frames.fetch_add(1, Ordering::SeqCst);
                state.changed.notify_waiters();
            }
            true
        };
        let complete = tokio::select! {
            complete = sending => complete,
            () = sender.closed() => false,
        };
        if !complete {
            state.hangups.fetch_add(1, Ordering::SeqCst);
        }
        state.streams.fetch_sub(1, Ordering::SeqCst);
        state.changed.notify_waiters();
    });
    Frames(receiver).boxed_unsync()
}

/// What comes in place of frame `index`, if the stream ends there.
async fn ends(fault: Option<&Fault>, index: usize, frame: &Bytes) -> Option<Vec<Sent>> {
    match fault {
        Some(Fault::ResetMidStream(after)) if *after == index => Some(vec![Err(Box::new(Reset))]),
        Some(Fault::ResetMidFrame(after)) if *after == index => {
            Some(vec![Ok(frame.slice(..frame.len() / 2)), Err(Box::new(Reset))])
        }
        Some(Fault::ExceptionMidStream(after, kind)) if *after == index => {
            Some(vec![Ok(frames::exception(kind, "failed"))])
        }
        Some(Fault::HangMidStream(after)) if *after == index => std::future::pending().await,
        _ => None,
    }
}
