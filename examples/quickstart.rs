//! The gateway, two users and their bill, with no AWS account: a stand-in plays the identity provider,
//! STS and Bedrock on loopback, and verifies every signature.
//!
//! `cargo run --example quickstart` makes four calls and prints the bill;
//! `… -- --serve` stays up and prints what boto3, aws-sdk-js or curl need to try it, and keeps fresh tokens
//! in files, which live as many seconds as `--serve SECONDS` says.

use std::collections::BTreeMap;
use std::error::Error;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use aws_sdk_bedrockruntime::Client;
use aws_sdk_bedrockruntime::config::{BehaviorVersion, Builder, Region, Token};
use aws_sdk_bedrockruntime::primitives::Blob;
use aws_sdk_bedrockruntime::types::{
    ContentBlock, ContentBlockDelta, ConversationRole, ConverseStreamOutput, Message, ResponseStream,
};
use aws_smithy_http_client::tls::{self, TlsContext, TrustStore};
use bedrock_bed::{Bed, memory_log};
use bedrock_gateway::gateway::GatewayHandle;
use bedrock_standin::Standin;
use bedrock_standin::idp::Claims;

const SONNET: &str = "us.anthropic.claude-sonnet-4-6-v1:0";
const OPUS: &str = "us.anthropic.claude-opus-4-8-v1:0";

/// The two users: name and department.
const ALICE: (&str, &str) = ("alice", "search");
const BOB: (&str, &str) = ("bob", "ads");
const HOUR: Duration = Duration::from_secs(3600);

type Outcome<T = ()> = Result<T, Box<dyn Error>>;

#[tokio::main]
async fn main() -> Outcome {
    let mut arguments = std::env::args().skip(1);
    let serve = match arguments.next().as_deref() {
        None => None,
        Some("--serve") => Some(arguments.next().map_or(Ok(3600), |seconds| seconds.parse())?),
        Some(other) => return Err(format!("{other}: only --serve is known").into()),
    };
    let serve = serve.map(Duration::from_secs);
    // The stand-in, certificates that it signed, and a folder for files.
    let bed = Bed::start();
    let leeway = if serve.is_some_and(|lifetime| lifetime < HOUR) { "1s" } else { "30s" };
    let mut gateway = start_gateway(&bed, leeway).await?;
    let address = gateway.addresses().https.ok_or("the gateway listens on no https address")?;
    let endpoint = format!("https://{address}");

    let lifetime = serve.unwrap_or(HOUR);
    let (alice, bob) = (token(&bed.standin, ALICE, lifetime), token(&bed.standin, BOB, lifetime));
    match serve {
        Some(lifetime) => {
            tokio::select! {
                served = serve_until_interrupted(&endpoint, bed.folder(), &alice, &bob) => served?,
                renewed = keep_tokens_fresh(&bed, lifetime) => renewed?,
            }
        }
        None => call_as_both(&endpoint, &bed.standin.ca_pem(), &alice, &bob).await?,
    }
    print_bill(&bed.standin);

    gateway.drain();
    gateway.stopped().await;
    Ok(())
}

/// A token, as a real identity provider would give it to a user's application.
fn token(standin: &Standin, (user, department): (&str, &str), lifetime: Duration) -> String {
    let email = format!("{user}@acme.org");
    let claims = Claims::of(&email).claim("email", email.as_str()).claim("department", department);
    standin.idp.mint(claims.expires_in(lifetime))
}

/// Writes new tokens for `bedrock-gateway credentials`, as an agent of the identity provider would on a user's machine.
async fn keep_tokens_fresh(bed: &Bed, lifetime: Duration) -> Outcome {
    loop {
        for user in [ALICE, BOB] {
            let file = bed.folder().join(format!("{}.jwt", user.0));
            let new = file.with_extension("new");
            std::fs::write(&new, token(&bed.standin, user, lifetime))?;
            std::fs::rename(new, file)?;
        }
        tokio::time::sleep(lifetime / 2).await;
    }
}

/// The real gateway, over TLS, with the configuration that an operator would write.
async fn start_gateway(bed: &Bed, leeway: &str) -> Outcome<GatewayHandle> {
    let (standin, folder) = (&bed.standin, bed.folder());
    let text = format!(
        r#"
            [listen]
            https = "127.0.0.1:0"
            probe = "127.0.0.1:0"

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
        folder = folder.display(),
        sts = standin.sts.url(),
        bedrock = standin.bedrock.url(),
        control = standin.control.url(),
        mantle = standin.mantle.url(),
        issuer = standin.idp.issuer(),
    );
    let file = folder.join("quickstart.toml");
    std::fs::write(&file, text)?;
    Ok(bed.serve(&file, &memory_log()).await)
}

/// The AWS SDK as any application uses it: an endpoint and a bearer token.
fn client(endpoint: &str, ca_pem: &str, token: &str) -> Outcome<Client> {
    let trust = TrustStore::empty().with_pem_certificate(ca_pem.as_bytes());
    let http = aws_smithy_http_client::Builder::new()
        .tls_provider(tls::Provider::Rustls(tls::rustls_provider::CryptoMode::AwsLc))
        .tls_context(TlsContext::builder().with_trust_store(trust).build()?)
        .build_https();
    let config = Builder::new()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .http_client(http)
        .region(Region::new("us-east-1"))
        .endpoint_url(endpoint)
        .bearer_token(Token::new(token, None))
        .build();
    Ok(Client::from_conf(config))
}

