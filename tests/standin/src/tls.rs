//! A certificate authority for one test run.

use std::fmt;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// The names and addresses of a loopback server. The last ones are for clients that reach it through a forward proxy.
pub(crate) const LOOPBACK: &[&str] = &[
    "127.0.0.1",
    "::1",
    "localhost",
    "keys.acme.example",
    "sts.us-east-1.amazonaws.com",
    "bedrock-runtime.us-east-1.amazonaws.com",
];

/// An authority that issues server certificates. A client that must trust them needs [`ca_pem`](Self::ca_pem).
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name.push(DnType::CommonName, "bedrock-standin CA");
        Self { issuer: CertifiedIssuer::self_signed(params, key()).expect("the parameters are complete") }
    }

    /// The CA certificate, as PEM.
    pub fn ca_pem(&self) -> String {
        self.issuer.pem()
    }

    /// A certificate for DNS names and IP addresses, and its key, both as PEM.
    pub fn server_certificate(&self, names: &[&str]) -> (String, String) {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("names are DNS names or addresses");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        // Python's ssl module requires the key identifier of the issuer.
        params.use_authority_key_identifier_extension = true;
        params.distinguished_name.push(DnType::CommonName, "bedrock-standin");
        let key = key();
        let certificate = params.signed_by(&key, &self.issuer).expect("the parameters are complete");
        (certificate.pem(), key.serialize_pem())
    }

    /// The configuration of a loopback server that supports `protocols`, in order of preference.
    pub fn server_config(&self, protocols: &[&str]) -> Arc<ServerConfig> {
        let (certificate, key) = self.server_certificate(LOOPBACK);
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let certificate = CertificateDer::from_pem_slice(certificate.as_bytes()).expect("PEM, just written");
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("PEM, just written");
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the provider knows TLS 1.2 and 1.3")
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .expect("the key is the certificate's");
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        Arc::new(config)
    }
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority").finish_non_exhaustive()
    }
}

fn key() -> KeyPair {
    KeyPair::generate().expect("the system has randomness")
}

#[cfg(test)]
mod tests;
