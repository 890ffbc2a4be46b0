//! The protocol of one connection, HTTP/1.1 or HTTP/2: which one the client speaks, and the connection that speaks it.
//!
//! This is hand-written: `hyper_util::server::conn::auto` passes the bytes that show the version on as a read of their
//! own, for which hyper doubles its first buffer to 16 KiB. Each open connection would keep that memory.

use std::future::Future;
use std::io;
use std::pin::Pin;

use hyper::body::{Body, Incoming};
use hyper::rt::bounds::Http2ServerConnExec;
use hyper::rt::{Read, Write};
use hyper::server::conn::{http1, http2};
use hyper::service::HttpService;
use tokio::io::{AsyncRead, AsyncReadExt as _, ReadBuf};

/// The first bytes of every HTTP/2 connection (RFC 9113, section 3.4). No request of HTTP/1.1 begins with them.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The bytes that show the protocol of a connection.
#[derive(Debug)]
pub(super) struct Beginning {
    bytes: [u8; PREFACE.len()],
    filled: usize,
    /// The number of bytes that were passed on.
    passed: usize,
}

impl Beginning {
    /// Reads from `io` until the protocol is known. A connection that ends before counts as HTTP/1.1.
    ///
    /// # Errors
    /// Those of `io`.
    pub(super) async fn read(io: &mut (impl AsyncRead + Unpin)) -> io::Result<Self> {
        let mut beginning = Self { bytes: [0; PREFACE.len()], filled: 0, passed: 0 };
        while beginning.filled < PREFACE.len() && PREFACE.starts_with(beginning.bytes()) {
            let read = io.read(&mut beginning.bytes[beginning.filled..]).await?;
            if read == 0 {
                break;
            }
            beginning.filled += read;
        }
        Ok(beginning)
    }

    pub(super) fn is_h2(&self) -> bool {
        self.bytes() == PREFACE
    }

    /// Passes on as many bytes as `buffer` has room for. Returns whether all were passed on.
    pub(super) fn pass(&mut self, buffer: &mut ReadBuf<'_>) -> bool {
        let left = &self.bytes[self.passed..self.filled];
        let step = left.len().min(buffer.remaining());
        buffer.put_slice(&left[..step]);
        self.passed += step;
        self.passed == self.filled
    }

    fn bytes(&self) -> &[u8] {
        &self.bytes[..self.filled]
    }
}

/// A connection that speaks one of the protocols. Its future completes when it ends.
pub(super) trait Connection: Future<Output = hyper::Result<()>> + Send {
    /// Asks the client to finish, and ends without a further request.
    fn finish(self: Pin<&mut Self>);
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

impl<I, B, S> Connection for http1::Connection<I, S>
where
    I: Read + Write + Unpin + Send,
    B: Body<Error: Into<BoxError>, Data: Send> + Send + 'static,
    S: HttpService<Incoming, ResBody = B, Error: Into<BoxError>, Future: Send> + Send,
{
    fn finish(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

impl<I, B, S, E> Connection for http2::Connection<I, S, E>
where
    I: Read + Write + Unpin + Send,
    B: Body<Error: Into<BoxError>, Data: Send> + Send + 'static,
    S: HttpService<Incoming, ResBody = B, Error: Into<BoxError>, Future: Send> + Send,
    E: Http2ServerConnExec<S::Future, B> + Send,
{
    fn finish(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;

    use super::*;

    async fn read(mut client: &[u8]) -> (bool, Vec<u8>) {
        let mut beginning = Beginning::read(&mut client).await.unwrap();
        let (mut passed, mut room) = (Vec::new(), [0; 10]);
        loop {
            let mut buffer = ReadBuf::new(&mut room);
            let all = beginning.pass(&mut buffer);
            passed.extend_from_slice(buffer.filled());
            if all {
                passed.extend_from_slice(client);
                return (beginning.is_h2(), passed);
            }
        }
    }

    #[tokio::test]
    async fn the_preface_means_http2_and_every_byte_is_passed_on() {
        let h2 = [PREFACE, b"rest"].concat();
        for (client, is_h2) in [
            (&*h2, true),
            (PREFACE, true),
            (b"POST /model/x/converse HTTP/1.1\r\n", false),
            (b"PRI * HTTP/1.1\r\n\r\n", false),
            (b"PRI * HTTP/2.0\r\n\r\nS", false),
            (b"P", false),
            (b"", false),
        ] {
            assert_eq!(read(client).await, (is_h2, client.to_vec()), "{:?}", String::from_utf8_lossy(client));
        }
    }

    #[tokio::test]
    async fn bytes_that_arrive_one_by_one_are_recognised() {
        // A pipe with room for one byte.
        let (mut client, mut server) = tokio::io::duplex(1);
        let sent = tokio::spawn(async move { client.write_all(PREFACE).await });
        assert!(Beginning::read(&mut server).await.unwrap().is_h2());
        sent.await.unwrap().unwrap();
    }
}
