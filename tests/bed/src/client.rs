//! A plain HTTP client.

use std::net::SocketAddr;

use bytes::Bytes;
use http::header::HOST;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// Sends over HTTP/1.1, on a connection of its own. The request names the address as its host if it names no other.
pub async fn send(address: SocketAddr, mut request: Request<Full<Bytes>>) -> Response<Incoming> {
    request.headers_mut().entry(HOST).or_insert_with(|| address.to_string().parse().unwrap());
    let stream = TokioIo::new(TcpStream::connect(address).await.unwrap());
    let (mut sender, connection) = http1::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    sender.send_request(request).await.unwrap()
}
