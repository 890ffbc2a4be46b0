//! An event stream that passes through the gateway in pieces: the bytes do not change. If the stream breaks between two
//! frames, one exception frame follows; otherwise nothing follows.
//!
//! The first byte of an input says how the stream ends. The second byte says how many of the next bytes are sizes of
//! pieces.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, LazyLock, Mutex};
use std::task::{Context, Poll};

use bedrock_gateway::relay::frames::exception_frame;
use bedrock_standin::server::{self, Server};
use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame};
use http_body_util::{BodyExt as _, Full};

use crate::world::{RUNTIME, World};

/// The next answer of Bedrock.
static SCRIPT: Mutex<Option<Pieces>> = Mutex::new(None);

static WORLD: LazyLock<(World, Arc<Server>)> = LazyLock::new(|| {
    let _within = RUNTIME.enter();
    let bedrock = Server::start(None, |_request| async {
        let pieces = SCRIPT.lock().unwrap().take().expect("a script for every request");
        let answer = Response::builder().header("content-type", "application/vnd.amazon.eventstream");
        Ok(answer.body(pieces.boxed_unsync()).unwrap())
    });
    (World::start(Some(&bedrock.url())), Arc::new(bedrock))
});

/// A body of data frames, with or without a reset at the end.
struct Pieces {
    data: VecDeque<Bytes>,
    breaks_off: bool,
    /// Whether the pieces so far had time to be sent before the reset.
    flushed: bool,
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = server::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, server::Error>>> {
        if let Some(piece) = self.data.pop_front() {
            return Poll::Ready(Some(Ok(Frame::data(piece))));
        }
        if self.breaks_off && !std::mem::replace(&mut self.flushed, true) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(std::mem::take(&mut self.breaks_off).then(|| Err("broken off".into())))
    }
}

pub(crate) fn check(data: &[u8]) {
    let [end, cuts, rest @ ..] = data else { return };
    let breaks_off = end % 2 == 1;
    let (cuts, stream) = rest.split_at(usize::from(*cuts).min(rest.len()));
    let mut left = stream;
    let mut pieces = VecDeque::new();
    for cut in cuts.iter().chain([&u8::MAX].into_iter().cycle()) {
        if left.is_empty() {
            break;
        }
        let (piece, later) = left.split_at(usize::from(*cut).clamp(1, left.len()));
        pieces.push_back(Bytes::copy_from_slice(piece));
        left = later;
    }
    *SCRIPT.lock().unwrap() = Some(Pieces { data: pieces, breaks_off, flushed: false });

    let request = Request::post("/model/m/converse-stream")
        .header("host", "gateway")
        .header("authorization", format!("Bearer {}", WORLD.0.token))
        .body(Full::new(Bytes::from_static(b"{}")))
        .unwrap();
    let answered = RUNTIME.block_on(WORLD.0.send(request));
    if breaks_off {
        // A reset overtakes data that was written before it, so perhaps only the beginning arrives.
        let Ok((head, body)) = answered else { return };
        if head.status != 200 {
            assert_eq!((head.status.as_u16(), stream.len()), (408, 0), "{}", body.escape_ascii());
            return;
        }
        let request_id = head.headers["x-gateway-request-id"].to_str().unwrap();
        let message = format!(
            "The stream from Bedrock ended before it was complete. What arrived may be billed. \
             Request id: {request_id}"
        );
        let frame = exception_frame(&message).unwrap();
        let passed = body.strip_suffix(&frame[..]).unwrap_or(&body);
        assert!(stream.starts_with(passed), "other bytes came out: {}", body.escape_ascii());
        assert!(passed.len() == body.len() || between_frames(passed), "a frame within a frame");
    } else {
        let (head, body) = answered.unwrap();
        assert_eq!(head.status, 200);
        assert!(body == stream, "{} bytes went in, {} others came out", stream.len(), body.len());
    }
}

/// Whether `bytes` consists of whole frames. A frame begins with its total length in four bytes.
fn between_frames(mut bytes: &[u8]) -> bool {
    while let Some(length) = bytes.first_chunk() {
        let length = usize::try_from(u32::from_be_bytes(*length)).unwrap();
        match bytes.get(length..) {
            Some(rest) if length >= 16 => bytes = rest,
            _ => return false,
        }
    }
    bytes.is_empty()
}
