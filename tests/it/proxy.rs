//! The forward proxy of the environment: issuers, STS and Bedrock through its tunnels, and its failures.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};

use bedrock_bed::{Addresses, Bed, Process, Setup, free_addresses, send, until};
use bedrock_standin::{Options, Standin};
use serde_json::Value;

use crate::forward_proxy::ForwardProxy;
use crate::listeners::get;
use crate::world::{Answer, CONVERSE, CONVERSE_STREAM, HELLO, World, post, read};

const KEYS: &str = "keys.acme.example:443";
const STS: &str = "sts.us-east-1.amazonaws.com:443";
const BEDROCK: &str = "bedrock-runtime.us-east-1.amazonaws.com:443";
const PASSWORD: &str = "hunter2";

/// A gateway in a process of its own, with `HTTPS_PROXY`. It calls AWS by AWS's own names, which nothing resolves here
/// but the proxy.
struct Behind {
    bed: Bed,
    http: SocketAddr,
    probe: SocketAddr,
    _process: Process,
}

fn bed() -> Bed {
    Bed::around(Standin::start(Options {
        idp_tls: true,
        sts_tls: true,
        bedrock_tls: true,
        ..Options::default()
    }))
}

/// The servers that the proxy knows.
async fn proxy(bed: &Bed, refusal: Option<&'static str>) -> ForwardProxy {
    let standin = &bed.standin;
    let servers = [
        (KEYS, standin.idp.server().addr()),
        (STS, standin.sts.server().addr()),
        (BEDROCK, standin.bedrock.server().addr()),
    ];
    ForwardProxy::start(&servers, refusal).await
}

impl Behind {
    async fn start(bed: Bed, https_proxy: &str, no_proxy: &str) -> Self {
        let [http, probe] = free_addresses();
        let addresses = Addresses { http: Some(http), probe: Some(probe), ..Addresses::default() };
        let ca = format!("{}/ca.pem", bed.folder().display());
        let issuer = format!("jwks_url = \"https://keys.acme.example{}\"\nca = \"{ca}\"", "/jwks");
        let log = format!("file = \"{}/log\"", bed.folder().display());
        let setup = Setup { addresses, issuer: &issuer, regions: &[], log: &log, ..Setup::default() };
        // Without addresses for AWS.
        let is_address =
            |line: &&str| ["sts =", "bedrock =", "bedrock_"].iter().any(|key| line.starts_with(key));
        let text: Vec<String> =
            bed.text(&setup).lines().filter(|line| !is_address(line)).map(str::to_owned).collect();
        let file = bed.folder().join("gateway.toml");
        std::fs::write(&file, text.join("\n")).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_bedrock-gateway"));
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command.env("HTTPS_PROXY", https_proxy).env("NO_PROXY", no_proxy);
        let process = Process::spawn(bed.complete(&mut command, &file));
        until("the gateway", async || tokio::net::TcpStream::connect(probe).await.is_ok()).await;
        Self { bed, http, probe, _process: process }
    }

    async fn ready(self) -> Self {
        until("readiness", async || get(self.probe, "/readyz").await.status == 200).await;
        self
    }

    async fn call(&self, path: &str) -> Answer {
        let token = self.bed.standin.idp.mint(World::claims("alice"));
        read(send(self.http, post(path, &token, HELLO)).await).await
    }

    fn log(&self) -> String {
        log(self.bed.folder())
    }
}

fn log(folder: &Path) -> String {
    std::fs::read_to_string(folder.join("log")).unwrap_or_default()
}

