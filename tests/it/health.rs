//! A gateway that cannot serve its callers says so: `/readyz`, the process log and a metric name the cause within ten
//! seconds, and each of them says when it is over.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use bedrock_bed::{ANY_PORT, Addresses, Bed, Process, Setup, free_addresses, send, until, within};
use serde_json::Value;

use crate::listeners::get;
use crate::process::binary;
use crate::reload::replace;
use crate::world::{CONVERSE, HELLO, World, post, read};

mod credentials;
mod logs;

/// The longest time until a failure is reported.
const TEN_SECONDS: Duration = Duration::from_secs(10);

/// The binary before a stand-in, with its process log in a file.
pub(crate) struct Gateway {
    pub(crate) bed: Bed,
    pub(crate) process: Process,
    pub(crate) log: PathBuf,
    http: SocketAddr,
    probe: SocketAddr,
}

impl Gateway {
    pub(crate) fn start(bed: Bed) -> Self {
        Self::with(bed, str::to_owned, |_| {})
    }

    /// A gateway whose configuration and whose environment are changed.
    pub(crate) fn with(bed: Bed, text: impl Fn(&str) -> String, command: impl Fn(&mut Command)) -> Self {
        let [http, probe] = free_addresses();
        let addresses =
            Addresses { http: Some(http), probe: Some(probe), https: Some(ANY_PORT), admin: None };
        let log = bed.folder().join("log");
        let file = bed.write(&Setup {
            addresses,
            log: &format!("format = \"json\"\nfile = \"{}\"", log.display()),
            ..Setup::default()
        });
        std::fs::write(&file, text(&std::fs::read_to_string(&file).unwrap())).unwrap();
        let mut binary = binary();
        command(bed.complete(&mut binary, &file).stdout(Stdio::null()));
        let process = Process::spawn(&mut binary);
        Self { bed, process, log, http, probe }
    }

    /// The status of one call of a user who has no session yet.
    pub(crate) async fn call(&self, user: &str) -> u16 {
        let token = self.bed.standin.idp.mint(World::claims(user));
        read(send(self.http, post(CONVERSE, &token, HELLO)).await).await.status.as_u16()
    }

    /// Waits until the gateway serves without a problem.
    pub(crate) async fn well(&self) {
        until("a gateway that is ready and has no problem", async || {
            let answer = self.page("/readyz").await?;
            (answer.0 == 200 && json(&answer.1)["problems"] == serde_json::json!([])).then_some(())
        })
        .await;
    }

    pub(crate) async fn page(&self, path: &str) -> Option<(u16, String)> {
        tokio::net::TcpStream::connect(self.probe).await.ok()?;
        let answer = get(self.probe, path).await;
        Some((answer.status.as_u16(), String::from_utf8(answer.body.to_vec()).unwrap()))
    }

    /// The lines of the process log.
    pub(crate) fn lines(&self) -> Vec<Value> {
        lines(&self.log)
    }

    /// Waits until all three say that there is a problem with these words.
    pub(crate) async fn reports(&self, code: &str, words: &str) {
        within(TEN_SECONDS, &format!("{code} in /readyz, log and metric"), async || {
            let (_, readyz) = self.page("/readyz").await?;
            let problems = json(&readyz)["problems"].as_array().unwrap().clone();
            let shown = problems.iter().any(|problem| {
                problem["code"] == code && problem["message"].as_str().unwrap().contains(words)
            });
            let logged = self.lines().iter().any(|line| {
                line["level"] == "WARN"
                    && line["code"] == code
                    && line["message"].as_str().unwrap().contains(words)
            });
            (shown && logged && self.counts(code, 1).await?).then_some(())
        })
        .await;
    }

