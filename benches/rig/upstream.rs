//! A Bedrock that is as fast as possible: it reads a request's head and length, and answers with prepared bytes. It
//! verifies nothing; the tests show that requests are signed.

use std::cell::Cell;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_rustls::TlsAcceptor;

use crate::frames;
use crate::load::{content_length, head_end};

/// The path of a model whose stream has `frames` frames, `apart` from each other.
pub(crate) fn stream_path(frames: usize, apart: Duration) -> String {
    format!("/model/bench.f{frames}.i{}/converse-stream", apart.as_millis())
}

thread_local! {
    /// Frames of all streams so far, on the thread that serves them.
    pub(crate) static FRAMES_SENT: Cell<u64> = const { Cell::new(0) };
    /// Connections that this thread has accepted so far.
    pub(crate) static ACCEPTED: Cell<u64> = const { Cell::new(0) };
}

/// The path of calls that it answers at once.
pub(crate) const CONVERSE: &str = "/model/us.anthropic.claude-sonnet-4-6-v1:0/converse";

/// Serves within the current `LocalSet`, with or without TLS.
pub(crate) async fn start(tls: Option<TlsAcceptor>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let answers = Arc::new(Answers::new());
    tokio::task::spawn_local(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            ACCEPTED.set(ACCEPTED.get() + 1);
            stream.set_nodelay(true).unwrap();
            let (tls, answers) = (tls.clone(), Arc::clone(&answers));
            tokio::task::spawn_local(async move {
                match tls {
                    None => serve(stream, &answers).await,
                    Some(tls) => match tls.accept(stream).await {
                        Ok(stream) => serve(stream, &answers).await,
                        Err(error) => eprintln!("upstream: {error}"),
                    },
                }
            });
        }
    });
    address
}

struct Answers {
    whole: Vec<u8>,
    stream_head: Vec<u8>,
    frame: Bytes,
}

impl Answers {
    fn new() -> Self {
        let common = "HTTP/1.1 200 OK\r\nDate: Mon, 23 Nov 2026 09:00:00 GMT\r\n\
                      x-amzn-RequestId: 6f4d3f0c-52b9-4a5e-9d5b-2f1f6a8f7f10\r\n";
        let body = frames::answer();
        let mut whole = format!(
            "{common}Content-Type: application/json\r\nContent-Length: {}\r\nConnection: keep-alive\r\n\r\n",
            body.len()
        )
        .into_bytes();
        whole.extend_from_slice(&body);
        let stream_head = format!(
            "{common}Content-Type: application/vnd.amazon.eventstream\r\nTransfer-Encoding: chunked\r\n\r\n"
        );
        let frame = frames::delta();
        let mut chunk = format!("{:x}\r\n", frame.len()).into_bytes();
        chunk.extend_from_slice(&frame);
        chunk.extend_from_slice(b"\r\n");
        Self { whole, stream_head: stream_head.into_bytes(), frame: chunk.into() }
    }
}

/// Serves one connection until its peer closes it.
async fn serve<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, answers: &Answers) {
    let mut buffer = vec![0; 128 * 1024];
    let mut filled = 0;
    loop {
        let head = loop {
            if let Some(end) = head_end(&buffer[..filled]) {
                break end;
            }
            match stream.read(&mut buffer[filled..]).await {
                Ok(0) | Err(_) => return,
                Ok(read) => filled += read,
            }
        };
        let wanted = paced(&buffer[..head]);
        let mut missing = (head + content_length(&buffer[..head]).unwrap_or(0)).saturating_sub(filled);
        while missing > 0 {
            match stream.read(&mut buffer).await {
                Ok(0) | Err(_) => return,
                Ok(read) => missing -= read,
            }
        }
        filled = 0;
        let written = match wanted {
            None => stream.write_all(&answers.whole).await,
            Some((frames, apart)) => pace(&mut stream, answers, frames, apart).await,
        };
        if written.is_err() || stream.flush().await.is_err() {
            return;
        }
    }
}

/// Frames and milliseconds from a path of [`stream_path`].
fn paced(head: &[u8]) -> Option<(usize, Duration)> {
    let line = std::str::from_utf8(head.split(|byte| *byte == b'\r').next()?).ok()?;
    let (frames, rest) = line.split_once("/model/bench.f")?.1.split_once(".i")?;
    let apart = rest.split_once('/')?.0;
    Some((frames.parse().ok()?, Duration::from_millis(apart.parse().ok()?)))
}

async fn pace<S: AsyncWrite + Unpin>(
    stream: &mut S,
    answers: &Answers,
    frames: usize,
    apart: Duration,
) -> std::io::Result<()> {
    stream.write_all(&answers.stream_head).await?;
    stream.flush().await?;
    let mut clock = tokio::time::interval_at(Instant::now() + apart, apart.max(Duration::from_millis(1)));
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for frame in 0..frames {
        // The first frame is sent at once, so that its reader waits for the network and not for a timer.
        if frame > 0 {
            clock.tick().await;
        }
        stream.write_all(&answers.frame).await?;
        stream.flush().await?;
        FRAMES_SENT.set(FRAMES_SENT.get() + 1);
    }
    stream.write_all(b"0\r\n\r\n").await
}
