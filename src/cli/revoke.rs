//! `revoke`: sends a revocation to the admin port of each replica.

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

/// The timeout of one replica, for the name look-up and for the request.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of an answer that are read at most.
const LARGEST: usize = 64 * 1024;

#[derive(Debug, Args)]
pub(super) struct Revoke {
    /// The admin address of a replica, for example <http://10.0.1.7:9091>. Repeat the option for each replica.
    #[arg(long, value_name = "URL", required = true, value_parser = admin)]
    admin: Vec<Url>,
    /// A file with the admin token, or - for standard input. Required if the replicas set `admin_token_file`.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    #[command(flatten)]
    selector: Selector,
    /// The `sub` claim of the caller's tokens. Needs `--issuer`.
    #[arg(long, value_name = "SUB", requires = "issuer", conflicts_with_all = ["principal", "expression"])]
    subject: Option<String>,
    /// When the revocation ends, for example 2026-12-01T18:00:00Z. Default: when the replica restarts.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    until: Option<String>,
    /// Also abort the answers that are being streamed to the caller.
    #[arg(long)]
    cut_streams: bool,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Selector {
    /// The caller's assumed-role ARN, as the bill shows it.
    #[arg(long, value_name = "ARN")]
    principal: Option<String>,
    /// The configured name of an issuer. Needs `--subject`.
    #[arg(long, value_name = "NAME", requires = "subject")]
    issuer: Option<String>,
    /// A CEL expression over `claims` and `issuer.name`; a caller is revoked if it is true.
    #[arg(long, value_name = "CEL")]
    expression: Option<String>,
}

/// The URL of an admin port, which speaks plain HTTP.
fn admin(text: &str) -> Result<Url, String> {
    let url: Url = text.parse().map_err(|error| format!("not a URL: {error}"))?;
    if url.scheme() != "http" || !url.has_host() || url.path() != "/" || url.query().is_some() {
        return Err("write http, host and port, for example http://127.0.0.1:9091".to_owned());
    }
    Ok(url)
}

fn moment(text: &str) -> Result<String, String> {
    let moment = clock::parse_rfc3339(text).map(|_| text.to_owned());
    moment.ok_or_else(|| "write a date with a time and a zone, for example 2026-12-01T18:00:00Z".to_owned())
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
            eprintln!("error: cannot start the async runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    let revocation = revocation(arguments).to_string();
    if runtime.block_on(send_to_all(&arguments.admin, token.as_deref().map(str::trim), &revocation)) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// The body of `POST /sessions/revoke`.
fn revocation(arguments: &Revoke) -> Value {
    let Selector { principal, issuer, expression } = &arguments.selector;
    let mut body = json!({ "cut_streams": arguments.cut_streams });
    for (name, value) in [
        ("principal", principal),
        ("issuer", issuer),
        ("subject", &arguments.subject),
        ("expression", expression),
        ("until", &arguments.until),
    ] {
        if let Some(value) = value {
            body[name] = value.as_str().into();
        }
    }
    body
}

/// Sends the revocation to all replicas at once and prints each result. Returns whether all of them accepted it.
async fn send_to_all(replicas: &[Url], token: Option<&str>, revocation: &str) -> bool {
    let (mut sending, mut failed) = (JoinSet::new(), 0);
    for replica in replicas {
        // One name may resolve to several replicas.
        let addresses = match addresses(replica).await {
            Ok(addresses) => addresses,
            Err(fault) => {
                eprintln!("{replica}: FAILED: {fault}");
                failed += 1;
                continue;
            }
        };
        for address in addresses {
            let (authority, body) = (replica.authority().to_owned(), revocation.to_owned());
            let shown = if replica.domain().is_some() {
                format!("{replica} at {address}")
            } else {
                replica.to_string()
            };
            let authorization = token.map(|token| format!("Bearer {token}"));
            sending.spawn(async move {
                let answer =
                    tokio::time::timeout(TIMEOUT, send(address, &authority, authorization, body)).await;
                (shown, answer.unwrap_or_else(|_| Err("no answer within 10 s".to_owned())))
            });
        }
    }
    while let Some(answer) = sending.join_next().await {
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

/// All addresses that a replica's URL resolves to.
async fn addresses(replica: &Url) -> Result<Vec<SocketAddr>, String> {
    let port = replica.port_or_known_default().unwrap_or(80);
    match replica.host() {
        Some(Host::Domain(name)) => {
            let found = tokio::time::timeout(TIMEOUT, lookup_host((name, port))).await;
            let found = found.map_err(|_| "its name was not resolved within 10 s".to_owned())?;
            let mut found: Vec<_> =
                found.map_err(|error| format!("its name cannot be resolved: {error}"))?.collect();
            found.sort();
            found.dedup();
            if name.eq_ignore_ascii_case("localhost") {
                // Both addresses (127.0.0.1 and ::1) are the same machine, and the gateway listens on one of them.
                let mut listening = Vec::new();
                for address in &found {
                    if TcpStream::connect(address).await.is_ok() {
                        listening.push(*address);
                    }
                }
                found = if listening.is_empty() { found } else { listening };
            }
            Ok(found)
        }
        Some(Host::Ipv4(address)) => Ok(vec![SocketAddr::from((address, port))]),
        Some(Host::Ipv6(address)) => Ok(vec![SocketAddr::from((address, port))]),
        None => Err("the URL has no host".to_owned()),
    }
}

/// Sends the revocation to one replica and returns what the replica did.
async fn send(
    address: SocketAddr,
    authority: &str,
    authorization: Option<String>,
    body: String,
) -> Result<String, String> {
    let connected = TcpStream::connect(address).await;
    let stream = connected.map_err(|error| format!("cannot connect: {error}"))?;
    let mut request = Request::post("/sessions/revoke")
        .header(header::HOST, authority)
        .header(header::CONTENT_TYPE, "application/json");
    if let Some(authorization) = authorization {
        request = request.header(header::AUTHORIZATION, authorization);
    }
    let request = request
        .body(Full::new(Bytes::from(body)))
        .map_err(|error| format!("the request cannot be built: {error}"))?;
    let failed = |error: hyper::Error| format!("the request failed: {error}");
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(failed)?;
    tokio::spawn(connection);
    let answer = sender.send_request(request).await.map_err(failed)?;
    let status = answer.status();
    #[expect(clippy::disallowed_methods, reason = "its length is limited")]
    let body = Limited::new(answer.into_body(), LARGEST).collect().await;
    let body = body.map_err(|error| format!("the answer cannot be read: {error}"))?.to_bytes();
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    if !status.is_success() {
        return Err(format!("{status}: {}", body["message"].as_str().unwrap_or("no reason given")));
    }
    match (&body["revoked"], body["sessions_dropped"].as_u64()) {
        (Value::Bool(true), Some(dropped)) => {
            let ending = if dropped == 1 { "" } else { "s" };
            Ok(format!("revoked, {dropped} cached session{ending} dropped"))
        }
        (Value::Bool(false), _) => Ok("revocation removed (--until is in the past)".to_owned()),
        _ => Err("the answer is not from a bedrock-gateway; check the address".to_owned()),
    }
}
