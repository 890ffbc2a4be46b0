//! The answer's body on its way to the caller: bytes as they come, one record at the end.

use std::fmt;
use std::future::Future as _;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep};

use crate::error::dialect::with_request_id;
use crate::limits::requests::PrincipalSlot;
use crate::record::Record;
use crate::relay::frames::{Frames, exception_frame};
use crate::upstream::retry::RewoundBody;

pub mod frames;

/// Longest silence within an answer from Bedrock.
pub const IDLE: Duration = Duration::from_secs(10 * 60);
/// How often it is looked whether a silent answer is to go on.
const LOOK: Duration = Duration::from_secs(2);
/// Messages to the caller of a stream that the gateway ends.
const REVOKED: &str = "Your access was revoked. Contact the gateway's operator.";
const ABORTED: &str = "The stream from Bedrock ended before it was complete. What arrived may be billed.";

/// An answer's body and everything that is held until it ends.
pub struct Relay {
    source: Source,
    record: Record,
    _slot: Option<PrincipalSlot>,
}

enum Source {
    /// The gateway's own words.
    Whole(Bytes),
    Upstream(Box<Upstream>),
    Ended,
}

struct Upstream {
    body: RewoundBody,
    /// Set for event streams: there, a break can be told in the client's own terms.
    frames: Option<Frames>,
    /// How it broke off, while what came before is still on its way.
    broken: Option<String>,
    /// When something last came, and the timer of the silence since: from the first wait on, since short
    /// answers come at once.
    silence: Option<(Instant, Pin<Box<Sleep>>)>,
}

/// The answer broke off; the client's connection or stream is reset.
#[derive(Debug, thiserror::Error)]
#[error("the answer broke off: {0}")]
pub struct BrokenOff(String);

impl fmt::Debug for Relay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Relay").field("record", &self.record).finish_non_exhaustive()
    }
}

impl Relay {
    /// An answer of the gateway's own.
    pub fn whole(bytes: Bytes, mut record: Record) -> Self {
        // It may not be polled at all, when it is empty or answers HEAD.
        record.complete();
        // Strangers get such answers, too, and may leave them unread: they take nobody's slot.
        record.free_slot();
        Self { source: Source::Whole(bytes), record, _slot: None }
    }

    /// Bedrock's answer. `slot` is given back when it has been passed on.
    pub fn upstream(body: RewoundBody, event_stream: bool, mut record: Record, slot: PrincipalSlot) -> Self {
        let slot = Some(slot);
        if body.is_end_stream() {
            record.complete();
            return Self { source: Source::Ended, record, _slot: slot };
        }
        let upstream =
            Upstream { body, frames: event_stream.then(Frames::default), broken: None, silence: None };
        Self { source: Source::Upstream(Box::new(upstream)), record, _slot: slot }
    }
}

impl Relay {
    /// Ends the answer before its end: in the client's own terms where there is room for them, else by
    /// breaking the connection or stream.
    fn break_off(&mut self, message: &str, error: String) -> Result<Frame<Bytes>, BrokenOff> {
        let room = match &self.source {
            Source::Upstream(upstream) => upstream.frames.as_ref().is_some_and(Frames::between_frames),
            Source::Whole(_) | Source::Ended => false,
        };
        self.source = Source::Ended;
        let message = with_request_id(message, self.record.request_id());
        let frame = room.then(|| exception_frame(&message)).flatten();
        frame.map(Frame::data).ok_or(BrokenOff(error))
    }
}

impl Upstream {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, String>>> {
        if let Some(error) = self.broken.take() {
            return Poll::Ready(Some(Err(error)));
        }
        loop {
            match Pin::new(&mut self.body).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    if let Some((heard, _)) = &mut self.silence {
                        *heard = Instant::now();
                    }
                    // Trailers are not passed on: no operation has any.
                    if let Ok(data) = frame.into_data() {
                        return Poll::Ready(Some(Ok(data)));
                    }
                }
                Poll::Ready(Some(Err(error))) => {
                    // The HTTP library drops what it has not written when a body fails, even the head.
                    self.broken = Some(error.to_string());
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending => break,
            }
        }
        let (heard, timer) =
            self.silence.get_or_insert_with(|| (Instant::now(), Box::pin(tokio::time::sleep(LOOK))));
        // The timer is moved only when it fires, not with every frame; each time that it does, whoever polls
        // has looked whether the answer is to go on.
        loop {
            ready!(timer.as_mut().poll(cx));
            if heard.elapsed() >= IDLE {
                return Poll::Ready(Some(Err("silence for ten minutes".to_owned())));
            }
            timer.as_mut().reset(Instant::now() + LOOK);
        }
    }
}

impl Body for Relay {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        let this = &mut *self;
        let upstream = match &mut this.source {
            Source::Ended => return Poll::Ready(None),
            Source::Whole(bytes) => {
                let bytes = std::mem::take(bytes);
                this.source = Source::Ended;
                this.record.passed(bytes.len());
                return Poll::Ready((!bytes.is_empty()).then(|| Ok(Frame::data(bytes))));
            }
            Source::Upstream(upstream) => upstream,
        };
        if this.record.is_revoked() {
            this.record.revoked();
            return Poll::Ready(Some(this.break_off(REVOKED, "access was revoked".to_owned())));
        }
        match ready!(upstream.poll(cx)) {
            Some(Ok(data)) => {
                if let Some(frames) = &mut upstream.frames {
                    frames.follow(&data);
                }
                this.record.passed(data.len());
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
                Poll::Ready(Some(this.break_off(ABORTED, error)))
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
            // The length that Bedrock announced stands in the header that is passed on.
            Source::Upstream(_) => SizeHint::default(),
        }
    }
}
