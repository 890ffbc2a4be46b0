//! `probe`: asks the probe port of a running gateway, for the health check of a container or a service manager.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use http::Method;
use serde_json::Value;
use tokio::net::lookup_host;
use tokio::time::timeout;

use crate::cli::admin::{Question, Reply, exchange};
use crate::cli::{ConfigFile, EXIT_USAGE, print, problems};
use crate::config;
use crate::style::legible;

#[derive(Debug, Args)]
pub(super) struct Probe {
    #[command(flatten)]
    config: ConfigFile,
    /// The address of the probe port: host and port. Default: `listen.probe` of the configuration.
    ///
    /// The host is an IP address or a name. The first address of a name that answers counts.
    #[arg(long, value_name = "ADDRESS", value_parser = host_and_port)]
    address: Option<String>,
    /// Ask only whether the process answers (`/healthz`), not whether it is ready (`/readyz`).
    #[arg(long)]
    live: bool,
    /// The longest wait for the answer: 1 to 60 seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=60))]
    timeout: u64,
}

pub(super) fn run(arguments: &Probe) -> ExitCode {
    let address = match &arguments.address {
        Some(given) => given.clone(),
        None => match configured(&arguments.config) {
            Ok(address) => address.to_string(),
            Err(code) => return code,
        },
    };
    // A name has no address yet that could be every address.
    let address = address.parse().map_or(address, |address| reachable(address).to_string());
    match ask(&address, arguments) {
        Ok(words) => print(&format!("{words}\n")),
        Err(fault) => {
            eprintln!("error: {fault}");
            ExitCode::FAILURE
        }
    }
}

/// The value of `--address`.
fn host_and_port(text: &str) -> Result<String, String> {
    let is_address = text.parse::<SocketAddr>().is_ok();
    let is_name = text.rsplit_once(':').is_some_and(|(host, port)| {
        !host.is_empty() && !host.contains([':', '/', '@', '[', ' ']) && port.parse::<u16>().is_ok()
    });
    if is_address || is_name {
        Ok(text.to_owned())
    } else {
        Err("write host and port, for example 127.0.0.1:9090 or [::1]:9090".to_owned())
    }
}

/// The probe port of the configuration. A fault is printed.
fn configured(file: &ConfigFile) -> Result<SocketAddr, ExitCode> {
    let config = config::load(&file.config).map_err(|rejected| {
        problems::print_rejected(&rejected.0);
        ExitCode::FAILURE
    })?;
    config.listen.probe.ok_or_else(|| {
        eprintln!("error: the configuration has no listen.probe; set it, or pass --address");
        ExitCode::from(EXIT_USAGE)
    })
}

/// The address to connect to: a listener on every address is also on loopback.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

fn ask(address: &str, arguments: &Probe) -> Result<String, String> {
    let path = if arguments.live { "/healthz" } else { "/readyz" };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("cannot start the async runtime: {error}"))?;
    let question = Question { method: Method::GET, path: path.to_owned(), body: None, authorization: None };
    let answer = runtime.block_on(async {
        let limit = Duration::from_secs(arguments.timeout);
        timeout(limit, first_answer(address, &question)).await
    });
    // The resolver's thread may wait for DNS longer than the timeout.
    runtime.shutdown_background();
    let late = |_| format!("{address} did not answer within {} s", arguments.timeout);
    let Reply { is_success, status, body } =
        answer.map_err(late)?.map_err(|fault| format!("{address}: {fault}"))?;
    let body = body.unwrap_or_default();
    match (is_success, arguments.live) {
        (true, true) => Ok("alive".to_owned()),
        (true, false) => Ok(with_problems("ready", &body)),
        (false, _) => Err(with_problems(&format!("{address} is not ready ({status})"), &body)),
    }
}

/// The answer of the first address of `authority` that gives one; otherwise the last failure.
async fn first_answer(authority: &str, question: &Question) -> Result<Reply, String> {
    let found = lookup_host(authority).await;
    let mut outcome = Err("its name has no address".to_owned());
    for address in found.map_err(|error| format!("its name cannot be resolved: {error}"))? {
        outcome = exchange(address, authority, question.clone()).await;
        if outcome.is_ok() {
            break;
        }
    }
    outcome
}

/// The state and the problems that `/readyz` lists, one in a line.
fn with_problems(state: &str, body: &Value) -> String {
    let problems = body["problems"].as_array().into_iter().flatten();
    let lines = problems.filter_map(|problem| problem["message"].as_str());
    lines.fold(state.to_owned(), |text, line| format!("{text}\n  {}", legible(line)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_on_every_address_is_asked_on_loopback() {
        let of = |text: &str| reachable(text.parse().unwrap()).to_string();
        assert_eq!(of("0.0.0.0:9090"), "127.0.0.1:9090");
        assert_eq!(of("[::]:9090"), "[::1]:9090");
        assert_eq!(of("10.0.1.7:9090"), "10.0.1.7:9090");
    }

    #[test]
    fn an_address_is_host_and_port() {
        for right in ["127.0.0.1:9090", "[::1]:9090", "gateway-probe.llm.svc:9090", "localhost:1"] {
            assert_eq!(host_and_port(right).as_deref(), Ok(right));
        }
        let wrong =
            ["localhost", "9090", ":9090", "a:b", "::1:9090", "a:99999", "http://a:1", "u@a:1", "[a]:1"];
        for wrong in wrong {
            assert!(host_and_port(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn problems_are_listed_below_the_state() {
        let body =
            serde_json::json!({ "ready": true, "problems": [{ "code": "sts", "message": "STS is down" }] });
        assert_eq!(with_problems("ready", &body), "ready\n  STS is down");
        assert_eq!(with_problems("ready", &Value::Null), "ready");
    }
}
