//! The CAs that TLS connections to AWS and to identity providers trust: those of this machine, and those of the CA
//! files in the configuration.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

/// Why a CA file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CaError {
    #[error("the CA file {path} cannot be read: {cause}")]
    Unreadable { path: PathBuf, cause: io::Error },
    #[error("the CA file {path} has no usable certificate: {fault}")]
    Unusable { path: PathBuf, fault: String },
}

/// The CAs of this machine. There may be none.
pub(crate) fn machine() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
}

/// The CAs of this machine and those of the files in `extra`.
///
/// # Errors
/// When a file cannot be read or contains no certificate.
pub(crate) fn machine_and<'a>(extra: impl IntoIterator<Item = &'a Path>) -> Result<RootCertStore, CaError> {
    let mut roots = machine();
    for path in extra {
        add(&mut roots, path)?;
    }
    Ok(roots)
}

/// The PEM text of a CA file, which is checked.
///
/// # Errors
/// When the file cannot be read or contains no certificate.
pub(crate) fn pem(path: &Path) -> Result<Vec<u8>, CaError> {
    add(&mut RootCertStore::empty(), path)
}

/// The configuration of a TLS client that trusts `roots`.
///
/// # Errors
/// When rustls rejects its own defaults.
pub(crate) fn client(roots: RootCertStore) -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth())
}

/// Adds the certificates of a file, at least one, and returns its text.
fn add(roots: &mut RootCertStore, path: &Path) -> Result<Vec<u8>, CaError> {
    let unusable = |fault| CaError::Unusable { path: path.to_owned(), fault };
    let pem = std::fs::read(path).map_err(|cause| CaError::Unreadable { path: path.to_owned(), cause })?;
    let mut is_empty = true;
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| unusable(error.to_string()))?;
        roots.add(certificate).map_err(|error| unusable(error.to_string()))?;
        is_empty = false;
    }
    if is_empty { Err(unusable("it has no CERTIFICATE block in PEM".to_owned())) } else { Ok(pem) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invalid_ca_file_is_rejected_with_its_path_and_the_reason() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        let rejected = || (pem(&path).unwrap_err(), machine_and([path.as_path()]).unwrap_err());
        assert!(matches!(rejected(), (CaError::Unreadable { .. }, CaError::Unreadable { .. })));

        let no_certificate = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        for text in ["", "not PEM", no_certificate] {
            std::fs::write(&path, text).unwrap();
            assert!(matches!(rejected(), (CaError::Unusable { .. }, CaError::Unusable { .. })), "{text:?}");
            assert!(rejected().0.to_string().contains("ca.pem"));
        }

        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = rcgen::CertificateParams::default().self_signed(&key).unwrap();
        std::fs::write(&path, certificate.pem()).unwrap();
        assert_eq!(pem(&path).unwrap(), certificate.pem().into_bytes());
        assert_eq!(machine_and([path.as_path()]).unwrap().len(), machine().len() + 1);
    }
}
