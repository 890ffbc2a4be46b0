use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

fn hello() -> Server {
    Server::start(None, |request: Request<Incoming>| async move {
        match request.uri().path() {
            "/reset" => Err(Reset),
            "/hang" => std::future::pending().await,
            _ => Ok(Response::new(full("hello"))),
        }
    })
}

/// The whole answer to a GET over HTTP/1.1, head and body.
pub(crate) async fn get(server: &Server, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(server.addr()).await?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n", server.authority());
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

#[tokio::test]
async fn a_stopped_server_restarts_on_its_port() {
    let server = hello();
    assert!(get(&server, "/").await.unwrap().ends_with("hello"));

    let mut hanging = TcpStream::connect(server.addr()).await.unwrap();
    hanging.write_all(b"GET /hang HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    while server.requests() < 2 {
        tokio::task::yield_now().await;
    }
    server.stop().await;
    assert_eq!(server.open_connections(), 0);
    assert!(TcpStream::connect(server.addr()).await.is_err());
    assert_eq!(hanging.read(&mut [0; 16]).await.unwrap_or(0), 0);

    server.restart();
    assert!(get(&server, "/").await.unwrap().ends_with("hello"));
    assert_eq!(server.accepted(), 3);
}

#[tokio::test]
async fn a_reset_reaches_the_client_as_a_reset() {
    let server = hello();
    let error = get(&server, "/reset").await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn dropping_a_server_closes_the_port() {
    let server = hello();
    let addr = server.addr();
    drop(server);
    let closed = async {
        while TcpStream::connect(addr).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), closed).await.expect("the port closes");
}
