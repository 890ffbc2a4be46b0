//! The gateway's process: its configuration, its logs, its memory and its descriptors.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bedrock_bed::{Process, Signal, until};
use serde_json::Value;

use crate::world::World;

/// Longest time for the start, and for the end.
const PATIENCE: Duration = Duration::from_secs(20);

/// Beginnings of a JWT and of the stand-in's session tokens, which the log must not contain.
const SECRETS: [&str; 2] = ["eyJhbGciOi", "IQoJb3JpZ2lu"];

pub(crate) struct Gateway {
    process: Process,
    pub(crate) log: Arc<AccessLog>,
    configuration: PathBuf,
    errors: PathBuf,
}

/// The facts from the access log so far.
#[derive(Debug, Default)]
pub(crate) struct AccessLog(Mutex<Said>);

#[derive(Debug, Default)]
struct Said {
    lines: u64,
    /// The reasons of failed requests, by request id.
    reasons: HashMap<String, String>,
    faults: Vec<String>,
}

impl AccessLog {
    fn read(&self, from: ChildStdout) {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            self.take(&line);
        }
    }

    fn take(&self, line: &str) {
        let mut said = self.0.lock().unwrap();
        said.lines += 1;
        if SECRETS.iter().any(|secret| line.contains(secret)) {
            said.faults.push("a line of the access log contains a secret".to_owned());
        }
        let Ok(line) = serde_json::from_str::<Value>(line) else {
            said.faults.push("a line of the access log is not JSON".to_owned());
            return;
        };
        if let (Some(id), Some(reason)) = (line["request_id"].as_str(), line["reason"].as_str()) {
            said.reasons.insert(id.to_owned(), reason.to_owned());
        }
    }

    pub(crate) fn lines(&self) -> u64 {
        self.0.lock().unwrap().lines
    }

    /// The reason that the access log gives for this failed request.
    pub(crate) fn reason(&self, request_id: &str) -> Option<String> {
        self.0.lock().unwrap().reasons.get(request_id).cloned()
    }

    pub(crate) fn faults(&self) -> Vec<String> {
        self.0.lock().unwrap().faults.clone()
    }
}

impl Gateway {
    /// Starts the gateway and waits until it is ready.
    pub(crate) async fn start(world: &World) -> Self {
        let configuration = world.bed.folder().join("gateway.toml");
        std::fs::write(&configuration, world.configuration(0)).unwrap();
        let errors = world.bed.folder().join("gateway.log");
        let mut command = Command::new(env!("CARGO_BIN_EXE_bedrock-gateway"));
        command.stdout(Stdio::piped()).stderr(File::create(&errors).unwrap());
        let mut process = Process::spawn(world.bed.complete(&mut command, &configuration));
        let log = Arc::new(AccessLog::default());
        let (lines, reader) = (process.stdout.take().unwrap(), Arc::clone(&log));
        std::thread::spawn(move || reader.read(lines));
        let gateway = Self { process, log, configuration, errors };
        let ready = until("the gateway to be ready", async || world.is_ready().await);
        let in_time = tokio::time::timeout(PATIENCE, ready).await.is_ok();
        assert!(in_time, "the gateway is not ready after {PATIENCE:?}:\n{}", gateway.last_words());
        gateway
    }

    /// Replaces the configuration in one step, as editors and Kubernetes do, and makes the gateway load it at once.
    pub(crate) fn reload(&self, text: &str) {
        let new = self.configuration.with_extension("new");
        std::fs::write(&new, text).unwrap();
        std::fs::rename(new, &self.configuration).unwrap();
        self.process.signal(Signal::HUP);
    }

    /// Resident memory, bytes.
    pub(crate) fn resident(&self) -> u64 {
        self.process.memory("VmRSS")
    }

    /// Open file descriptors.
    pub(crate) fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.process.id())).unwrap().count()
    }

    /// Ends the gateway as an orchestrator does. Returns whether it exited in time and with success.
    pub(crate) async fn end(mut self) -> bool {
        self.process.signal(Signal::TERM);
        let ended = until("the gateway's end", async || self.process.try_wait().unwrap());
        tokio::time::timeout(PATIENCE, ended).await.is_ok_and(|status| status.success())
    }

    /// The panics and errors in the process log.
    pub(crate) fn panics_and_errors(&self) -> Vec<String> {
        let said = std::fs::read_to_string(&self.errors).unwrap();
        let is_one = |line: &&str| line.contains("panicked") || line.contains("\"level\":\"ERROR\"");
        said.lines().filter(is_one).map(str::to_owned).collect()
    }

    fn last_words(&self) -> String {
        let said = std::fs::read_to_string(&self.errors).unwrap();
        let lines: Vec<_> = said.lines().collect();
        lines[lines.len().saturating_sub(10)..].join("\n")
    }
}
