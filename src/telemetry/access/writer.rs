//! The thread that writes the access log.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::thread;
use std::time::Duration;

/// Lines that may wait: several seconds' worth of a busy gateway. Beyond it lines are lost, and
/// counted, rather than requests kept waiting for a full disk.
const WAITING: usize = 16_384;

/// Lines are written together up to about this many bytes.
const BATCH: usize = 64 * 1024;

/// How long a shutdown waits for a disk or a reader that does not take the lines.
const PATIENCE: Duration = Duration::from_secs(5);

enum Message {
    Line(String),
    Flush(Sender<()>),
}

/// A handle on the writing thread, which ends when this is dropped and everything is written.
#[derive(Debug)]
pub(super) struct Writer {
    sender: Sender<Message>,
    /// Lines handed over and not yet taken up: what bounds the channel, so that only lines and never
    /// a flush are turned away.
    waiting: Arc<AtomicUsize>,
    lost: AtomicU64,
}

impl Writer {
    pub(super) fn start(target: Box<dyn Write + Send>) -> io::Result<Self> {
        let (sender, messages) = channel();
        let waiting = Arc::new(AtomicUsize::new(0));
        let taken = Arc::clone(&waiting);
        thread::Builder::new().name("access-log".into()).spawn(move || run(&messages, &taken, target))?;
        Ok(Self { sender, waiting, lost: AtomicU64::new(0) })
    }

    /// Hands over one line, without its line break.
    pub(super) fn line(&self, line: String) {
        // Threads that ask at the same moment may overshoot the bound by their number; no matter.
        if self.waiting.load(Ordering::Relaxed) >= WAITING {
            self.lost.fetch_add(1, Ordering::Relaxed);
            return;
        }
        self.waiting.fetch_add(1, Ordering::Relaxed);
        if self.sender.send(Message::Line(line)).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
        // The common case reads only; the exchange happens once after an overflow.
        if self.lost.load(Ordering::Relaxed) > 0 {
            let lost = self.lost.swap(0, Ordering::Relaxed);
            tracing::error!(
                lost,
                "access log lines were lost, because they could not be written fast enough"
            );
        }
    }

    /// Waits until what was handed over is written, but not longer than [`PATIENCE`].
    pub(super) fn flush(&self) {
        let (done, written) = channel();
        if self.sender.send(Message::Flush(done)).is_ok() && written.recv_timeout(PATIENCE).is_err() {
            tracing::error!("the end of the access log could not be written in time");
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.flush();
    }
}

fn run(messages: &Receiver<Message>, waiting: &AtomicUsize, mut target: Box<dyn Write + Send>) {
    let mut batch = Vec::with_capacity(BATCH);
    let mut broken = false;
    while let Ok(first) = messages.recv() {
        let mut flushed = None;
        let mut next = Ok(first);
        loop {
            match next {
                Ok(Message::Line(line)) => {
                    waiting.fetch_sub(1, Ordering::Relaxed);
                    batch.extend_from_slice(line.as_bytes());
                    batch.push(b'\n');
                }
                Ok(Message::Flush(done)) => flushed = Some(done),
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => break,
            }
            if flushed.is_some() || batch.len() >= BATCH {
                break;
            }
            next = messages.try_recv();
        }
        // Whole lines in one write, so that nobody else's land among them.
        let outcome = target.write_all(&batch).and_then(|()| target.flush());
        match &outcome {
            Err(error) if !broken => tracing::error!(%error, "the access log cannot be written"),
            Ok(()) if broken => tracing::info!("the access log can be written again"),
            _ => {}
        }
        broken = outcome.is_err();
        batch.clear();
        if let Some(done) = flushed {
            // Nobody may be waiting any more.
            done.send(()).ok();
        }
    }
}
