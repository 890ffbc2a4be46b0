//! A response body that is sent at the pace that a test sets, and that a fault can end.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body as HttpBody, Frame as HttpFrame};
use tokio::sync::Semaphore;

use super::dialect::Dialect;
use super::fault::Fault;
use super::progress::InFlight;
use super::reply::Frame;
use crate::bill::{Bill, Call, Usage};
use crate::server::{Body, Error, Reset};

/// The wait between the last frame and a reset. A reset overtakes data that is still in buffers.
const BEFORE_A_BREAK: Duration = Duration::from_millis(20);

/// The pace at which frames are sent.
#[derive(Debug, Clone, Default)]
pub(super) struct Pace {
    /// Each frame needs one of its permits. Once the semaphore is closed, frames need none.
    pub(super) gate: Option<Arc<Semaphore>>,
    /// The wait before each frame.
    pub(super) gap: Duration,
}

impl Pace {
    async fn turn(self) {
        if let Some(gate) = &self.gate
            && let Ok(permit) = gate.acquire().await
        {
            permit.forget();
        }
        if self.gap.is_zero() {
            // Gives the connection time to send the frame before, so that frames are sent one by one.
            tokio::task::yield_now().await;
        } else {
            tokio::time::sleep(self.gap).await;
        }
    }
}

/// A step of the script of a stream.
#[derive(Debug)]
enum Step {
    Send(Frame),
    Reset,
    Hang,
}

/// The call that is charged for the tokens sent.
#[derive(Debug)]
pub(super) struct Account {
    pub(super) bill: Arc<Bill>,
    pub(super) call: Arc<Call>,
}

/// A body that sends `frames` one by one. Only the output that was sent is charged.
pub(super) fn body(
    frames: Vec<Frame>,
    fault: Option<&Fault>,
    dialect: Dialect,
    pace: Pace,
    mut in_flight: InFlight,
    account: Account,
) -> Body {
    in_flight.begin_stream();
    let steps = script(frames, fault, dialect);
    Stream { steps, waiting: None, pace, in_flight, account, output: 0 }.boxed_unsync()
}

/// The halves of an answer that is not a stream, for a fault that takes effect between them.
pub(super) fn halves(whole: &Bytes) -> Vec<Frame> {
    let middle = whole.len() / 2;
    [whole.slice(..middle), whole.slice(middle..)].map(|bytes| Frame { bytes, tokens: 0 }).into()
}

fn script(frames: Vec<Frame>, fault: Option<&Fault>, dialect: Dialect) -> VecDeque<Step> {
    let mut steps: VecDeque<_> = frames.into_iter().map(Step::Send).collect();
    let Some(fault) = fault else {
        return steps;
    };
    let ends = match *fault {
        Fault::ResetMidStream(after) => Some((after, vec![Step::Reset])),
        Fault::HangMidStream(after) => Some((after, vec![Step::Hang])),
        Fault::ExceptionMidStream(after, kind) => {
            let bytes = dialect.exception(kind, "This is a fault injected by the test.");
            Some((after, vec![Step::Send(Frame { bytes, tokens: 0 })]))
        }
        Fault::ResetMidFrame(after) => {
            let half = match steps.get(after) {
                Some(Step::Send(frame)) => frame.bytes.slice(..frame.bytes.len() / 2),
                _ => Bytes::new(),
            };
            Some((after, vec![Step::Send(Frame { bytes: half, tokens: 0 }), Step::Reset]))
        }
        _ => None,
    };
    if let Some((after, last)) = ends {
        steps.truncate(after);
        steps.extend(last);
    }
    steps
}

struct Stream {
    steps: VecDeque<Step>,
    /// The wait before the next step.
    waiting: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    pace: Pace,
    in_flight: InFlight,
    account: Account,
    /// The output tokens sent so far.
    output: u64,
}

impl HttpBody for Stream {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<HttpFrame<Bytes>, Error>>> {
        let this = &mut *self;
        let pace = &this.pace;
        let Some(next) = this.steps.front() else {
            return Poll::Ready(None);
        };
        let waiting = this.waiting.get_or_insert_with(|| match next {
            Step::Send(_) => Box::pin(pace.clone().turn()),
            Step::Reset => Box::pin(tokio::time::sleep(BEFORE_A_BREAK)),
            Step::Hang => Box::pin(std::future::pending()),
        });
        ready!(waiting.as_mut().poll(cx));
        this.waiting = None;
        let step = this.steps.pop_front();
        if this.steps.is_empty() {
            this.in_flight.end();
        }
        match step {
            Some(Step::Send(frame)) => {
                this.output += frame.tokens;
                this.in_flight.frame_sent();
                Poll::Ready(Some(Ok(HttpFrame::data(frame.bytes))))
            }
            Some(Step::Reset | Step::Hang) | None => Poll::Ready(Some(Err(Box::new(Reset)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.steps.is_empty()
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let Account { bill, call } = &self.account;
        bill.charge(call, Usage { output: self.output, ..Usage::default() });
    }
}
