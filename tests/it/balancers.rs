//! Load balancers: the access log has the client's address that a trusted balancer reports.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use hyper_util::rt::TokioIo;
use proxy_header::{ProxiedAddress, ProxyHeader};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::listeners::get;
use crate::world::{Answer, CONVERSE, HELLO, Setup, World, post, process_log, read};

const BY_PROXY: &str =
    "[listen.balancers]\npeers = [\"127.0.0.0/8\", \"::1\"]\nclient_address = \"proxy-protocol\"\n";
const CLIENT: &str = "192.0.2.7:4711";

fn header(client: &str) -> Vec<u8> {
    let client: SocketAddr = client.parse().unwrap();
    let gateway = if client.is_ipv4() { "10.0.0.9:443" } else { "[fd00::9]:443" }.parse().unwrap();
    let mut bytes = Vec::new();
    ProxyHeader::with_address(ProxiedAddress::stream(client, gateway)).encode_v2(&mut bytes).unwrap();
    bytes
}

async fn call<I>(stream: I, request: Request<Full<Bytes>>) -> Answer
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    read(sender.send_request(request).await.unwrap()).await
}

fn hello(token: &str) -> Request<Full<Bytes>> {
    let mut request = post(CONVERSE, token, HELLO);
    request.headers_mut().insert("host", "localhost".parse().unwrap());
    request
}

#[tokio::test(flavor = "multi_thread")]
async fn the_proxy_protocol_gives_the_client_address_over_tls_and_plain_http() {
    let world = World::with(&Setup { listen: BY_PROXY, ..Setup::default() }).await;
    let token = world.token("alice");

    let mut stream = TcpStream::connect(world.gateway.addresses().https.unwrap()).await.unwrap();
    stream.write_all(&header(CLIENT)).await.unwrap();
    let config = bedrock_bed::trusting(world.folder());
    let tls = tokio_rustls::TlsConnector::from(Arc::new(config));
    let stream = tls.connect(ServerName::try_from("localhost").unwrap(), stream).await.unwrap();
    assert_eq!(call(stream, hello(&token)).await.status, 200);
    let logged = world.logged(1).await;
    assert_eq!((&logged["client"], &logged["protocol"]), (&"192.0.2.7".into(), &"https/1.1".into()));

    let mut stream = TcpStream::connect(world.gateway.addresses().http.unwrap()).await.unwrap();
    stream.write_all(&header("[2001:db8::7]:1")).await.unwrap();
    let mut request = hello(&token);
    request.headers_mut().insert("x-forwarded-for", "6.6.6.6".parse().unwrap());
    assert_eq!(call(stream, request).await.status, 200);
    assert_eq!(
        world.logged(2).await["client"],
        "2001:db8::7",
        "x-forwarded-for does not count with the PROXY protocol"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_balancer_without_the_proxy_protocol_is_not_served() {
    let world = World::with(&Setup { listen: BY_PROXY, ..Setup::default() }).await;
    let token = world.token("alice");
    let mut stream = TcpStream::connect(world.gateway.addresses().http.unwrap()).await.unwrap();
    let request = format!(
        "POST {CONVERSE} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\ncontent-length: {}\r\n\r\n{HELLO}",
        HELLO.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // The gateway has not read the whole request, so its close becomes a reset.
    let closed = stream.read_to_end(&mut answer).await;
    assert!(answer.is_empty(), "{closed:?} {}", answer.escape_ascii());
    world.assert_untouched();
    assert!(process_log().contains("configure the balancer to send PROXY protocol v2"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_is_not_a_balancer_cannot_set_its_address() {
    let of_others = "[listen.balancers]\npeers = [\"10.0.0.0/8\"]\nclient_address = \"proxy-protocol\"\n";
    let world = World::with(&Setup { listen: of_others, ..Setup::default() }).await;
    let token = world.token("alice");
    let address = world.gateway.addresses().http.unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(&header(CLIENT)).await.unwrap();
    let mut answer = Vec::new();
    let _reset = stream.read_to_end(&mut answer).await.is_err();
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 400"), "{}", answer.escape_ascii());

    let stream = TcpStream::connect(address).await.unwrap();
    assert_eq!(call(stream, hello(&token)).await.status, 200);
    assert_eq!(world.logged(1).await["client"], "127.0.0.1");
}

#[tokio::test(flavor = "multi_thread")]
async fn health_checks_work_with_and_without_the_proxy_header() {
    let world = World::with(&Setup { listen: BY_PROXY, ..Setup::default() }).await;
    let probe = world.gateway.addresses().probe.unwrap();
    assert_eq!(get(probe, "/healthz").await.status, 200);
    let mut local = Vec::new();
    ProxyHeader::with_local().encode_v2(&mut local).unwrap();
    for header in [local, header(CLIENT)] {
        let mut stream = TcpStream::connect(probe).await.unwrap();
        stream.write_all(&header).await.unwrap();
        let request = Request::get("/healthz").header("host", "probe").body(Full::default()).unwrap();
        assert_eq!(call(stream, request).await.status, 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn x_forwarded_for_gives_the_client_address_of_each_request() {
    let by_header =
        "[listen.balancers]\npeers = [\"127.0.0.1\", \"10.0.0.0/8\"]\nclient_address = \"x-forwarded-for\"\n";
    let world = World::with(&Setup { listen: by_header, ..Setup::default() }).await;
    let token = world.token("alice");
    let stream = TcpStream::connect(world.gateway.addresses().http.unwrap()).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    for (count, (forwarded, client)) in
        [("6.6.6.6, 192.0.2.7, 10.1.2.3", "192.0.2.7"), ("2001:db8::7", "2001:db8::7"), ("what", "127.0.0.1")]
            .into_iter()
            .enumerate()
    {
        let mut request = hello(&token);
        request.headers_mut().insert("x-forwarded-for", forwarded.parse().unwrap());
        assert_eq!(read(sender.send_request(request).await.unwrap()).await.status, 200);
        assert_eq!(world.logged(count + 1).await["client"], client, "{forwarded}");
        sender.ready().await.unwrap();
    }
}
