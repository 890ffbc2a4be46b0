//! The two logs on a terminal, as the operator who starts the gateway by hand sees them.

use std::net::SocketAddr;
use std::process::Command;

use bedrock_bed::{Addresses, Bed, Process, Setup, Signal, Terminal, free_addresses, send, until};
use http_body_util::BodyExt as _;
use tokio::net::TcpStream;

use crate::process::{binary, run_with};
use crate::world::{CONVERSE, HELLO, World, post};

const COLUMNS: usize = 120;
/// The users who each send one request, and the statuses of the answers.
const REQUESTS: [(&str, u16); 2] = [("alice", 200), ("mallory", 403)];

/// The text that a gateway writes to a terminal: it answers one request, refuses another, and stops.
async fn shown(environment: &[(&str, &str)]) -> String {
    let bed = Bed::start();
    let [address] = free_addresses();
    let addresses = Addresses { http: Some(address), ..Addresses::default() };
    let ordinary = Setup::default();
    let roles = format!("{}when = \"claims.email != 'mallory@acme.org'\"\n", ordinary.roles);
    let setup = Setup { addresses, roles: &roles, ..ordinary };
    let (child, terminal) = {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bedrock-gateway"));
        let terminal = Terminal::of(bed.complete(&mut command, &bed.write(&setup)));
        (Process::spawn(command.envs(environment.iter().copied())), terminal)
    };
    until("the gateway", async || TcpStream::connect(address).await.is_ok()).await;
    for (user, status) in REQUESTS {
        assert_eq!(answered(&bed, address, user).await, status);
    }
    child.signal(Signal::TERM);
    tokio::task::spawn_blocking(move || terminal.text()).await.unwrap()
}

async fn answered(bed: &Bed, address: SocketAddr, user: &str) -> u16 {
    let token = bed.standin.idp.mint(World::claims(user));
    let mut answer = send(address, post(CONVERSE, &token, HELLO)).await;
    while let Some(frame) = answer.body_mut().frame().await {
        frame.unwrap();
    }
    answer.status().as_u16()
}

/// The text without colours.
fn plain(text: &str) -> String {
    anstream::adapter::strip_str(text).to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_request_is_one_line_that_fits_the_terminal() {
    let text = shown(&[]).await;
    assert!(text.contains("\u{1b}[32m200\u{1b}[0m") && text.contains("\u{1b}[33m403\u{1b}[0m"), "{text:?}");
    let text = plain(&text);
    let lines: Vec<&str> = text.lines().collect();
    for line in &lines {
        let (time, _) = line.split_once(' ').unwrap_or_default();
        assert!(time.len() == 9 && time.ends_with('Z'), "{line:?}");
    }
    let answered = lines.iter().find(|line| line.contains(" 200 ")).unwrap();
    let words: Vec<&str> = answered.split_whitespace().skip(1).collect();
    assert_eq!(words[..5], ["200", "converse", "sonnet-4-6", "alice@acme.org", "search"], "{answered}");
    assert_eq!(words[6], "ms", "{answered}");
    assert!(words[7].len() == 8 && words.len() == 8, "{answered}");
    let refused = lines.iter().find(|line| line.contains(" 403 ")).unwrap();
    assert!(refused.contains(" no_role: "), "{refused}");
    for line in [answered, refused] {
        assert!(line.chars().count() <= COLUMNS, "{line}");
    }
    assert!(lines.iter().any(|line| line.contains(" INFO  serving http=127.0.0.1:")), "{text}");
    assert!(lines.last().unwrap().ends_with(" INFO  stopped"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_color_takes_the_colours_away() {
    let text = shown(&[("NO_COLOR", "1")]).await;
    assert!(text.contains(" 200 converse ") && text.contains(" INFO  serving "), "{text}");
    assert!(!text.contains('\u{1b}'), "{text:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn rust_log_replaces_the_level_and_shows_the_gateways_own_lines() {
    let text = plain(&shown(&[("RUST_LOG", "debug")]).await);
    for part in [
        " INFO  RUST_LOG replaces [log] level level=debug",
        " DEBUG token verified issuer=acme cached=false",
        " DEBUG role rule matched ",
        " DEBUG calling AssumeRole ",
        " DEBUG session found ",
        " DEBUG sending the request to Bedrock ",
    ] {
        assert!(text.contains(part), "{part} is not in:\n{text}");
    }
    assert!(!text.contains("DEBUG hyper") && !text.contains("DEBUG aws"), "{text}");
}

#[test]
fn an_invalid_rust_log_is_named() {
    let bed = Setup::default().text();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bed).unwrap();
    let path = file.path().to_str().unwrap();
    let ended = run_with(binary().env("RUST_LOG", "loud").args(["serve", "--config", path]));
    assert_eq!(ended.code, Some(78), "{}", ended.err);
    assert!(
        ended.err.contains("RUST_LOG") && ended.err.contains("\"loud\" is not a log level"),
        "{}",
        ended.err
    );
}
