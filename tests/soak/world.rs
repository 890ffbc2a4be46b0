//! What is around the gateway: two identity providers, STS and Bedrock, the users, and what they trust.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use bedrock_standin::idp::Idp;
use bedrock_standin::{Options, Standin};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::users::{Provider, User};

pub(crate) struct World {
    pub(crate) aws: Standin,
    partners: Idp,
    pub(crate) users: Vec<User>,
    pub(crate) address: SocketAddr,
    probe: SocketAddr,
    folder: TempDir,
}

impl World {
    /// Must be called within a tokio runtime.
    pub(crate) fn new() -> Self {
        let aws = Standin::start(Options { sts_tls: true, bedrock_tls: true, ..Options::default() });
        let folder = tempfile::tempdir().unwrap();
        let (certificate, key) = aws.server_certificate(&["localhost", "127.0.0.1"]);
        for (name, text) in [("ca.pem", aws.ca_pem()), ("tls.crt", certificate), ("tls.key", key)] {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        let (partners, users) = (Idp::start(None), User::all());
        Self { aws, partners, users, address: free_address(), probe: free_address(), folder }
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn provider(&self, provider: Provider) -> &Idp {
        match provider {
            Provider::Staff => &self.aws.idp,
            Provider::Partners => &self.partners,
        }
    }

    pub(crate) fn token(&self, user: usize) -> String {
        let user = &self.users[user];
        user.token(self.provider(user.provider))
    }

    /// How clients trust the gateway, for this protocol.
    pub(crate) fn trust(&self, protocol: &[u8]) -> rustls::ClientConfig {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.aws.ca_pem().as_bytes()).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut trust = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        trust.alpn_protocols = vec![protocol.to_vec()];
        trust
    }

    pub(crate) async fn is_ready(&self) -> bool {
        self.probed("/readyz").await.is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"))
    }

    /// A metric of the gateway that has no labels.
    pub(crate) async fn metric(&self, name: &str) -> f64 {
        let metrics = self.probed("/metrics").await.unwrap();
        let value = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.unwrap_or_else(|| panic!("there is no {name}")).parse().unwrap()
    }

    async fn probed(&self, path: &str) -> std::io::Result<String> {
        let mut stream = TcpStream::connect(self.probe).await?;
        let asked = format!("GET {path} HTTP/1.1\r\nhost: probe\r\nconnection: close\r\n\r\n");
        stream.write_all(asked.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok(answer)
    }

    /// The gateway's configuration. Every `edition` means the same to every caller; what differs makes the gateway
    /// build its issuers and rules anew.
    pub(crate) fn configuration(&self, edition: u64) -> String {
        format!(
            r#"
[listen]
https = "{address}"
probe = "{probe}"
[listen.tls]
cert = "{folder}/tls.crt"
key = "{folder}/tls.key"

[aws]
region = "us-east-1"
[aws.endpoints]
sts = "{sts}"
bedrock_runtime = "{bedrock}"
ca = "{folder}/ca.pem"

[log]
format = "json"

[[issuer]]
name = "staff"
url = "{staff}"
audiences = ["bedrock-gateway"]
leeway = "{leeway}s"
request_headers = ["x-project"]
[issuer.session]
name = "claims.email"
[issuer.session.tags]
team = "claims.department"
project = {{ from = "request.headers['x-project'] in claims.projects ? request.headers['x-project'] : null", required = false }}

[[issuer]]
name = "partners"
url = "{partners}"
audiences = ["bedrock-gateway"]
[issuer.session]
name = "claims.email"
[issuer.session.tags]
team = "claims.department"

[[role]]
when = "'edition-{edition}' in claims.groups"
issuers = ["staff", "partners"]
shared_names = true
arn = "arn:aws:iam::123456789012:role/Nobody"

[[role]]
when = "'bedrock-ml' in claims.groups"
issuers = ["staff"]
arn = "arn:aws:iam::210987654321:role/BedrockMl"

[[role]]
issuers = ["staff"]
arn = "arn:aws:iam::123456789012:role/BedrockUser"

[[role]]
issuers = ["partners"]
arn = "arn:aws:iam::123456789012:role/BedrockPartner"
"#,
            address = self.address,
            probe = self.probe,
            folder = self.folder().display(),
            sts = self.aws.sts.url(),
            bedrock = self.aws.bedrock.url(),
            staff = self.aws.idp.issuer(),
            partners = self.partners.issuer(),
            leeway = 30 + edition % 2,
        )
    }
}

/// An address that was free a moment ago.
fn free_address() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}
