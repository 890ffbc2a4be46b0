//! The file of the process log. A thread that logs never waits for a full disk: the lines wait in memory.

use std::fmt;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::time::Instant;
use tracing_subscriber::fmt::MakeWriter;

use super::LogError;
use super::output::{LogHealth, Output, RETRY, Torn};

/// The most bytes of lines that wait for a file that cannot be written. Further lines are lost and counted.
const WAITING: usize = 256 * 1024;

/// The process log, if it goes to a file.
#[derive(Clone)]
pub struct ProcessLog {
    state: Arc<Mutex<State>>,
    health: Arc<LogHealth>,
    torn: Torn,
}

struct State {
    output: Output,
    /// Lines that could not be written so far.
    waiting: Vec<u8>,
    /// When the gateway tries again to write them.
    retry: Option<Instant>,
}

impl ProcessLog {
    pub(super) fn open(path: &Path) -> Result<Self, LogError> {
        let torn = Torn::default();
        let output = Output::file(path, Arc::clone(&torn))?;
        let health = Arc::clone(output.health());
        let state = State { output, waiting: Vec::new(), retry: None };
        Ok(Self { state: Arc::new(Mutex::new(state)), health, torn })
    }

    /// For the other log in the same file.
    pub(crate) fn torn(&self) -> Torn {
        Arc::clone(&self.torn)
    }

    pub fn health(&self) -> &LogHealth {
        &self.health
    }

    /// Opens the file again, after it was rotated.
    pub fn reopen(&self) {
        self.health.rotate();
        self.state.lock().write();
    }

    /// Writes the lines that wait, if there are any.
    pub fn retry(&self) {
        let mut state = self.state.lock();
        if state.retry.is_some_and(|at| at <= Instant::now()) {
            state.write();
        }
    }
}

impl State {
    fn write(&mut self) {
        let well = self.output.write(&mut self.waiting);
        self.retry = (!well).then(|| Instant::now() + RETRY);
    }
}

impl fmt::Debug for ProcessLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProcessLog").field("health", &self.health).finish_non_exhaustive()
    }
}

/// Writes one line with each call, as `tracing-subscriber` does.
impl Write for ProcessLog {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut state = self.state.lock();
        if state.waiting.len() + line.len() > WAITING {
            self.health.lose(1);
        } else {
            state.waiting.extend_from_slice(line);
        }
        if state.retry.is_none_or(|at| at <= Instant::now()) {
            state.write();
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for ProcessLog {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}
