//! The thread that writes the access log.
//!
//! Written here, because `tracing-appender` bounds waiting lines by their number and not by their bytes, and flushes
//! only when it is dropped.

use std::io::{self, Write};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use parking_lot::{Condvar, Mutex, MutexGuard};

/// Bytes of lines that may wait: a second's worth of a busy gateway. Beyond it lines are lost, and
/// counted, rather than requests kept waiting for a full disk.
const WAITING: usize = 16 * 1024 * 1024;

/// How long lines are gathered before they are written together: to wake the thread for each would cost
/// more than the line itself.
const GATHERING: Duration = Duration::from_millis(10);

/// How long a shutdown waits for a disk or a reader that does not take the lines.
const PATIENCE: Duration = Duration::from_secs(5);

/// A buffer that had to grow beyond this is not kept, bytes.
const KEPT: usize = 1024 * 1024;

/// A handle on the writing thread, which ends when this is dropped and everything is written.
#[derive(Debug)]
pub(super) struct Writer(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    /// Lines have come, or are waited for, or no more will come.
    wanted: Condvar,
    written: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Whole lines, one after the other.
    lines: Vec<u8>,
    lost: u64,
    /// How many times somebody has asked to flush, and the last of them that was done.
    flushes: u64,
    flushed: u64,
    ended: bool,
}

impl Writer {
    pub(super) fn start(target: Box<dyn Write + Send>) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let writing = Arc::clone(&shared);
        thread::Builder::new().name("access-log".into()).spawn(move || writing.run(target))?;
        Ok(Self(shared))
    }

    /// Hands over one line, without its line break.
    pub(super) fn line(&self, line: &str) {
        let mut state = self.0.state();
        if state.lines.len() + line.len() >= WAITING {
            state.lost += 1;
            return;
        }
        let first = state.lines.is_empty();
        state.lines.extend_from_slice(line.as_bytes());
        state.lines.push(b'\n');
        drop(state);
        if first {
            self.0.wanted.notify_one();
        }
    }

    /// Waits until what was handed over is written, but not longer than [`PATIENCE`].
    pub(super) fn flush(&self) {
        let mut state = self.0.state();
        state.flushes += 1;
        let mine = state.flushes;
        self.0.wanted.notify_one();
        let waited = self.0.written.wait_while_for(&mut state, |state| state.flushed < mine, PATIENCE);
        if waited.timed_out() {
            tracing::error!("the end of the access log could not be written in time");
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.flush();
        self.0.state().ended = true;
        self.0.wanted.notify_one();
    }
}

/// What the thread has taken over to write.
struct Batch {
    lines: Vec<u8>,
    lost: u64,
    flushes: u64,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    fn run(&self, mut target: Box<dyn Write + Send>) {
        let mut broken = false;
        let mut spare = Vec::new();
        while let Some(Batch { mut lines, lost, flushes }) = self.next(spare) {
            // Whole lines in one write, so that nobody else's land among them.
            let outcome = target.write_all(&lines).and_then(|()| target.flush());
            match &outcome {
                Err(error) if !broken => tracing::error!(%error, "the access log cannot be written"),
                Ok(()) if broken => tracing::info!("the access log can be written again"),
                _ => {}
            }
            broken = outcome.is_err();
            if lost > 0 {
                tracing::error!(
                    lost,
                    "access log lines were lost, because they could not be written fast enough"
                );
            }
            self.state().flushed = flushes;
            self.written.notify_all();
            lines.clear();
            lines.shrink_to(KEPT);
            spare = lines;
        }
    }

    /// Waits for lines and gathers those that follow, unless somebody waits for them. `None` at the end.
    fn next(&self, spare: Vec<u8>) -> Option<Batch> {
        let idle =
            |state: &mut State| state.lines.is_empty() && state.flushes == state.flushed && !state.ended;
        let unhurried = |state: &mut State| state.flushes == state.flushed && !state.ended;
        let mut state = self.state();
        self.wanted.wait_while(&mut state, idle);
        self.wanted.wait_while_for(&mut state, unhurried, GATHERING);
        if state.ended && state.lines.is_empty() {
            return None;
        }
        Some(Batch {
            lines: std::mem::replace(&mut state.lines, spare),
            lost: std::mem::take(&mut state.lost),
            flushes: state.flushes,
        })
    }
}
