//! The gateway within a process of the rig, whose workers' tasks are measured: how long a single poll takes its thread.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{ChildStdin, ChildStdout, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use bedrock_bed::{Process, free_addresses};
use bedrock_gateway::config::File;
use bedrock_gateway::gateway::{GatewayHandle, Overrides};
use bedrock_gateway::proxy::Proxy;
use bedrock_gateway::telemetry::access::AccessLog;
use bedrock_gateway::workers::poll_meter::PollMeter;
use clap::Args;

use crate::load::{self, Target};
use crate::machine::on_proxy_core;
use crate::proxy::{Wire, gateway_file};
use crate::upstream::CONVERSE;
use crate::world::World;

#[derive(Debug, Args)]
pub(crate) struct Settings {
    #[arg(long)]
    config: PathBuf,
}

/// Serves until standard input ends. Answers each line of it with the nanoseconds of the longest poll since the last.
#[tokio::main(flavor = "current_thread")]
pub(crate) async fn run(settings: &Settings) {
    let file = File::read(&settings.config).unwrap();
    let config = file.parse().unwrap_or_else(|problems| panic!("{problems}"));
    let polls = Arc::new(PollMeter::default());
    let overrides = Overrides {
        log: Arc::new(AccessLog::open(&config.log, None).unwrap()),
        process_log: None,
        credentials: None,
        file: Some(file),
        look_every: None,
        proxy: Proxy::default(),
        polls: Some(Arc::clone(&polls)),
    };
    let mut gateway = GatewayHandle::start_with(config, overrides).await.unwrap();
    thread::spawn(move || {
        for _line in std::io::stdin().lock().lines() {
            println!("{}", polls.take_longest().as_nanos());
        }
        std::process::exit(0);
    });
    gateway.stopped().await;
}

/// A metered gateway with one worker, on the core for proxies.
pub(crate) struct Metered {
    target: Target,
    lines: ChildStdin,
    answers: BufReader<ChildStdout>,
    _process: Process,
}

impl Metered {
    /// Starts it and waits until it answers.
    pub(crate) async fn start(world: &World) -> Self {
        let [address]: [SocketAddr; 1] = free_addresses();
        let file = gateway_file(Wire::Plain, world, address, "workers = 1");
        let mut command = on_proxy_core(std::env::current_exe().unwrap());
        command.arg("serve-metered").arg("--config").arg(file);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = Process::spawn(world.bed.lend_credentials(&mut command));
        let (lines, answers) = (process.stdin.take().unwrap(), process.stdout.take().unwrap());
        let target = Target { address, tls: None };
        load::answers(&target, &world.requests(CONVERSE, 1024)[0]).await;
        Self { target, lines, answers: BufReader::new(answers), _process: process }
    }

    pub(crate) fn target(&self) -> &Target {
        &self.target
    }

    /// The longest poll since the last call, by its thread's CPU time.
    pub(crate) fn longest(&mut self) -> Duration {
        self.lines.write_all(b"\n").unwrap();
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        Duration::from_nanos(line.trim().parse().unwrap())
    }
}
