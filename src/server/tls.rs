//! The listener's certificate.

use std::path::Path;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

/// Why TLS cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("the certificate file {path} cannot be read: {detail}")]
    Certificate { path: String, detail: String },
    #[error("the key file {path} cannot be read: {detail}")]
    Key { path: String, detail: String },
    #[error("certificate and key do not fit: {0}")]
    Pair(#[from] rustls::Error),
}

/// An acceptor with the PEM chain at `cert` and the PEM key at `key`, that offers HTTP/2 and HTTP/1.1.
///
/// # Errors
/// When a file is unreadable or the two do not belong together.
pub fn acceptor(cert: &Path, key: &Path) -> Result<TlsAcceptor, TlsError> {
    let unread = |error: rustls::pki_types::pem::Error| TlsError::Certificate {
        path: cert.display().to_string(),
        detail: error.to_string(),
    };
    let chain = CertificateDer::pem_file_iter(cert)
        .map_err(unread)?
        .collect::<Result<Vec<_>, _>>()
        .map_err(unread)?;
    let key = PrivateKeyDer::from_pem_file(key)
        .map_err(|error| TlsError::Key { path: key.display().to_string(), detail: error.to_string() })?;
    let mut config =
        ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}
