use http::{Request, Response};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::*;
use crate::server::{self, Server};

/// A client that trusts only this authority.
fn connector(authority: &Authority, protocol: &str) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    let ca = CertificateDer::from_pem_slice(authority.ca_pem().as_bytes()).unwrap();
    roots.add(ca).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
    TlsConnector::from(Arc::new(config))
}

#[tokio::test]
async fn http2_works_over_tls_by_name_and_by_address() {
    let authority = Authority::new();
    let tls = authority.server_config(&["h2", "http/1.1"]);
    let server = Server::start(Some(tls), |request: Request<_>| async move {
        let authority = request.uri().authority().map(ToString::to_string);
        Ok(Response::new(server::full(authority.unwrap_or_default())))
    });
    for name in ["localhost", "127.0.0.1"] {
        let stream = TcpStream::connect(server.addr()).await.unwrap();
        let name = ServerName::try_from(name).unwrap();
        let stream = connector(&authority, "h2").connect(name, stream).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        let (mut sender, connection) =
            http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let request = Request::get(format!("{}/x", server.url()));
        let request = request.body(server::empty()).unwrap();
        let response = sender.send_request(request).await.unwrap();
        assert_eq!(response.version(), http::Version::HTTP_2);
    }
    assert_eq!(server.requests(), 2);
}

#[tokio::test]
async fn another_authority_is_not_trusted() {
    let server = Server::start(Some(Authority::new().server_config(&["http/1.1"])), |_| async {
        Ok(Response::new(server::empty()))
    });
    let stream = TcpStream::connect(server.addr()).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let other = connector(&Authority::new(), "http/1.1");
    assert!(other.connect(name, stream).await.is_err());
}
