//! The binary itself: exit codes, signals, and the log on its standard output.

use std::ffi::OsStr;
use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::process::{Command, Stdio};

use bedrock_bed::{ANY_PORT, Addresses, Bed, Process, Setup, Signal, free_addresses, send, until};
use http_body_util::BodyExt as _;
use tokio::net::TcpStream;

use crate::drain::no_longer_accepts;
use crate::listeners::get;
use crate::reload::replace;
use crate::world::{CONVERSE_STREAM, HELLO, World, post};

/// The binary of this build, or the program that `IT_GATEWAY` names, for example the one that runs it out of the image.
pub(crate) fn binary() -> Command {
    let program = std::env::var_os("IT_GATEWAY");
    let mut command = Command::new(program.unwrap_or_else(|| env!("CARGO_BIN_EXE_bedrock-gateway").into()));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// A configuration with one plain listener.
fn setup(http: SocketAddr) -> Setup<'static> {
    let addresses = Addresses { http: Some(http), ..Addresses::default() };
    Setup { addresses, region: "${TEST_REGION:-us-east-1}", regions: &[], ..Setup::default() }
}

/// How the binary ended, and what it printed.
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// Runs the binary to its end, with this on its standard input.
pub(crate) fn run<A: AsRef<OsStr>>(arguments: &[A], input: &str) -> Ended {
    let mut child = Process::spawn(binary().args(arguments).stdin(Stdio::piped()));
    // It may have ended without reading.
    let _read = child.stdin.take().unwrap().write_all(input.as_bytes()).is_ok();
    let (code, out, err) = ended(child);
    Ended { code, out, err }
}

/// Runs a command to its end.
pub(crate) fn run_with(command: &mut Command) -> Ended {
    let (code, out, err) = ended(Process::spawn(command));
    Ended { code, out, err }
}