    /// Waits until all three say that it is over, and asserts that the log has not repeated it.
    pub(crate) async fn is_over(&self, code: &str) {
        until(&format!("the end of {code} in /readyz, log and metric"), async || {
            let (status, readyz) = self.page("/readyz").await?;
            let gone = json(&readyz)["problems"].as_array().unwrap().iter().all(|p| p["code"] != code);
            let logged = self.lines().iter().any(|line| {
                line["level"] == "INFO"
                    && line["code"] == code
                    && line["message"].as_str().unwrap().starts_with("problem is over")
            });
            (status == 200 && gone && logged && self.counts(code, 0).await?).then_some(())
        })
        .await;
        let lines = self.lines();
        let begins = lines.iter().filter(|line| line["level"] == "WARN" && line["code"] == code);
        let begins: Vec<_> = begins.map(|line| line["message"].as_str().unwrap()).collect();
        let different: std::collections::BTreeSet<_> = begins.iter().collect();
        assert_eq!(begins.len(), different.len(), "{begins:?}");
    }

    async fn counts(&self, code: &str, exists: u8) -> Option<bool> {
        let sample = format!("bedrock_gateway_problem{{code=\"{code}\"}} {exists}");
        Some(self.page("/metrics").await?.1.lines().any(|line| line == sample))
    }
}

