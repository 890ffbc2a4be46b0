//! The relay: it passes the bytes of an answer's body to the caller as they arrive, and writes one record at the end.

use std::fmt;
use std::future::Future as _;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep};

use crate::body::paced::Paced;
use crate::endpoint::STREAM_IDLE;
use crate::error::dialect::with_request_id;
use crate::limits::requests::PrincipalSlot;
use crate::record::Record;
use crate::relay::frames::{Frames, exception_frame};
use crate::upstream::retry::RewoundBody;

pub mod frames;

/// The time between two checks of a silent answer: whether its caller was revoked, whether it was silent for too long.
const CHECK: Duration = Duration::from_secs(2);
/// Messages to the caller of a stream that the gateway ends.
const REVOKED: &str = "Your access was revoked. Contact the gateway's operator.";
const ABORTED: &str = "The stream from Bedrock ended before it was complete. What arrived may be billed.";

/// An answer's body, with everything that the gateway holds until the body ends.
pub struct Relay {
    source: Source,
    record: Record,
    _slot: Option<PrincipalSlot>,
}

enum Source {
    /// An answer of the gateway's own.
    Whole(Bytes),
    Upstream(Box<Upstream>),
    Ended,
}

struct Upstream {
    body: Paced<RewoundBody>,
    /// Set for event streams. Only there can the relay report an aborted answer in a form that SDKs read.
    frames: Option<Frames>,
    /// Why Bedrock's answer ended early, until the bytes before it are sent.
    broken: Option<String>,
    /// When bytes last arrived, and the timer of the silence. `None` until the first wait: short answers never wait.
    silence: Option<(Instant, Pin<Box<Sleep>>)>,
}

/// Why the answer ended early. The server resets the client's connection or stream.
#[derive(Debug, thiserror::Error)]
#[error("the answer ended early: {0}")]
pub struct Aborted(String);

impl fmt::Debug for Relay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Relay").field("record", &self.record).finish_non_exhaustive()
    }
}

impl Relay {
    /// An answer of the gateway's own.
    pub fn whole(bytes: Bytes, mut record: Record) -> Self {
        // A body that is empty, or that answers HEAD, may never be polled.
        record.complete();
        // Clients without a token also get such answers, and may leave them unread. They must not hold a slot.
        record.free_slot();
        Self { source: Source::Whole(bytes), record, _slot: None }
    }

    /// Bedrock's answer. The relay frees `slot` when it has passed the answer on.
    pub fn upstream(body: RewoundBody, event_stream: bool, mut record: Record, slot: PrincipalSlot) -> Self {
        let slot = Some(slot);
        if body.is_end_stream() {
            record.complete();
            return Self { source: Source::Ended, record, _slot: slot };
        }
        let frames = event_stream.then(Frames::default);
        let upstream = Upstream { body: Paced::new(body), frames, broken: None, silence: None };
        Self { source: Source::Upstream(Box::new(upstream)), record, _slot: slot }
    }
}

impl Relay {
    /// Ends the answer early. Between two frames of an event stream, the client gets `message` as an exception of the
    /// stream; otherwise the server resets the connection or stream.
    fn abort(&mut self, message: &str, error: String) -> Result<Frame<Bytes>, Aborted> {
        let has_room = match &self.source {
            Source::Upstream(upstream) => upstream.frames.as_ref().is_some_and(Frames::between_frames),
            Source::Whole(_) | Source::Ended => false,
        };
        self.source = Source::Ended;
        let message = with_request_id(message, self.record.request_id());
        let exception = has_room.then(|| exception_frame(&message)).flatten();
        exception.map(Frame::data).ok_or(Aborted(error))
    }
}

impl Upstream {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, String>>> {
        if let Some(error) = self.broken.take() {
            return Poll::Ready(Some(Err(error)));
        }
        // This is no silence of Bedrock: its next bytes may be there already.
        ready!(self.body.poll_turn(cx));
        loop {
            match Pin::new(&mut self.body).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    if let Some((heard, _)) = &mut self.silence {
                        *heard = Instant::now();
                    }
                    // The relay passes no trailers on: no operation has any.
                    // Assumption A30.
                    if let Ok(data) = frame.into_data() {
                        return Poll::Ready(Some(Ok(data)));
                    }
                }
                Poll::Ready(Some(Err(error))) => {
                    // When a body fails, the HTTP library drops all that it has not written, even the head. So the
                    // error waits for the next poll.
                    self.broken = Some(error.to_string());
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending => break,
            }
        }
        let (heard, timer) =
            self.silence.get_or_insert_with(|| (Instant::now(), Box::pin(tokio::time::sleep(CHECK))));
        // The timer is set again only when it fires, not with every frame. Each time that it fires, `Relay::poll_frame`
        // has just checked whether the caller was revoked.
        loop {
            ready!(timer.as_mut().poll(cx));
            let longest = self.body.get().longest_silence().unwrap_or(STREAM_IDLE);
            if heard.elapsed() >= longest {
                let seconds = longest.as_secs_f64();
                let error = format!("Bedrock sent nothing for {seconds} s (aws.stream_idle_timeout)");
                return Poll::Ready(Some(Err(error)));
            }
            timer.as_mut().reset(Instant::now() + CHECK);
        }
    }
}

impl Body for Relay {
    type Data = Bytes;
    type Error = Aborted;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Aborted>>> {
        let this = &mut *self;
        let upstream = match &mut this.source {
            Source::Ended => return Poll::Ready(None),
            Source::Whole(bytes) => {
                let bytes = std::mem::take(bytes);
                this.source = Source::Ended;
                this.record.passed(&bytes);
                return Poll::Ready((!bytes.is_empty()).then(|| Ok(Frame::data(bytes))));
            }
            Source::Upstream(upstream) => upstream,
        };
        if this.record.is_revoked() {
            this.record.revoked();
            return Poll::Ready(Some(this.abort(REVOKED, "the caller's access was revoked".to_owned())));
        }
        match ready!(upstream.poll(cx)) {
            Some(Ok(data)) => {
                if let Some(frames) = &mut upstream.frames {
                    frames.follow(&data);
                }
                this.record.passed(&data);
                if upstream.body.is_end_stream() {
                    this.source = Source::Ended;
                    this.record.complete();
                }
                Poll::Ready(Some(Ok(Frame::data(data))))
            }
            None => {
                this.source = Source::Ended;
                this.record.complete();
                Poll::Ready(None)
            }
            Some(Err(error)) => {
                this.record.broken(error.clone());
                Poll::Ready(Some(this.abort(ABORTED, error)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Ended => true,
            Source::Whole(bytes) => bytes.is_empty(),
            Source::Upstream(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Ended => SizeHint::with_exact(0),
            Source::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            // The header that is passed on has the length that Bedrock announced.
            Source::Upstream(_) => SizeHint::default(),
        }
    }
}
