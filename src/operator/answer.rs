//! Answers of the probe and admin listeners. The large ones are counted: each is in memory until its peer has
//! read it, or is cut for not reading.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use serde_json::{Value, json};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How many large answers may be on their way.
#[derive(Debug)]
pub(super) struct PageLimit(Arc<Semaphore>);

impl PageLimit {
    pub(super) fn new(answers: usize) -> Self {
        Self(Arc::new(Semaphore::new(answers)))
    }

    /// What `make` makes, or 503 when there are as many as there may be.
    pub(super) fn answer(&self, make: impl FnOnce() -> Response<Page>) -> Response<Page> {
        match Arc::clone(&self.0).try_acquire_owned() {
            Ok(place) => make().map(|text| Page { _place: Some(place), ..text }),
            Err(_taken) => {
                let body = json!({ "message": "as many answers as may be are on their way; try again" });
                let mut busy = json_answer(StatusCode::SERVICE_UNAVAILABLE, &body);
                busy.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
                busy
            }
        }
    }
}

/// An answer's body.
#[derive(Debug)]
pub struct Page {
    bytes: Full<Bytes>,
    /// Given back when the body has been sent or given up.
    _place: Option<OwnedSemaphorePermit>,
}

impl From<String> for Page {
    fn from(text: String) -> Self {
        Self { bytes: Full::from(text), _place: None }
    }
}

impl Body for Page {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Pin::new(&mut self.bytes).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.bytes.size_hint()
    }
}

/// A JSON answer.
pub(super) fn json_answer(status: StatusCode, body: &Value) -> Response<Page> {
    let mut answer = Response::new(Page::from(format!("{body}\n")));
    *answer.status_mut() = status;
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}
