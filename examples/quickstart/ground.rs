//! The gateway and what is around it: the stand-in for AWS, files, callers.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use bedrock_bed::{ANY_PORT, Addresses, Bed, free_addresses};
use bedrock_gateway::telemetry::access::AccessLog;

use crate::Outcome;
use crate::gateway::Gateway;
use crate::people::Person;

/// A running gateway with its callers.
pub(crate) struct Ground {
    pub(crate) bed: Bed,
    pub(crate) gateway: Gateway,
    /// The gateway's region.
    pub(crate) region: String,
    pub(crate) people: Vec<Person>,
    /// The lifetime of tokens.
    pub(crate) lifetime: Duration,
}

impl Ground {
    /// The gateway of the quickstart.
    pub(crate) async fn start(lifetime: Duration, log: AccessLog) -> Outcome<Self> {
        let bed = Bed::start();
        let leeway = if lifetime < Duration::from_secs(3600) { "1s" } else { "30s" };
        let file = bed.folder().join("gateway.toml");
        std::fs::write(&file, configuration(&bed, [ANY_PORT; 3], leeway))?;
        Self::serve(bed, &file, log, "us-east-1".to_owned(), Person::all(), lifetime).await
    }

    /// The gateway of the quickstart, which `program` serves.
    pub(crate) async fn start_program(lifetime: Duration, program: &Path) -> Outcome<Self> {
        let bed = Bed::start();
        let file = bed.folder().join("gateway.toml");
        let [https, probe, admin] = free_addresses();
        std::fs::write(&file, configuration(&bed, [https, probe, admin], "30s"))?;
        let addresses = Addresses { http: None, https: Some(https), probe: Some(probe), admin: Some(admin) };
        let gateway = Gateway::start(&bed, program, &file, addresses).await?;
        Ok(Self { bed, gateway, region: "us-east-1".to_owned(), people: Person::all(), lifetime })
    }

    /// A gateway with the configuration in `file`.
    pub(crate) async fn serve(
        bed: Bed,
        file: &Path,
        log: AccessLog,
        region: String,
        people: Vec<Person>,
        lifetime: Duration,
    ) -> Outcome<Self> {
        let gateway = Gateway::of_build(&bed, file, log).await;
        Ok(Self { bed, gateway, region, people, lifetime })
    }

    /// The gateway's address for callers.
    pub(crate) fn endpoint(&self) -> Outcome<String> {
        let address = self.gateway.addresses().https.ok_or("the gateway listens on no https address")?;
        Ok(format!("https://{address}"))
    }

    pub(crate) fn admin(&self) -> Outcome<SocketAddr> {
        Ok(self.gateway.addresses().admin.ok_or("the gateway has no admin port")?)
    }

    pub(crate) fn probe(&self) -> Outcome<SocketAddr> {
        Ok(self.gateway.addresses().probe.ok_or("the gateway has no probe port")?)
    }

    pub(crate) fn token(&self, person: &Person) -> String {
        person.token(&self.bed.standin.idp, self.lifetime)
    }
}

/// The configuration that an operator would write, with the stand-in's addresses.
fn configuration(bed: &Bed, addresses: [SocketAddr; 3], leeway: &str) -> String {
    let [https, probe, admin] = addresses;
    let (standin, folder) = (&bed.standin, bed.folder().display());
    format!(
        r#"[listen]
https = "{https}"
probe = "{probe}"
admin = "{admin}"

[listen.tls]
cert = "{folder}/tls.crt"
key = "{folder}/tls.key"

[aws]
region = "us-east-1"

[aws.endpoints]
sts = "{sts}"
bedrock_runtime = "{bedrock}"
bedrock = "{control}"
bedrock_mantle = "{mantle}"
ca = "{folder}/ca.pem"

[[issuer]]
name = "acme"
url = "{issuer}"
audiences = ["bedrock-gateway"]
leeway = "{leeway}"

[[issuer.require]]
expression = "'bedrock' in claims.groups"
message = "the caller is not in the group bedrock"
tell = "Ask for the group bedrock at https://go.acme.org/ai."

[issuer.session]
name = "claims.email"

[issuer.session.tags]
team = "claims.department"

[[role]]
arn = "arn:aws:iam::123456789012:role/BedrockUser"
models = ["*anthropic.claude-*", "openai.gpt-oss-*", "amazon.nova-reel-*", "arn:aws:bedrock:*"]
operations = [
  "invoke", "converse", "count-tokens", "guardrail", "openai-chat", "responses", "messages",
  "list-models", "mantle", "async-start", "async-get", "async-list",
]
"#,
        sts = standin.sts.url(),
        bedrock = standin.bedrock.url(),
        control = standin.control.url(),
        mantle = standin.mantle.url(),
        issuer = standin.idp.issuer(),
    )
}
