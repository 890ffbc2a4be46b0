//! The listener's certificate. A reload replaces it while the listener is open.

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio_rustls::TlsAcceptor;
use x509_parser::parse_x509_certificate;

/// Why the listener cannot use a certificate.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("the certificate file contains no certificate in PEM")]
    NoCertificate,
    #[error("cannot read the certificate: {0}")]
    Certificate(String),
    /// Without the library's text, which might quote the key.
    #[error("the key file contains no private key in PEM")]
    Key,
    #[error("the certificate file contains the private key, and the key file the certificate")]
    Swapped,
    #[error("the key is not the private key of the certificate")]
    Pair,
    #[error("the TLS library rejects the certificate: {0}")]
    Rejected(#[from] rustls::Error),
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

    /// The time in which the certificate is valid.
    pub fn validity(&self) -> Option<Range<SystemTime>> {
        validity(&self.0.load().cert)
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

/// The time in which the first certificate of a chain is valid. `None`: it is not X.509.
pub fn validity(chain: &[CertificateDer<'_>]) -> Option<Range<SystemTime>> {
    let (_, certificate) = parse_x509_certificate(chain.first()?).ok()?;
    let time = |seconds: i64| UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).unwrap_or_default());
    let validity = certificate.validity();
    Some(time(validity.not_before.timestamp())..time(validity.not_after.timestamp()))
}

fn pair(chain: &[u8], key: &[u8]) -> Result<CertifiedKey, TlsError> {
    let certificates = certificates(chain)?;
    if certificates.is_empty() {
        let is_swapped =
            self::key(chain).is_ok() && self::certificates(key).is_ok_and(|found| !found.is_empty());
        return Err(if is_swapped { TlsError::Swapped } else { TlsError::NoCertificate });
    }
    CertifiedKey::from_der(certificates, self::key(key)?, &provider()).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => TlsError::Pair,
        other => TlsError::Rejected(other),
    })
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let certificates = CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>();
    certificates.map_err(|error| TlsError::Certificate(error.to_string()))
}

fn key(pem: &[u8]) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_slice(pem).map_err(|_| TlsError::Key)
}

fn provider() -> CryptoProvider {
    rustls::crypto::aws_lc_rs::default_provider()
}
