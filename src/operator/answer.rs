//! Answers of the probe port and the admin port. Large ones are limited in number: each stays in memory until the
//! client has read it, or until the server closes the connection of a client that does not read.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use serde_json::{Value, json};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tracing::error;

/// Limits how many large answers are in memory at once.
#[derive(Debug)]
pub(super) struct PageLimit(Arc<Semaphore>);

impl PageLimit {
    pub(super) fn new(answers: usize) -> Self {
        Self(Arc::new(Semaphore::new(answers)))
    }

    /// The answer that `make` builds on a blocking thread, because it may look at 100,000 sessions; or 503 at the limit.
    pub(super) async fn answer(
        &self,
        make: impl FnOnce() -> Response<Page> + Send + 'static,
    ) -> Response<Page> {
        let Ok(slot) = Arc::clone(&self.0).try_acquire_owned() else {
            let body = json!({ "message": "too many concurrent downloads of this page; retry in 5 s" });
            let mut busy = json_answer(StatusCode::SERVICE_UNAVAILABLE, &body);
            busy.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
            return busy;
        };
        // The slot goes along: a client that hangs up does not free it before the page is built.
        let make = move || make().map(|text| Page { _slot: Some(slot), ..text });
        match tokio::task::spawn_blocking(make).await {
            Ok(answer) => answer,
            Err(error) => {
                error!(%error, "a page of the probe port or the admin port cannot be built");
                let body = json!({ "message": "this page cannot be built; the process log has the cause" });
                json_answer(StatusCode::INTERNAL_SERVER_ERROR, &body)
            }
        }
    }
}

/// The body of an answer.
#[derive(Debug)]
pub struct Page {
    bytes: Full<Bytes>,
    /// Released when the body has been sent or dropped.
    _slot: Option<OwnedSemaphorePermit>,
}

impl From<String> for Page {
    fn from(text: String) -> Self {
        Self { bytes: Full::from(text), _slot: None }
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