async fn call_as_both(endpoint: &str, ca_pem: &str, alice: &str, bob: &str) -> Outcome {
    let as_alice = client(endpoint, ca_pem, alice)?;
    let as_bob = client(endpoint, ca_pem, bob)?;

    heading("alice: Converse");
    let answer = as_alice.converse().model_id(SONNET).messages(says("Who pays for this?")?).send().await?;
    let message = answer.output().and_then(|output| output.as_message().ok()).ok_or("no message")?;
    for block in message.content() {
        print(block.as_text().map_or("", String::as_str))?;
    }

    heading("alice: ConverseStream");
    let answer = as_alice.converse_stream().model_id(SONNET).messages(says("And for this?")?).send().await?;
    let mut stream = answer.stream;
    while let Some(event) = stream.recv().await? {
        if let ConverseStreamOutput::ContentBlockDelta(event) = event
            && let Some(ContentBlockDelta::Text(text)) = event.delta
        {
            print(&text)?;
        }
    }

    heading("bob: InvokeModelWithResponseStream");
    let body = serde_json::json!({
        "anthropic_version": "bedrock-2023-05-31",
        "max_tokens": 100,
        "messages": [{ "role": "user", "content": "Is this on my bill?" }],
    });
    let answer = as_bob
        .invoke_model_with_response_stream()
        .model_id(OPUS)
        .content_type("application/json")
        .body(Blob::new(body.to_string()))
        .send()
        .await?;
    let mut stream = answer.body;
    while let Some(event) = stream.recv().await? {
        if let ResponseStream::Chunk(chunk) = event {
            let chunk: serde_json::Value =
                serde_json::from_slice(chunk.bytes().map_or(&[][..], AsRef::as_ref))?;
            print(chunk["delta"]["text"].as_str().unwrap_or(""))?;
        }
    }

    heading("bob: InvokeModel");
    let answer = as_bob
        .invoke_model()
        .model_id(OPUS)
        .content_type("application/json")
        .body(Blob::new(body.to_string()))
        .send()
        .await?;
    let answer: serde_json::Value = serde_json::from_slice(answer.body().as_ref())?;
    print(answer["content"][0]["text"].as_str().unwrap_or(""))?;
    println!();
    Ok(())
}

fn says(text: &str) -> Outcome<Message> {
    Ok(Message::builder()
        .role(ConversationRole::User)
        .content(ContentBlock::Text(text.to_owned()))
        .build()?)
}

fn heading(text: &str) {
    println!("\n\n── {text}");
}

/// Prints a piece as it streams in.
fn print(text: &str) -> Outcome {
    print!("{text}");
    std::io::stdout().flush()?;
    Ok(())
}

async fn serve_until_interrupted(endpoint: &str, folder: &Path, alice: &str, bob: &str) -> Outcome {
    let ca: PathBuf = folder.join("ca.pem");
    println!("# The gateway serves until Ctrl-C, against the stand-in. In another shell, as alice:\n");
    println!("export AWS_ENDPOINT_URL_BEDROCK_RUNTIME={endpoint}");
    println!("export AWS_DEFAULT_REGION=us-east-1");
    println!("export AWS_CA_BUNDLE={}          # boto3, AWS CLI", ca.display());
    println!("export NODE_EXTRA_CA_CERTS={}    # aws-sdk-js", ca.display());
    println!("export AWS_BEARER_TOKEN_BEDROCK={alice}");
    println!("\n# … or as bob:\n");
    println!("export AWS_BEARER_TOKEN_BEDROCK={bob}");
    println!("\n# Tokens kept fresh, for bedrock-gateway credentials --token-file:\n");
    println!("# {0}/alice.jwt {0}/bob.jwt", folder.display());
    println!("\n# With curl:\n");
    println!(
        "curl --cacert {} -H \"Authorization: Bearer $AWS_BEARER_TOKEN_BEDROCK\" -H 'Content-Type: application/json' \\\n  \
         -d '{{\"messages\":[{{\"role\":\"user\",\"content\":[{{\"text\":\"hello\"}}]}}]}}' {endpoint}/model/{SONNET}/converse",
        ca.display()
    );
    std::io::stdout().flush()?;
    let mut terminated = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted?,
        _ = terminated.recv() => {}
    }
    Ok(())
}

fn print_bill(standin: &Standin) {
    println!("\n── The bill, as CUR 2.0 would show it (the stand-in's: its prices are invented)\n");
    // A line an operation in the report; here what a query over these columns would sum up.
    let mut costs: BTreeMap<(String, String, String), f64> = BTreeMap::new();
    for row in standin.bill.rows() {
        let tags = serde_json::json!(row.tags).to_string();
        *costs.entry((row.line_item_iam_principal, row.line_item_usage_type, tags)).or_default() +=
            row.line_item_unblended_cost;
    }
    let rows: Vec<[String; 4]> = costs
        .into_iter()
        .map(|((principal, usage, tags), cost)| [principal, usage, format!("{cost:.6}"), tags])
        .collect();
    let titles = ["line_item_iam_principal", "line_item_usage_type", "line_item_unblended_cost", "tags"];
    let width = |column: usize| {
        rows.iter().map(|row| row[column].chars().count()).chain([titles[column].len()]).max().unwrap_or(0)
    };
    let widths = [width(0), width(1), width(2), width(3)];
    let line = |cells: [&str; 4]| {
        let cells: Vec<String> =
            cells.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        println!("| {} |", cells.join(" | "));
    };
    line(titles);
    println!("|{}|", widths.map(|width| "-".repeat(width + 2)).join("|"));
    for row in &rows {
        line([&row[0], &row[1], &row[2], &row[3]]);
    }
}