/// The lines of a log file.
fn lines(log: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn sts_is_down_and_comes_back() {
    let gateway = Gateway::start(Bed::start());
    gateway.well().await;
    gateway.bed.standin.sts.server().stop().await;
    assert_eq!(gateway.call("alice").await, 503);
    gateway.reports("sts", "STS in us-east-1: the gateway cannot connect to it").await;
    gateway.bed.standin.sts.server().restart();
    gateway.is_over("sts").await;
    assert_eq!(gateway.call("alice").await, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn bedrock_is_down_and_comes_back() {
    let gateway = Gateway::start(Bed::start());
    gateway.well().await;
    gateway.bed.standin.bedrock.server().stop().await;
    assert_eq!(gateway.call("alice").await, 503);
    gateway.reports("bedrock", "Bedrock in us-east-1 at 127.0.0.1").await;
    gateway.bed.standin.bedrock.server().restart();
    gateway.is_over("bedrock").await;
    assert_eq!(gateway.call("alice").await, 200);
}

/// A reload that changes `[aws]` makes new endpoints, but it repairs no connection.
#[tokio::test(flavor = "multi_thread")]
async fn bedrock_is_down_before_and_after_a_reload() {
    let gateway = Gateway::start(Bed::start());
    gateway.well().await;
    gateway.bed.standin.bedrock.server().stop().await;
    assert_eq!(gateway.call("alice").await, 503);
    gateway.reports("bedrock", "Bedrock in us-east-1 at 127.0.0.1").await;
    let file = gateway.bed.folder().join("gateway.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    replace(&file, &text.replacen("[aws]", "[aws]\nfirst_byte_timeout = \"50m\"", 1));
    let ends = |line: &Value| line["message"].as_str().unwrap_or_default().starts_with("problem is over");
    until("the reload", async || {
        gateway.lines().iter().any(|line| line["message"] == "configuration reloaded")
    })
    .await;
    // The search for problems that runs every second has passed when a further problem is known.
    gateway.bed.standin.sts.server().stop().await;
    assert_eq!(gateway.call("bob").await, 503);
    gateway.reports("sts", "STS in us-east-1").await;
    let lines = gateway.lines();
    assert!(!lines.iter().any(|line| line["code"] == "bedrock" && ends(line)), "{lines:?}");
    gateway.bed.standin.bedrock.server().restart();
    gateway.bed.standin.sts.server().restart();
    gateway.is_over("bedrock").await;
}

/// A failure of Bedrock or STS at the start is known without any caller.
#[tokio::test(flavor = "multi_thread")]
async fn bedrock_and_sts_are_down_before_any_caller() {
    let bed = Bed::start();
    bed.standin.bedrock.server().stop().await;
    bed.standin.sts.server().stop().await;
    let gateway = Gateway::start(bed);
    gateway.reports("bedrock", "the gateway cannot connect").await;
    gateway.reports("sts", "the gateway cannot connect").await;
    gateway.bed.standin.bedrock.server().restart();
    gateway.bed.standin.sts.server().restart();
    gateway.is_over("bedrock").await;
    gateway.is_over("sts").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_issuer_is_down_and_comes_back() {
    let bed = Bed::start();
    bed.standin.idp.server().stop().await;
    let gateway = Gateway::start(bed);
    gateway.reports("issuer_keys", "signing keys of issuer acme").await;
    gateway.bed.standin.idp.server().restart();
    gateway.is_over("issuer_keys").await;
    assert_eq!(gateway.call("alice").await, 200);
}

/// With the addresses that AWS's rules make of a misspelt region, neither name resolves.
#[tokio::test(flavor = "multi_thread")]
async fn a_misspelt_region_is_reported_until_it_is_corrected() {
    let bed = Bed::start();
    let (sts, bedrock) = (bed.standin.sts.url(), bed.standin.bedrock.url());
    let gateway = Gateway::with(
        bed,
        |text| {
            text.replace(&sts, "http://sts.eu-centrl-1.amazonaws.invalid")
                .replace(&bedrock, "http://bedrock-runtime.eu-centrl-1.amazonaws.invalid")
        },
        |_| {},
    );
    gateway.reports("sts", "its host name does not resolve; check the spelling of aws.region").await;
    gateway.reports("bedrock", "the host name does not resolve; check the spelling of aws.region").await;

    // The gateway reads its region when it starts.
    let Gateway { bed, process, .. } = gateway;
    drop(process);
    let gateway = Gateway::start(bed);
    gateway.well().await;
    for code in ["sts", "bedrock"] {
        assert_eq!(gateway.counts(code, 0).await, Some(true), "{code}");
    }
    assert_eq!(gateway.call("alice").await, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_certificate_is_reported_until_it_is_replaced() {
    let bed = Bed::start();
    let paths = ["tls.crt", "tls.key"].map(|name| bed.folder().join(name));
    let valid = paths.each_ref().map(|path| std::fs::read_to_string(path).unwrap());
    let key = rcgen::KeyPair::generate().unwrap();
    let mut expired = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
    expired.not_after = rcgen::date_time_ymd(2020, 2, 1);
    let expired = [expired.self_signed(&key).unwrap().pem(), key.serialize_pem()];
    for (path, text) in paths.iter().zip(expired) {
        std::fs::write(path, text).unwrap();
    }
    let gateway = Gateway::start(bed);
    gateway.reports("certificate", "expired at 2020-02-01T00:00:00Z; replace both files").await;
    for (path, text) in paths.iter().zip(valid) {
        replace(path, &text);
    }
    gateway.is_over("certificate").await;
}

/// Operators read from the log which configuration serves, and with which credentials.
#[tokio::test(flavor = "multi_thread")]
async fn the_log_says_who_serves_what_and_by_which_file() {
    let gateway = Gateway::with(
        Bed::start(),
        |text| text.replace("[log]", "[log]\nlevel = \"info,bedrock_gateway=debug\""),
        |_| {},
    );
    gateway.well().await;
    let line = |message: &str| {
        let found = gateway.lines().into_iter().find(|line| line["message"] == message);
        found.unwrap_or_else(|| panic!("no line {message:?}"))
    };
    let serving = line("serving");
    assert_eq!(serving["region"], "us-east-1");
    assert_eq!(serving["issuers"], "acme");
    assert_eq!(serving["roles"], 1);
    assert_eq!(serving["role_arns"], "arn:aws:iam::123456789012:role/BedrockUser");
    let file = gateway.bed.folder().join("gateway.toml");
    assert_eq!(serving["config"], file.display().to_string());
    let arn = "arn:aws:iam::123456789012:role/BedrockUser";
    assert_eq!(line("callers can get sessions of this role")["arn"], arn);
    until("the gateway's own ARN", async || {
        let words = "STS accepts the gateway's own AWS credentials";
        let lines = gateway.lines();
        lines
            .iter()
            .any(|line| line["message"] == words && line["arn"].as_str().unwrap().contains("111122223333"))
    })
    .await;
}
