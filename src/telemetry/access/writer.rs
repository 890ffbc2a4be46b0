//! The thread that writes the access log.
//!
//! This is hand-written: `tracing-appender` limits the number of waiting lines, not their bytes, and flushes only
//! when it is dropped.

use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use parking_lot::{Condvar, Mutex, MutexGuard};

use crate::telemetry::log::output::{LogHealth, Output, RETRY};

/// The most bytes of lines that may wait: one second of a busy gateway, or the lines that a full disk does not take.
/// Further lines are lost and counted, so that no request waits for a disk.
const WAITING: usize = 16 * 1024 * 1024;

/// How long the thread gathers lines before it writes them together. To wake the thread for each line would cost more
/// than the line itself.
const GATHERING: Duration = Duration::from_millis(10);

/// How long a shutdown waits for a disk, or a reader of standard output, that does not accept the lines.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(5);

/// The largest buffer that is kept for the next lines, bytes.
const KEPT: usize = 1024 * 1024;

/// The handle of the writing thread. The thread ends when the handle is dropped and all lines are written.
#[derive(Debug)]
pub(super) struct Writer {
    shared: Arc<Shared>,
    health: Arc<LogHealth>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    /// Notified when lines arrive, when the file was rotated, when a flush is requested, and at the end.
    wanted: Condvar,
    written: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Whole lines, one after the other.
    lines: Vec<u8>,
    /// The last write failed, so the thread waits before the next one.
    failing: bool,
    rotated: bool,
    /// The number of flushes that were requested, and the number of the last one that was done.
    flushes: u64,
    flushed: u64,
    ended: bool,
}

impl Writer {
    pub(super) fn start(output: Output) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let health = Arc::clone(output.health());
        let writing = Arc::clone(&shared);
        thread::Builder::new().name("access-log".into()).spawn(move || writing.run(output))?;
        Ok(Self { shared, health })
    }

    pub(super) fn health(&self) -> &LogHealth {
        &self.health
    }

    /// Opens the file again before the next line is written.
    pub(super) fn reopen(&self) {
        self.health.rotate();
        self.shared.state().rotated = true;
        self.shared.wanted.notify_one();
    }

    /// Hands over one line, without its line break.
    pub(super) fn line(&self, line: &str) {
        let mut state = self.shared.state();
        if state.lines.len() + line.len() >= WAITING {
            self.health.lose(1);
            return;
        }
        let first = state.lines.is_empty();
        state.lines.extend_from_slice(line.as_bytes());
        state.lines.push(b'\n');
        drop(state);
        if first {
            self.shared.wanted.notify_one();
        }
    }

    /// Waits until all lines so far are written, for at most [`FLUSH_TIMEOUT`].
    pub(super) fn flush(&self) {
        let mut state = self.shared.state();
        state.flushes += 1;
        let mine = state.flushes;
        self.shared.wanted.notify_one();
        let waited =
            self.shared.written.wait_while_for(&mut state, |state| state.flushed < mine, FLUSH_TIMEOUT);
        if waited.timed_out() {
            tracing::error!("the last lines of the access log were not written within 5 s");
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.flush();
        self.shared.state().ended = true;
        self.shared.wanted.notify_one();
    }
}

/// The lines that the thread writes next.
struct Batch {
    lines: Vec<u8>,
    flushes: u64,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    fn run(&self, mut output: Output) {
        let mut spare = Vec::new();
        while let Some(Batch { mut lines, flushes }) = self.next(spare) {
            // Whole lines in one write, so that lines of other processes do not land between them.
            let well = output.write(&mut lines);
            spare = self.settle(lines, well, flushes);
        }
    }

    /// Keeps the lines that could not be written, before those that have arrived since. Returns an empty buffer.
    fn settle(&self, mut lines: Vec<u8>, well: bool, flushes: u64) -> Vec<u8> {
        let mut state = self.state();
        state.failing = !well;
        if !lines.is_empty() {
            lines.append(&mut state.lines);
            std::mem::swap(&mut state.lines, &mut lines);
        }
        state.flushed = flushes;
        drop(state);
        self.written.notify_all();
        lines.shrink_to(KEPT);
        lines
    }

    /// Waits for lines and gathers those that follow, unless a flush is requested. After a failed write, it waits for
    /// the time of the next attempt. `None` at the end.
    fn next(&self, spare: Vec<u8>) -> Option<Batch> {
        let urgent = |state: &State| state.flushes != state.flushed || state.ended || state.rotated;
        let mut state = self.state();
        if state.failing {
            self.wanted.wait_while_for(&mut state, |state| !urgent(state), RETRY);
        } else {
            self.wanted.wait_while(&mut state, |state| state.lines.is_empty() && !urgent(state));
            self.wanted.wait_while_for(&mut state, |state| !urgent(state), GATHERING);
        }
        if state.ended && (state.lines.is_empty() || state.failing) {
            return None;
        }
        state.rotated = false;
        Some(Batch { lines: std::mem::replace(&mut state.lines, spare), flushes: state.flushes })
    }
}
