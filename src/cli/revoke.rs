//! `revoke`: tells every replica that is named to cut somebody off.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use http::{Request, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::{TcpStream, lookup_host};
use tokio::task::JoinSet;
use url::{Host, Url};

use crate::cli::{EXIT_USAGE, read_file};
use crate::clock;

/// How long one replica may take.
const DEADLINE: Duration = Duration::from_secs(10);
/// Longest answer that is read, bytes.
const LARGEST: usize = 64 * 1024;

#[derive(Debug, Args)]
pub(super) struct Revoke {
    /// The admin address of a replica, as in <http://10.0.1.7:9091>; give it once for each.
    #[arg(long, value_name = "URL", required = true, value_parser = admin)]
    admin: Vec<Url>,
    /// A file with the admin token, where the replicas want one; - is standard input.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    #[command(flatten)]
    whom: Selector,
    /// The subject of tokens of `--issuer`.
    #[arg(long, value_name = "SUB", requires = "issuer", conflicts_with_all = ["principal", "expression"])]
    subject: Option<String>,
    /// When it ends, as in 2026-12-01T18:00:00Z; else when the replica does.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    until: Option<String>,
    /// Break off answers that are on their way, too.
    #[arg(long)]
    cut_streams: bool,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Selector {
    /// The ARN that stands in the bill.
    #[arg(long, value_name = "ARN")]
    principal: Option<String>,
    /// The configured name of an issuer, with `--subject`.
    #[arg(long, value_name = "NAME", requires = "subject")]
    issuer: Option<String>,
    /// A CEL expression over `claims` and `issuer.name`.
    #[arg(long, value_name = "CEL")]
    expression: Option<String>,
}

/// The admin listener speaks plain HTTP.
fn admin(text: &str) -> Result<Url, String> {
    let url: Url = text.parse().map_err(|error| format!("it is no URL: {error}"))?;
    if url.scheme() != "http" || !url.has_host() || url.path() != "/" || url.query().is_some() {
        return Err("give scheme, host and port, as in http://127.0.0.1:9091".to_owned());
    }
    Ok(url)
}

fn moment(text: &str) -> Result<String, String> {
    let moment = clock::parse_rfc3339(text).map(|_| text.to_owned());
    moment.ok_or_else(|| "write it like 2026-12-01T18:00:00Z".to_owned())
}

pub(super) fn run(arguments: &Revoke) -> ExitCode {
    let token = match arguments.token_file.as_deref().map(read_file).transpose() {
        Ok(token) => token,
        Err(fault) => {
            eprintln!("error: {fault}");
            return ExitCode::from(EXIT_USAGE);
        }
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: the runtime cannot be started: {error}");
            return ExitCode::FAILURE;
        }
    };
    let told = told(arguments).to_string();
    if runtime.block_on(tell_all(&arguments.admin, token.as_deref().map(str::trim), &told)) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn told(arguments: &Revoke) -> Value {
    let Selector { principal, issuer, expression } = &arguments.whom;
    let mut told = json!({ "cut_streams": arguments.cut_streams });
    for (name, value) in [
        ("principal", principal),
        ("issuer", issuer),
        ("subject", &arguments.subject),
        ("expression", expression),
        ("until", &arguments.until),
    ] {
        if let Some(value) = value {
            told[name] = value.as_str().into();
        }
    }
    told
}

/// Tells all of them at once and reports each; whether all have taken it.
async fn tell_all(replicas: &[Url], token: Option<&str>, told: &str) -> bool {
    let (mut telling, mut failed) = (JoinSet::new(), 0);
    for replica in replicas {
        // A name may be that of several replicas.
        let addresses = match addresses(replica).await {
            Ok(addresses) => addresses,
            Err(fault) => {
                eprintln!("{replica}: FAILED: {fault}");
                failed += 1;
                continue;
            }
        };
        for address in addresses {
            let (authority, told) = (replica.authority().to_owned(), told.to_owned());
            let shown = if replica.domain().is_some() {
                format!("{replica} at {address}")
            } else {
                replica.to_string()
            };
            let authorization = token.map(|token| format!("Bearer {token}"));
            telling.spawn(async move {
                let telling = tell(address, &authority, authorization, told);
                let answer = tokio::time::timeout(DEADLINE, telling).await;
                (shown, answer.unwrap_or_else(|_| Err("no answer within 10 s".to_owned())))
            });
        }
    }
    while let Some(answer) = telling.join_next().await {
        match answer {
            Ok((replica, Ok(done))) => println!("{replica}: {done}"),
            Ok((replica, Err(fault))) => {
                eprintln!("{replica}: FAILED: {fault}");
                failed += 1;
            }
            Err(error) => {
                eprintln!("FAILED: {error}");
                failed += 1;
            }
        }
    }
    failed == 0
}

/// Everywhere a replica's URL leads to.
async fn addresses(replica: &Url) -> Result<Vec<SocketAddr>, String> {
    let port = replica.port_or_known_default().unwrap_or(80);
    match replica.host() {
        Some(Host::Domain(name)) => {
            let found = tokio::time::timeout(DEADLINE, lookup_host((name, port))).await;
            let found = found.map_err(|_| "its name was not resolved within 10 s".to_owned())?;
            let mut found: Vec<_> =
                found.map_err(|error| format!("its name cannot be resolved: {error}"))?.collect();
            found.sort();
            found.dedup();
            if name.eq_ignore_ascii_case("localhost") {
                // One machine's two addresses, of which the gateway has one.
                let mut there = Vec::new();
                for address in &found {
                    if TcpStream::connect(address).await.is_ok() {
                        there.push(*address);
                    }
                }
                found = if there.is_empty() { found } else { there };
            }
            Ok(found)
        }
        Some(Host::Ipv4(address)) => Ok(vec![SocketAddr::from((address, port))]),
        Some(Host::Ipv6(address)) => Ok(vec![SocketAddr::from((address, port))]),
        None => Err("the URL has no host".to_owned()),
    }
}

/// What one replica has done.
async fn tell(
    address: SocketAddr,
    authority: &str,
    authorization: Option<String>,
    told: String,
) -> Result<String, String> {
    let connected = TcpStream::connect(address).await;
    let stream = connected.map_err(|error| format!("it cannot be connected to: {error}"))?;
    let mut request = Request::post("/sessions/revoke")
        .header(header::HOST, authority)
        .header(header::CONTENT_TYPE, "application/json");
    if let Some(authorization) = authorization {
        request = request.header(header::AUTHORIZATION, authorization);
    }
    let request =
        request.body(Full::new(Bytes::from(told))).map_err(|error| format!("it cannot be asked: {error}"))?;
    let failed = |error: hyper::Error| format!("it did not answer: {error}");
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(failed)?;
    tokio::spawn(connection);
    let answer = sender.send_request(request).await.map_err(failed)?;
    let status = answer.status();
    #[expect(clippy::disallowed_methods, reason = "it is limited")]
    let body = Limited::new(answer.into_body(), LARGEST).collect().await;
    let body = body.map_err(|error| format!("it did not answer: {error}"))?.to_bytes();
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    if !status.is_success() {
        return Err(format!("{status}: {}", body["message"].as_str().unwrap_or("no reason given")));
    }
    match (&body["revoked"], body["sessions_dropped"].as_u64()) {
        (Value::Bool(true), Some(dropped)) => Ok(format!("revoked, {dropped} cached sessions dropped")),
        (Value::Bool(false), _) => Ok("taken back: until is over".to_owned()),
        _ => Err("this is no bedrock-gateway".to_owned()),
    }
}
