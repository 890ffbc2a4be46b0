//! The gateway that the callers call: the one of this build, in this process, or a program.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use bedrock_bed::{Addresses, Bed, Process, Signal, until};
use bedrock_gateway::gateway::GatewayHandle;
use bedrock_gateway::telemetry::access::AccessLog;
use parking_lot::Mutex;
use tokio::net::TcpStream;

use crate::Outcome;

/// A running gateway and its access log.
pub(crate) enum Gateway {
    OfBuild { handle: GatewayHandle, log: Arc<AccessLog> },
    Program { process: Process, addresses: Addresses, lines: Arc<Mutex<Vec<String>>> },
}

impl Gateway {
    /// Starts the gateway of this build.
    pub(crate) async fn of_build(bed: &Bed, file: &Path, log: AccessLog) -> Self {
        let log = Arc::new(log);
        Self::OfBuild { handle: bed.serve(file, &log).await, log }
    }

    /// Starts a program, and waits until it listens at `addresses`, which `file` configures.
    ///
    /// # Errors
    /// The program cannot run, or ended before it listened.
    pub(crate) async fn start(bed: &Bed, program: &Path, file: &Path, addresses: Addresses) -> Outcome<Self> {
        let https = addresses.https.ok_or("the gateway listens on no https address")?;
        if !program.is_file() {
            return Err(format!("{}: no such program", program.display()).into());
        }
        let mut command = Command::new(program);
        let command = bed.complete(command.stdout(Stdio::piped()), file);
        let mut process = Process::spawn(command);
        let lines = Arc::new(Mutex::new(Vec::new()));
        if let Some(printed) = process.stdout.take() {
            let lines = Arc::clone(&lines);
            std::thread::spawn(move || {
                for line in BufReader::new(printed).lines().map_while(Result::ok) {
                    lines.lock().push(line);
                }
            });
        }
        let mut ended = None;
        until("the gateway", async || {
            ended = process.try_wait().ok().flatten();
            ended.is_some() || TcpStream::connect(https).await.is_ok()
        })
        .await;
        match ended {
            Some(status) => Err(format!("{} ended at once: {status}", program.display()).into()),
            None => Ok(Self::Program { process, addresses, lines }),
        }
    }

    /// The addresses that it listens on.
    pub(crate) fn addresses(&self) -> Addresses {
        match self {
            Self::OfBuild { handle, .. } => handle.addresses(),
            Self::Program { addresses, .. } => *addresses,
        }
    }

    /// The lines of the access log so far.
    pub(crate) fn lines(&self) -> Vec<String> {
        match self {
            Self::OfBuild { log, .. } => log.lines(),
            Self::Program { lines, .. } => lines.lock().clone(),
        }
    }

    /// Writes what the access log has not written yet. A program does that itself.
    pub(crate) fn flush(&self) {
        if let Self::OfBuild { log, .. } = self {
            log.flush();
        }
    }

    /// Lets the requests in flight finish, and stops the gateway.
    ///
    /// # Errors
    /// The program did not end with exit code 0.
    pub(crate) async fn stop(&mut self) -> Outcome {
        match self {
            Self::OfBuild { handle, .. } => {
                handle.drain();
                handle.stopped().await;
            }
            Self::Program { process, .. } => {
                process.signal(Signal::TERM);
                let status =
                    until("the end of the gateway", async || process.try_wait().ok().flatten()).await;
                if !status.success() {
                    return Err(format!("the gateway did not drain: {status}").into());
                }
            }
        }
        Ok(())
    }
}
