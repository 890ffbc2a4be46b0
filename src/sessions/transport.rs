//! The HTTP client for STS and for the sources of the gateway's own credentials.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::Duration;

use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use aws_smithy_http_client::{Builder, Connector};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use http::Uri;
use url::Url;

use crate::proxy::{NoConnection, Proxy};
use crate::trust::{self, CaError};

/// The settings of the connection to STS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StsSettings {
    /// The region of STS, which is the gateway's.
    pub region: String,
    /// An address to use instead of AWS's own; `http` is allowed.
    pub endpoint: Option<Url>,
    /// A PEM file of CAs that the client trusts, besides those of this machine.
    pub ca: Option<PathBuf>,
    pub fips: bool,
    pub dual_stack: bool,
    /// The longest wait for a session, with all attempts.
    pub timeout: Duration,
    /// The proxy for the connections to STS and to the sources of the own credentials.
    pub proxy: Proxy,
}

/// The way to STS, for messages about failed connections.
#[derive(Debug, Clone, Default)]
pub(super) struct StsRoute {
    address: Uri,
    proxy: Proxy,
}

impl StsRoute {
    pub(super) fn of(settings: &StsSettings) -> Self {
        let address = match &settings.endpoint {
            Some(url) => url.as_str().parse(),
            None => format!("https://sts.{}.amazonaws.com", settings.region).parse(),
        };
        Self { address: address.unwrap_or_default(), proxy: settings.proxy.clone() }
    }

    /// The reason for a failed connection.
    pub(super) fn explain(&self, error: &(dyn Error + 'static)) -> NoConnection {
        self.proxy.explain(error, &self.address)
    }
}

/// Why the client cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum StsSetupError {
    #[error(transparent)]
    Ca(#[from] CaError),
    #[error("cannot set up TLS for STS: {0}")]
    Tls(String),
    #[error("the AWS SDK rejects the URL of the proxy")]
    Proxy,
}

/// A client that trusts the CAs of this machine and those of `ca`. It uses plain HTTP for `http://` addresses: the
/// metadata services of EC2, ECS and EKS have no others.
///
/// HTTPS goes through `proxy`, except to the hosts that the proxy does not serve.
pub(crate) fn http_client(ca: Option<&Path>, proxy: &Proxy) -> Result<SharedHttpClient, StsSetupError> {
    // On a machine without any CA the SDK would panic by an assertion.
    let mut trusted = TrustStore::empty().with_native_roots(!trust::machine().is_empty());
    if let Some(path) = ca {
        // Checked here, because an unusable file would make the SDK panic at the first call.
        trusted.add_pem_certificate(trust::pem(path)?);
    }
    let context = TlsContext::builder().with_trust_store(trusted).build();
    let context = context.map_err(|error| StsSetupError::Tls(error.to_string()))?;
    let provider = Provider::rustls(CryptoMode::AwsLc);
    let Some((url, direct)) = proxy.url_and_direct() else {
        return Ok(Builder::new().tls_provider(provider).tls_context(context).build_https());
    };
    let proxy = ProxyConfig::https(url).map_err(|_| StsSetupError::Proxy)?.no_proxy(direct);
    Ok(Builder::new().build_with_connector_fn(move |settings, components| {
        let mut connector = Connector::builder()
            .tls_provider(provider.clone())
            .tls_context(context.clone())
            .proxy_config(proxy.clone());
        connector.set_connector_settings(settings.cloned());
        connector.set_sleep_impl(components.and_then(RuntimeComponents::sleep_impl));
        connector.build()
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unusable_ca_file_is_an_error_and_no_later_panic() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        assert!(matches!(
            http_client(Some(&path), &Proxy::default()),
            Err(StsSetupError::Ca(CaError::Unreadable { .. }))
        ));

        let no_certificate = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        for text in ["", "not PEM", no_certificate] {
            std::fs::write(&path, text).unwrap();
            let refused = http_client(Some(&path), &Proxy::default());
            assert!(matches!(refused, Err(StsSetupError::Ca(CaError::Unusable { .. }))), "{text:?}");
        }

        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = rcgen::CertificateParams::default().self_signed(&key).unwrap();
        std::fs::write(&path, certificate.pem()).unwrap();
        assert!(http_client(Some(&path), &Proxy::default()).is_ok());
    }
}
