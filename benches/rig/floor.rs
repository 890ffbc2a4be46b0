//! The floor: a reverse proxy made of hyper's own parts, which forwards and does nothing else. It has one thread, as a
//! worker of the gateway has.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use clap::Args;
use http::uri::{Authority, Scheme};
use http::{Request, Response, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::signing;

/// The address at which it listens and the one to which it forwards. Both use TLS, or neither.
#[derive(Debug, Args)]
pub(crate) struct Settings {
    #[arg(long)]
    listen: SocketAddr,
    #[arg(long)]
    upstream: Authority,
    #[arg(long)]
    tls: bool,
    /// Whether it signs each request
    #[arg(long)]
    sign: bool,
    /// `ca.pem`, `tls.crt` and `tls.key`
    #[arg(long)]
    folder: PathBuf,
}

/// Most bytes of a request's body; equal to the gateway's default.
const MAX_BODY: usize = 32 * 1024 * 1024;

type Pool = Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn run(settings: &Settings) {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    let connector = hyper_rustls::HttpsConnectorBuilder::new()
        .with_tls_config(bedrock_bed::trusting(&settings.folder))
        .https_or_http()
        .enable_http1()
        .wrap_connector(tcp);
    let pool: Pool = Client::builder(TokioExecutor::new()).build(connector);

    let mut serving = bedrock_bed::serving(&settings.folder);
    serving.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let tls = settings.tls.then(|| TlsAcceptor::from(Arc::new(serving)));
    let scheme = if settings.tls { Scheme::HTTPS } else { Scheme::HTTP };

    let sign = settings.sign;
    let listener = TcpListener::bind(settings.listen).await.unwrap();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        let (pool, tls, upstream) = (pool.clone(), tls.clone(), (scheme.clone(), settings.upstream.clone()));
        tokio::spawn(async move {
            let service = service_fn(move |request| forward(pool.clone(), upstream.clone(), sign, request));
            let server = auto::Builder::new(TokioExecutor::new());
            // A client that closes its connection early is not an error of the floor.
            let _served = match tls {
                None => server.serve_connection(TokioIo::new(stream), service).await.is_ok(),
                Some(tls) => match tls.accept(stream).await {
                    Ok(stream) => server.serve_connection(TokioIo::new(stream), service).await.is_ok(),
                    Err(_) => false,
                },
            };
        });
    }
}

async fn forward(
    pool: Pool,
    (scheme, authority): (Scheme, Authority),
    sign: bool,
    request: Request<Incoming>,
) -> Result<Response<Incoming>, Infallible> {
    let (mut head, body) = request.into_parts();
    let path = head.uri.path_and_query().unwrap().clone();
    head.uri = Uri::builder().scheme(scheme).authority(authority).path_and_query(path).build().unwrap();
    head.headers.remove(http::header::HOST);
    head.version = http::Version::HTTP_11;
    #[expect(clippy::disallowed_methods, reason = "it is bounded")]
    let body = Limited::new(body, MAX_BODY).collect().await.unwrap().to_bytes();
    if sign {
        signing::sign(&head.uri, &mut head.headers, &body);
    }
    Ok(pool.request(Request::from_parts(head, Full::new(body))).await.unwrap())
}