/// The line of the access log that `words` describe.
async fn logged(behind: &Behind, reason: &str) -> Value {
    let of_reason = || {
        let log = behind.log();
        let mut lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.find(|line| line["reason"] == reason)
    };
    until(reason, async || of_reason().is_some()).await;
    of_reason().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn issuers_sts_and_bedrock_are_reached_through_the_proxy() {
    let bed = bed();
    let proxy = proxy(&bed, None).await;
    let url = format!("http://user:{PASSWORD}@{}", proxy.address());
    let behind = Behind::start(bed, &url, "").await.ready().await;
    for path in [CONVERSE, CONVERSE_STREAM, CONVERSE] {
        let answer = behind.call(path).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    let asked = proxy.asked();
    // The gateway opens one more connection to Bedrock to see whether it can.
    for (server, most) in [(KEYS, 1), (STS, 1), (BEDROCK, 2)] {
        let tunnels = asked.iter().filter(|asked| asked.server == server).count();
        assert!((1..=most).contains(&tunnels), "idle connections to {server} are used again: {asked:?}");
    }
    assert!(asked.iter().all(|asked| asked.login.as_deref() == Some("Basic dXNlcjpodW50ZXIy")), "{asked:?}");
    let log = behind.log();
    let start = format!("\"proxy\":\"http://{}\"", proxy.address());
    assert!(log.lines().any(|line| line.contains("proxy of HTTPS_PROXY") && line.contains(&start)), "{log}");
    assert!(!log.contains(PASSWORD) && !log.contains("dXNlcjpodW50ZXIy"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_of_no_proxy_and_loopback_need_no_proxy() {
    // Nothing listens at the address of the proxy.
    let [nowhere] = free_addresses();
    let bed = bed();
    let [http, probe] = free_addresses();
    let addresses = Addresses { http: Some(http), probe: Some(probe), ..Addresses::default() };
    let issuer = format!("ca = \"{}/ca.pem\"", bed.folder().display());
    let file = bed.write(&Setup { addresses, issuer: &issuer, ..Setup::default() });
    let mut command = Command::new(env!("CARGO_BIN_EXE_bedrock-gateway"));
    command.stdout(Stdio::null()).stderr(Stdio::null()).env("https_proxy", format!("http://{nowhere}"));
    let _process = Process::spawn(bed.complete(&mut command, &file));
    until("readiness", async || {
        tokio::net::TcpStream::connect(probe).await.is_ok() && get(probe, "/readyz").await.status == 200
    })
    .await;
    let token = bed.standin.idp.mint(World::claims("alice"));
    assert_eq!(send(http, post(CONVERSE, &token, HELLO)).await.status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_refuses_is_named_without_its_password() {
    for (refusal, words) in [
        (
            "407 Proxy Authentication Required",
            "rejected the user name and the password of HTTPS_PROXY (status 407)",
        ),
        ("403 Forbidden", "refused the connection; allow the host at the proxy, or list it in NO_PROXY"),
    ] {
        let bed = bed();
        let proxy = proxy(&bed, Some(refusal)).await;
        let url = format!("http://user:{PASSWORD}@{}", proxy.address());
        let behind = Behind::start(bed, &url, "").await;
        let words = format!("the proxy http://{} {words}", proxy.address());
        until("the problem", async || {
            let body = get(behind.probe, "/readyz").await.json();
            body["problems"].to_string().contains(&words)
        })
        .await;
        assert!(!behind.log().contains(PASSWORD));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_misspelt_proxy_is_named_and_the_region_is_not_blamed() {
    let behind = Behind::start(bed(), "http://prxy.invalid:3128", "").await;
    let words = "the gateway cannot connect: the proxy http://prxy.invalid:3128 cannot be reached";
    let to_sts = "the gateway cannot connect to it: the proxy http://prxy.invalid:3128 cannot be reached";
    until("both problems", async || {
        let body = get(behind.probe, "/readyz").await.json();
        let problems = body["problems"].to_string();
        assert!(!problems.contains("aws.region"), "{problems}");
        problems.contains(words) && problems.contains(to_sts)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_without_a_way_to_sts_or_bedrock_is_named_in_the_access_log() {
    for (missing, reason) in [(STS, "sts_unreachable"), (BEDROCK, "upstream_connect")] {
        let bed = bed();
        let standin = &bed.standin;
        let servers = [
            (KEYS, standin.idp.server().addr()),
            (STS, standin.sts.server().addr()),
            (BEDROCK, standin.bedrock.server().addr()),
        ];
        let servers: Vec<_> = servers.into_iter().filter(|(name, _)| *name != missing).collect();
        let proxy = ForwardProxy::start(&servers, None).await;
        let behind = Behind::start(bed, &format!("http://{}", proxy.address()), "").await.ready().await;
        let answer = behind.call(CONVERSE).await;
        assert_eq!(answer.status, 503, "{answer:?}");
        let detail = logged(&behind, reason).await["detail"].to_string();
        let words = format!("the proxy http://{} refused the connection", proxy.address());
        assert!(detail.contains(&words), "{detail}");
        assert!(!String::from_utf8_lossy(&answer.body).contains("proxy"), "callers do not learn about it");
    }
}
