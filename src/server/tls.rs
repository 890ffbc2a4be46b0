//! The listener's certificate. A reload replaces it while the listener is open.

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

/// The time in which a certificate is valid. Both moments belong to it (RFC 5280, section 4.1.2.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    pub begin: SystemTime,
    pub end: SystemTime,
}

/// Why a certificate needs the operator's attention.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Concern {
    NotYetValid,
    Expired,
    ExpiresSoon,
}

/// The remaining time of a certificate from which on it is a concern: 14 days. Common issuers renew a month before the
/// end.
const SOON: Duration = Duration::from_hours(14 * 24);

impl Validity {
    /// The concern about a certificate with this validity at `now`. `None`: it is valid, and for more than 14 days.
    pub fn concern(&self, now: SystemTime) -> Option<Concern> {
        if now < self.begin {
            Some(Concern::NotYetValid)
        } else if now > self.end {
            Some(Concern::Expired)
        } else if now + SOON >= self.end {
            Some(Concern::ExpiresSoon)
        } else {
            None
        }
    }
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
    pub fn validity(&self) -> Option<Validity> {
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
fn validity(chain: &[CertificateDer<'_>]) -> Option<Validity> {
    let (_, certificate) = parse_x509_certificate(chain.first()?).ok()?;
    let time = |seconds: i64| UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).unwrap_or_default());
    let validity = certificate.validity();
    let (begin, end) = (validity.not_before.timestamp(), validity.not_after.timestamp());
    Some(Validity { begin: time(begin), end: time(end) })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_moments_of_a_validity_belong_to_it_and_its_last_14_days_are_a_concern() {
        let day = Duration::from_hours(24);
        let at = |days: u32| UNIX_EPOCH + days * day;
        let valid = Validity { begin: at(100), end: at(190) };
        let moment = Duration::from_nanos(1);
        for (now, concern) in [
            (at(0), Some(Concern::NotYetValid)),
            (at(100) - moment, Some(Concern::NotYetValid)),
            (at(100), None),
            (at(176) - moment, None),
            (at(176), Some(Concern::ExpiresSoon)),
            (at(190), Some(Concern::ExpiresSoon)),
            (at(190) + moment, Some(Concern::Expired)),
        ] {
            assert_eq!(valid.concern(now), concern, "{now:?}");
        }
    }

    #[test]
    fn a_certificate_that_is_not_valid_yet_is_not_one_that_expires_soon() {
        let at = |hours: u64| UNIX_EPOCH + Duration::from_hours(hours);
        let short = Validity { begin: at(1), end: at(2) };
        let concerns = [0, 1, 2, 3].map(|hours| short.concern(at(hours)));
        let soon = Some(Concern::ExpiresSoon);
        assert_eq!(concerns, [Some(Concern::NotYetValid), soon, soon, Some(Concern::Expired)]);
    }
}
