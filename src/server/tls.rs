//! The listener's certificate. A reload replaces it while the listener is open.

use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio_rustls::TlsAcceptor;

/// Why the listener cannot use a certificate.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("cannot read the certificate: {0}")]
    Certificate(String),
    /// Without the library's text, which might quote the key.
    #[error("the key file holds no private key in PEM")]
    Key,
    #[error("the key is not the private key of the certificate: {0}")]
    Pair(#[from] rustls::Error),
}

/// The certificate that the listener shows to new connections.
#[derive(Debug)]
pub struct Certificate(ArcSwap<CertifiedKey>);

impl Certificate {
    /// The certificate of a PEM chain, with its PEM key.
    ///
    /// # Errors
    /// When one of them is unreadable, or the key belongs to another certificate.
    pub fn new(chain: &[u8], key: &[u8]) -> Result<Self, TlsError> {
        Ok(Self(ArcSwap::from_pointee(pair(chain, key)?)))
    }

    /// Replaces the certificate for new connections. Open connections keep the one before.
    ///
    /// # Errors
    /// As [`Certificate::new`]; the certificate is then not replaced.
    pub fn replace(&self, chain: &[u8], key: &[u8]) -> Result<(), TlsError> {
        self.0.store(Arc::new(pair(chain, key)?));
        Ok(())
    }

    /// An acceptor that shows this certificate and offers HTTP/2 and HTTP/1.1.
    ///
    /// # Errors
    /// Those of the TLS library.
    pub fn acceptor(self: &Arc<Self>) -> Result<TlsAcceptor, TlsError> {
        let mut config = ServerConfig::builder_with_provider(Arc::new(provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(self) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

fn pair(chain: &[u8], key: &[u8]) -> Result<CertifiedKey, TlsError> {
    let chain = CertificateDer::pem_slice_iter(chain)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| TlsError::Certificate(error.to_string()))?;
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| TlsError::Key)?;
    Ok(CertifiedKey::from_der(chain, key, &provider())?)
}

fn provider() -> CryptoProvider {
    rustls::crypto::aws_lc_rs::default_provider()
}
