//! A client of the admin port: sends one request to every replica that the operator names.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use http::{Method, Request, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::{TcpStream, lookup_host};
use tokio::task::JoinSet;
use url::{Host, Url};

use crate::cli::read_file;
use crate::style::legible;

/// The timeout of one replica, for the name look-up and for the request.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of an answer that are read at most. The largest is a full page of sessions.
const LARGEST: usize = 64 * 1024 * 1024;

/// The options of every command that asks replicas. A command that cannot do without a replica makes `admin` required.
#[derive(Debug, Args)]
pub(super) struct AdminPort {
    /// The admin address of a replica, for example `http://10.0.1.7:9091`. Repeat the option for each replica.
    #[arg(long, value_name = "URL", value_parser = url)]
    admin: Vec<Url>,
    /// A file with the admin token, or - for standard input. Required if the replicas set `admin_token_file`.
    #[arg(long, value_name = "FILE", requires = "admin")]
    token_file: Option<PathBuf>,
}

/// The answer of one replica.
#[derive(Debug)]
pub(super) struct Answer {
    /// The replica as messages name it: its URL, with the address if the URL has a host name.
    pub(super) replica: String,
    /// The JSON of a successful answer, otherwise the failure in words.
    pub(super) outcome: Result<Value, String>,
}

/// A request to a port of an operator.
#[derive(Debug, Clone)]
pub(super) struct Question {
    pub(super) method: Method,
    pub(super) path: String,
    /// JSON.
    pub(super) body: Option<String>,
    pub(super) authorization: Option<String>,
}

/// The URL of an admin port, which speaks plain HTTP.
fn url(text: &str) -> Result<Url, String> {
    let url: Url = text.parse().map_err(|error| format!("not a URL: {error}"))?;
    let is_bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
    let has_user = !url.username().is_empty() || url.password().is_some();
    if url.scheme() != "http" || !url.has_host() || !is_bare || has_user {
        return Err("write http, host and port only, for example http://127.0.0.1:9091".to_owned());
    }
    Ok(url)
}

impl AdminPort {
    /// Sends one request to every replica at the same time. The answers are in the order of the options; a host name
    /// with several addresses has one answer for each address.
    ///
    /// # Errors
    /// When the token file cannot be read, or the async runtime cannot start.
    pub(super) fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Vec<Answer>, String> {
        let token = self.token_file.as_deref().map(read_file).transpose()?;
        let question = Question {
            method,
            path: path.to_owned(),
            body: body.map(Value::to_string),
            authorization: token.map(|token| format!("Bearer {}", token.trim())),
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| format!("cannot start the async runtime: {error}"))?;
        Ok(runtime.block_on(ask_all(&self.admin, &question)))
    }
}

async fn ask_all(replicas: &[Url], question: &Question) -> Vec<Answer> {
    let (mut asking, mut answers) = (JoinSet::new(), Vec::new());
    for replica in replicas {
        // One name may resolve to several replicas.
        let addresses = match addresses(replica).await {
            Ok(addresses) => addresses,
            Err(fault) => {
                answers.push((answers.len() + asking.len(), named(replica, None), Err(fault)));
                continue;
            }
        };
        for address in addresses {
            let place = answers.len() + asking.len();
            let (shown, authority) = (named(replica, Some(address)), replica.authority().to_owned());
            let question = question.clone();
            asking.spawn(async move {
                let answer = tokio::time::timeout(TIMEOUT, ask(address, &authority, question)).await;
                (place, shown, answer.unwrap_or_else(|_| Err("no answer within 10 s".to_owned())))
            });
        }
    }
    answers.extend(asking.join_all().await);
    answers.sort_by_key(|(place, ..)| *place);
    answers.into_iter().map(|(_, replica, outcome)| Answer { replica, outcome }).collect()
}

fn named(replica: &Url, address: Option<SocketAddr>) -> String {
    match address {
        Some(address) if replica.domain().is_some() => format!("{replica} at {address}"),
        Some(_) | None => replica.to_string(),
    }
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

/// Sends the request to one replica and returns the JSON of its answer.
async fn ask(address: SocketAddr, authority: &str, question: Question) -> Result<Value, String> {
    let Reply { is_success, status, body } = exchange(address, authority, question).await?;
    if !is_success {
        let message = body.as_ref().and_then(|body| body["message"].as_str());
        return Err(format!("{status}: {}", message.map_or_else(|| "no reason given".to_owned(), legible)));
    }
    body.ok_or_else(not_a_gateway)
}

/// An answer of any status.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) is_success: bool,
    /// For example `503 Service Unavailable`.
    pub(super) status: String,
    /// `None`: it is not JSON.
    pub(super) body: Option<Value>,
}

/// Sends the request and returns the answer.
///
/// # Errors
/// When there is no connection or no whole answer.
pub(super) async fn exchange(
    address: SocketAddr,
    authority: &str,
    question: Question,
) -> Result<Reply, String> {
    let connected = TcpStream::connect(address).await;
    let stream = connected.map_err(|error| format!("cannot connect: {error}"))?;
    let mut request =
        Request::builder().method(question.method).uri(question.path).header(header::HOST, authority);
    if question.body.is_some() {
        request = request.header(header::CONTENT_TYPE, "application/json");
    }
    if let Some(authorization) = question.authorization {
        request = request.header(header::AUTHORIZATION, authorization);
    }
    let request = request
        .body(Full::new(Bytes::from(question.body.unwrap_or_default())))
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
    Ok(Reply {
        is_success: status.is_success(),
        status: status.to_string(),
        body: serde_json::from_slice(&body).ok(),
    })
}

/// The failure of a replica whose answer has another shape.
pub(super) fn not_a_gateway() -> String {
    "the answer is not from a bedrock-gateway; check the address".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_url_of_a_replica_has_only_host_and_port() {
        assert!(url("http://replica.internal:9091").is_ok());
        for text in [
            "https://host:9091",
            "http://host:9091/sessions",
            "http://host:9091/?a=b",
            "http://host:9091/#a",
            "http://user:secret@host:9091",
            "http://user@host:9091",
        ] {
            let fault = url(text).unwrap_err();
            assert!(fault.contains("host and port only") && !fault.contains("secret"), "{text}: {fault}");
        }
    }
}
