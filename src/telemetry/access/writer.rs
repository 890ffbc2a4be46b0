//! The thread that writes the access log.
//!
//! This is hand-written: `tracing-appender` limits the number of waiting lines, not their bytes, and flushes only
//! when it is dropped.

use std::io::{self, Write};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use parking_lot::{Condvar, Mutex, MutexGuard};

/// The most bytes of lines that may wait: one second of a busy gateway. Further lines are lost and counted, so that no
/// request waits for a full disk.
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
pub(super) struct Writer(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    /// Notified when lines arrive, when a flush is requested, and at the end.
    wanted: Condvar,
    written: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Whole lines, one after the other.
    lines: Vec<u8>,
    lost: u64,
    /// The number of flushes that were requested, and the number of the last one that was done.
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

    /// Waits until all lines so far are written, for at most [`FLUSH_TIMEOUT`].
    pub(super) fn flush(&self) {
        let mut state = self.0.state();
        state.flushes += 1;
        let mine = state.flushes;
        self.0.wanted.notify_one();
        let waited = self.0.written.wait_while_for(&mut state, |state| state.flushed < mine, FLUSH_TIMEOUT);
        if waited.timed_out() {
            tracing::error!("the last lines of the access log were not written within 5 s");
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

/// The lines that the thread writes next.
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
            // Whole lines in one write, so that lines of other processes do not land between them.
            let outcome = target.write_all(&lines).and_then(|()| target.flush());
            match &outcome {
                Err(error) if !broken => {
                    tracing::error!(%error, "cannot write the access log; its lines are lost");
                }
                Ok(()) if broken => tracing::info!("the access log is written again"),
                _ => {}
            }
            broken = outcome.is_err();
            if lost > 0 {
                tracing::error!(
                    lost,
                    "lines of the access log were lost: the disk or the reader was too slow"
                );
            }
            self.state().flushed = flushes;
            self.written.notify_all();
            lines.clear();
            lines.shrink_to(KEPT);
            spare = lines;
        }
    }

    /// Waits for lines and gathers those that follow, unless a flush is requested. `None` at the end.
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
