//! The variables that clients need, as lines for bash and zsh. There is no comment between them: a zsh that reads
//! commands from a person does not know comments.

use std::fmt::Write as _;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::Outcome;
use crate::ground::Ground;
use crate::people::Person;

/// The model of OpenAI's clients.
const GPT: &str = "openai.gpt-oss-120b-1:0";

/// Writes the files that the variables name, and `NAME.env` with the variables of each caller.
pub(crate) fn write(ground: &Ground) -> Outcome {
    let folder = ground.bed.folder();
    std::fs::write(folder.join("ca-bundle.pem"), bundle(&ground.bed.standin.ca_pem()))?;
    let codex = folder.join("codex");
    std::fs::create_dir_all(&codex)?;
    std::fs::write(codex.join("config.toml"), codex_settings(&ground.endpoint()?))?;
    for person in &ground.people {
        person.renew(&ground.bed.standin.idp, ground.lifetime, folder)?;
        std::fs::write(folder.join(format!("{}.env", person.name)), variables(ground, person)?)?;
    }
    Ok(())
}

/// One `export` a line, for one caller.
pub(crate) fn variables(ground: &Ground, person: &Person) -> Outcome<String> {
    let endpoint = ground.endpoint()?;
    let file = |name: &str| quoted(&ground.bed.folder().join(name));
    let (bundle, ca) = (file("ca-bundle.pem"), file("ca.pem"));
    let token = format!("\"$(cat {})\"", file(&format!("{}.jwt", person.name)));
    let same = || "\"$AWS_BEARER_TOKEN_BEDROCK\"".to_owned();
    let mut lines = String::new();
    for (name, value) in [
        ("AWS_BEARER_TOKEN_BEDROCK", token),
        ("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", endpoint.clone()),
        ("AWS_ENDPOINT_URL_BEDROCK", endpoint.clone()),
        // boto3 and the AWS CLI read the first, aws-sdk-js and Claude Code the second.
        ("AWS_DEFAULT_REGION", ground.region.clone()),
        ("AWS_REGION", ground.region.clone()),
        // boto3 and the AWS CLI; curl; openai, anthropic and Codex; Node.js.
        ("AWS_CA_BUNDLE", bundle.clone()),
        ("CURL_CA_BUNDLE", bundle.clone()),
        ("SSL_CERT_FILE", bundle),
        ("NODE_EXTRA_CA_CERTS", ca),
        ("OPENAI_BASE_URL", format!("{endpoint}/openai/v1")),
        ("OPENAI_API_KEY", same()),
        ("ANTHROPIC_BASE_URL", format!("{endpoint}/anthropic")),
        ("ANTHROPIC_AUTH_TOKEN", same()),
        ("ANTHROPIC_BEDROCK_BASE_URL", endpoint),
        ("ANTHROPIC_MODEL", claude(&ground.region)),
        ("CLAUDE_CODE_USE_BEDROCK", "1".to_owned()),
        ("CODEX_HOME", file("codex")),
    ] {
        writeln!(lines, "export {name}={value}")?;
    }
    Ok(lines)
}

/// Claude Sonnet's inference profile for callers in this region.
fn claude(region: &str) -> String {
    let scope = if region.starts_with("us-") { "us" } else { "global" };
    format!("{scope}.anthropic.claude-sonnet-4-6-v1:0")
}

/// A path for a shell, in quotes if a character of it has a meaning there.
pub(crate) fn quoted(path: &Path) -> String {
    let path = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+".contains(c);
    if path.chars().all(plain) { path } else { format!("'{}'", path.replace('\'', r"'\''")) }
}

/// The CAs of the system and this one. The variables replace the system's, and other programs of the shell need those.
fn bundle(own: &str) -> String {
    let mut bundle = own.to_owned();
    for certificate in rustls_native_certs::load_native_certs().certs {
        bundle += "-----BEGIN CERTIFICATE-----\n";
        for line in STANDARD.encode(&certificate).as_bytes().chunks(64) {
            bundle += &String::from_utf8_lossy(line);
            bundle.push('\n');
        }
        bundle += "-----END CERTIFICATE-----\n";
    }
    bundle
}

/// The settings of Codex, which reads its provider from a file only.
fn codex_settings(endpoint: &str) -> String {
    format!(
        r#"model = "{GPT}"
model_provider = "gateway"

[model_providers.gateway]
name = "bedrock-gateway"
base_url = "{endpoint}/openai/v1"
env_key = "AWS_BEARER_TOKEN_BEDROCK"
wire_api = "responses"
"#
    )
}