pub(crate) fn ended(mut child: Process) -> (Option<i32>, String, String) {
    let (mut out, mut err) = (String::new(), String::new());
    child.stdout.take().unwrap().read_to_string(&mut out).unwrap();
    child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
    (child.wait().unwrap().code(), out, err)
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_lets_an_open_stream_finish_and_a_second_one_does_not() {
    for twice in [false, true] {
        let bed = Bed::start();
        let [address] = free_addresses();
        let child = Process::spawn(bed.complete(&mut binary(), &bed.write(&setup(address))));
        let token = bed.standin.idp.mint(World::claims("alice"));
        until("the gateway", async || TcpStream::connect(address).await.is_ok()).await;
        bed.standin.bedrock.hold();
        let mut answer = send(address, post(CONVERSE_STREAM, &token, HELLO)).await;
        assert_eq!(answer.status(), 200);

        child.signal(Signal::TERM);
        no_longer_accepts(address).await;
        if twice {
            child.signal(Signal::TERM);
        } else {
            bed.standin.bedrock.release(1_000);
        }
        let mut complete = true;
        while let Some(frame) = answer.body_mut().frame().await {
            complete &= frame.is_ok();
        }
        let (code, out, err) = tokio::task::spawn_blocking(move || ended(child)).await.unwrap();
        assert_eq!((code, complete), (Some(0), !twice), "{err}");
        let line: serde_json::Value = serde_json::from_str(out.lines().next().unwrap()).unwrap();
        assert_eq!(line["ended"], if twice { "drain" } else { "complete" });
        assert_eq!(line["principal"], "arn:aws:sts::123456789012:assumed-role/BedrockUser/alice@acme.org");
        assert!(!out.contains(&token) && !err.contains(&token));
    }
}

/// Waits for a line of a log file with all of these words.
async fn line(log: &std::path::Path, words: &[&str]) {
    until(&format!("a line with {words:?}"), async || {
        let text = std::fs::read_to_string(log).unwrap_or_default();
        text.lines().any(|line| words.iter().all(|word| line.contains(word)))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_config_map_that_is_swapped_is_loaded_and_so_is_what_sighup_asks_for() {
    let bed = Bed::start();
    let folder = tempfile::tempdir().unwrap();
    let (log, mounted) = (folder.path().join("log"), folder.path().join("gateway.toml"));
    let log_file = format!("file = \"{}\"", log.display());
    let text = bed.text(&Setup { log: &log_file, ..setup(ANY_PORT) });
    // As the kubelet does: a new folder, and a link that is turned to it in one step.
    let swap = |version: &str, text: &str| {
        std::fs::create_dir(folder.path().join(version)).unwrap();
        std::fs::write(folder.path().join(version).join("gateway.toml"), text).unwrap();
        std::os::unix::fs::symlink(version, folder.path().join("..data_tmp")).unwrap();
        std::fs::rename(folder.path().join("..data_tmp"), folder.path().join("..data")).unwrap();
    };
    swap("..1", &text);
    std::os::unix::fs::symlink("..data/gateway.toml", &mounted).unwrap();
    let child = Process::spawn(bed.complete(&mut binary(), &mounted));
    line(&log, &["\"message\":\"serving\""]).await;
    swap("..2", &text.replace("claims.email", "claims.sub"));
    line(&log, &["configuration reloaded", "\"generation\":2"]).await;
    child.signal(Signal::HUP);
    line(&log, &["configuration reloaded", "\"generation\":3"]).await;
    swap("..3", &text.replace("claims.email", "clams.sub"));
    line(&log, &["gateway.toml:", "there is no `clams`"]).await;
    child.signal(Signal::TERM);
    let (code, _, err) = tokio::task::spawn_blocking(move || ended(child)).await.unwrap();
    assert_eq!(code, Some(0), "{err}");
}

/// A container's standard output is a pipe, and `/dev/stdout` its path.
#[tokio::test(flavor = "multi_thread")]
async fn both_logs_may_go_to_dev_stdout_and_to_no_other_pipe() {
    let bed = Bed::start();
    let [address] = free_addresses();
    let config = bed.write(&Setup { log: "file = \"/dev/stdout\"", ..setup(address) });
    let child = Process::spawn(bed.complete(&mut binary(), &config));
    until("the gateway", async || TcpStream::connect(address).await.is_ok()).await;
    child.signal(Signal::TERM);
    let (code, out, err) = tokio::task::spawn_blocking(move || ended(child)).await.unwrap();
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    assert!(out.contains("\"message\":\"serving\""), "{out}");

    let pipe = bed.folder().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let log = format!("file = \"{}\"", pipe.display());
    let config = bed.write(&Setup { log: &log, ..setup(address) });
    let child = Process::spawn(bed.complete(&mut binary(), &config));
    let (code, out, err) = tokio::task::spawn_blocking(move || ended(child)).await.unwrap();
    assert_eq!((code, out.as_str()), (Some(78), ""), "{err}");
    for words in ["pipe is a named pipe, and a log must be", "gateway.toml:", "remove this key"] {
        assert!(err.contains(words), "{words}: {err}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_emptied_deny_file_is_logged_with_no_entries() {
    let bed = Bed::start();
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let log_file = format!("file = \"{}\"", log.display());
    let entry = "[[revoke]]\nissuer = \"acme\"\nsubject = \"alice\"\n";
    let config = bed.write(&Setup { deny: Some(entry), log: &log_file, ..setup(ANY_PORT) });
    let child = Process::spawn(bed.complete(&mut binary(), &config));
    line(&log, &["\"message\":\"serving\""]).await;
    replace(&bed.folder().join("deny.toml"), "");
    line(&log, &["deny file reloaded"]).await;
    child.signal(Signal::TERM);
    let (code, _, err) = tokio::task::spawn_blocking(move || ended(child)).await.unwrap();
    assert_eq!(code, Some(0), "{err}");
    let text = std::fs::read_to_string(&log).unwrap();
    let reloaded: Vec<_> = text.lines().filter(|line| line.contains("deny file reloaded")).collect();
    assert_eq!(reloaded.len(), 1, "{reloaded:?}");
    assert!(reloaded[0].contains("\"entries\":0"), "{reloaded:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn log_metric_and_admin_port_count_the_same_revocations() {
    let bed = Bed::start();
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let log_file = format!("file = \"{}\"", log.display());
    let entry = "[[revoke]]\nissuer = \"acme\"\nsubject = \"alice\"\n";
    let [http, probe, admin] = free_addresses();
    let addresses =
        Addresses { http: Some(http), probe: Some(probe), admin: Some(admin), ..Addresses::default() };
    let config = bed.write(&Setup { addresses, deny: Some(entry), log: &log_file, ..setup(http) });
    let child = Process::spawn(bed.complete(&mut binary(), &config));
    line(&log, &["\"message\":\"serving\""]).await;

    // While the configuration is rejected, an entry that was removed stays in force.
    let valid = std::fs::read_to_string(&config).unwrap();
    replace(&config, &valid.replace("claims.email", "clams.sub"));
    line(&log, &["configuration rejected"]).await;
    replace(&bed.folder().join("deny.toml"), "");
    for entries in [1, 0] {
        line(&log, &["deny file reloaded", &format!("\"entries\":{entries}")]).await;
        let metrics = get(probe, "/metrics").await.body;
        let metrics = String::from_utf8_lossy(&metrics).into_owned();
        assert!(metrics.contains(&format!("bedrock_gateway_revocations {entries}\n")), "{metrics}");
        let listed = get(admin, "/revocations").await.json();
        assert_eq!(listed["revocations"].as_array().unwrap().len(), entries, "{listed}");
        replace(&config, &valid);
    }
    child.signal(Signal::TERM);
    let (code, _, err) = tokio::task::spawn_blocking(move || ended(child)).await.unwrap();
    assert_eq!(code, Some(0), "{err}");
}

#[test]
fn an_invalid_configuration_is_rejected_with_every_problem() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(
        file.path(),
        r#"
[listen]
http = "127.0.0.1:0"
[aws]
region = "us-east-1"
[[issuer]]
name = "acme"
url = "https://acme.example"
audiences = []
[issuer.session]
name = "claim.email"
[[role]]
arn = "arn:aws:iam::1:role/x"
"#,
    )
    .unwrap();
    let path = file.path().to_str().unwrap();
    let (code, _, err) = ended(Process::spawn(binary().args(["check", "--config", path])));
    assert_eq!(code, Some(1), "{err}");
    for part in [path, "audiences", "claim", "arn"] {
        assert!(err.contains(part), "{part} is not in:\n{err}");
    }
    let (code, _, err) = ended(Process::spawn(binary().args(["serve", "--config", path])));
    assert_eq!(code, Some(78), "{err}");
    let (code, _, err) = ended(Process::spawn(binary().args(["check", "--config", "/nonexistent.toml"])));
    assert_eq!(code, Some(1), "{err}");
    assert!(err.contains("/nonexistent.toml"));
    let (code, _, _) = ended(Process::spawn(binary().arg("serv")));
    assert_eq!(code, Some(2));
}

/// Each has its file, line, key, what is wrong and what would be right.
#[test]
fn ten_faults_are_reported_at_once() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let text = r#"
[listen]
http = "localhost:8080"
[aws]
region = "Virginia"
[sessions]
duration = "1 hour"
per_name = 0
[[issuer]]
name = "acme"
url = "http://acme.example"
audiences = []
algorithms = ["HS256"]
[issuer.session]
name = "clams.email"
[issuer.session.tags]
"aws:team" = "claims.team"
[[role]]
arn = "arn:aws:iam::123456789012:user/bob"
"#;
    std::fs::write(file.path(), text).unwrap();
    let path = file.path().to_str().unwrap();
    let ended = run(&["check", "--json", "--config", path], "");
    assert_eq!(ended.code, Some(1), "{}", ended.err);
    let report: serde_json::Value = serde_json::from_str(&ended.out).unwrap();
    let reported = report["problems"].as_array().unwrap();
    let faults = [
        ("localhost", "listen.http", "only an IP address"),
        ("Virginia", "aws.region", "not a region"),
        ("1 hour", "sessions.duration", "not a duration"),
        ("per_name", "sessions.per_name", "it is 0"),
        ("http://", "issuer[0].url", "must be https"),
        ("audiences", "issuer[0].audiences", "the list is empty"),
        ("HS256", "issuer[0].algorithms[0]", "signs with a secret"),
        ("clams", "issuer[0].session.name", "there is no `clams`"),
        ("aws:team", "issuer[0].session.tags.\"aws:team\"", "cannot be a tag key"),
        ("user/bob", "role[0].arn", "only a role can be assumed"),
    ];
    assert_eq!(reported.len(), faults.len(), "{}", ended.out);
    for (problem, (place, key, fault)) in reported.iter().zip(faults) {
        let number = text.lines().position(|line| line.contains(place)).unwrap() + 1;
        assert_eq!((&problem["file"], &problem["line"]), (&path.into(), &number.into()), "{problem}");
        assert_eq!((&problem["key"], &problem["severity"]), (&key.into(), &"error".into()), "{problem}");
        assert!(problem["message"].as_str().unwrap().contains(fault), "{problem}");
        assert!(problem["help"].as_str().unwrap().len() > 3, "{problem}");
    }
}

#[test]
fn help_shows_how_a_profile_uses_the_gateway() {
    let profile = run(&["credentials", "--help"], "").out;
    assert!(profile.contains("credential_process = ") && profile.contains("endpoint_url = "), "{profile}");
}

#[test]
fn the_version_names_the_commit() {
    for option in ["-V", "--version"] {
        let ended = run(&[option], "");
        assert_eq!(ended.code, Some(0));
        let version = ended.out.trim_end();
        let (name, commit) = version.split_once(concat!(" ", env!("CARGO_PKG_VERSION"))).unwrap();
        assert_eq!(name, "bedrock-gateway");
        // A build without a repository has none.
        let is_commit = commit.strip_prefix(" (").is_some_and(|commit| commit.ends_with(')'));
        assert!(commit.is_empty() || is_commit, "{version}");
    }
}

#[test]
fn shells_and_man_get_every_command() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let ended = run(&["completions", shell], "");
        assert_eq!(ended.code, Some(0));
        assert!(ended.out.contains("explain") && ended.out.contains("cut-streams"), "{shell}");
    }
    let page = run(&["man"], "");
    assert!(page.out.contains(".TH bedrock-gateway 1") && page.out.contains("explain"), "{}", page.out);
    let folder = tempfile::tempdir().unwrap();
    let pages = folder.path().join("man1");
    let ended = run(&["man", "--out", pages.to_str().unwrap()], "");
    assert_eq!((ended.code, ended.out.as_str()), (Some(0), ""), "{}", ended.err);
    let page = std::fs::read_to_string(pages.join("bedrock-gateway-revoke.1")).unwrap();
    assert!(page.contains("cut\\-streams"), "{page}");
    assert_eq!(run(&["man", "--out", "/dev/null/man"], "").code, Some(1));
}
