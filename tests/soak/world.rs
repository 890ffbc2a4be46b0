//! The surroundings of the gateway: two identity providers, STS, Bedrock, and the users with what they trust.

use std::net::SocketAddr;

use bedrock_bed::{Addresses, Bed, Setup, free_addresses};
use bedrock_standin::idp::Idp;
use bedrock_standin::{Options, Standin};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::users::{Provider, User};

pub(crate) struct World {
    pub(crate) bed: Bed,
    partners: Idp,
    pub(crate) users: Vec<User>,
    pub(crate) address: SocketAddr,
    probe: SocketAddr,
}

impl World {
    /// Must be called within a tokio runtime.
    pub(crate) fn new() -> Self {
        let aws = Standin::start(Options { sts_tls: true, bedrock_tls: true, ..Options::default() });
        let [address, probe] = free_addresses();
        Self { bed: Bed::around(aws), partners: Idp::start(None), users: User::all(), address, probe }
    }

    pub(crate) fn provider(&self, provider: Provider) -> &Idp {
        match provider {
            Provider::Staff => &self.bed.standin.idp,
            Provider::Partners => &self.partners,
        }
    }

    pub(crate) fn token(&self, user: usize) -> String {
        let user = &self.users[user];
        user.token(self.provider(user.provider))
    }

    /// The TLS settings of the gateway's clients, for this protocol.
    pub(crate) fn trust(&self, protocol: &[u8]) -> rustls::ClientConfig {
        let mut trust = bedrock_bed::trusting(self.bed.folder());
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
        value.unwrap_or_else(|| panic!("the gateway has no metric {name}")).parse().unwrap()
    }

    async fn probed(&self, path: &str) -> std::io::Result<String> {
        let mut stream = TcpStream::connect(self.probe).await?;
        let asked = format!("GET {path} HTTP/1.1\r\nhost: probe\r\nconnection: close\r\n\r\n");
        stream.write_all(asked.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok(answer)
    }

    /// The gateway's configuration: the bed's issuer is for staff, another one for partners. Every `edition` has the
    /// same effect for every caller. The differences make the gateway build its issuers and rules again.
    pub(crate) fn configuration(&self, edition: u64) -> String {
        let issuer = format!("leeway = \"{}s\"\nrequest_headers = [\"x-project\"]", 30 + edition % 2);
        let mapping = format!(
            r#"
[issuer.session]
name = "claims.email"
[issuer.session.tags]
team = "claims.department"
project = {{ from = "request.headers['x-project'] in claims.projects ? request.headers['x-project'] : null", required = false }}

[[issuer]]
name = "partners"
url = "{}"
audiences = ["bedrock-gateway"]
[issuer.session]
name = "claims.email"
[issuer.session.tags]
team = "claims.department"
"#,
            self.partners.issuer()
        );
        let roles = format!("[[role]]\nwhen = \"'edition-{edition}' in claims.groups\"{ROLES}");
        self.bed.text(&Setup {
            addresses: Addresses {
                https: Some(self.address),
                probe: Some(self.probe),
                ..Addresses::default()
            },
            regions: &[],
            issuer: &issuer,
            mapping: &mapping,
            roles: &roles,
            log: "format = \"json\"",
            ..Setup::default()
        })
    }
}

/// The role rules after the condition of the first one, which matches no caller.
const ROLES: &str = r#"
issuers = ["acme", "partners"]
shared_names = true
arn = "arn:aws:iam::123456789012:role/Unmatched"

[[role]]
when = "'bedrock-ml' in claims.groups"
issuers = ["acme"]
arn = "arn:aws:iam::210987654321:role/BedrockMl"

[[role]]
issuers = ["acme"]
arn = "arn:aws:iam::123456789012:role/BedrockUser"

[[role]]
issuers = ["partners"]
arn = "arn:aws:iam::123456789012:role/BedrockPartner"
"#;
