//! Counts of Bedrock's activity, which a test can wait for.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::watch;

#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Counts {
    /// Frames that all streams have sent.
    pub(super) frames: usize,
    /// Streams that have begun and not ended.
    pub(super) streams: usize,
    /// Calls whose client left before the end of the answer.
    pub(super) hangups: usize,
}

#[derive(Debug, Default)]
pub(super) struct Progress {
    counts: watch::Sender<Counts>,
    /// Whether Bedrock itself is closing connections.
    stopping: AtomicBool,
}

impl Progress {
    pub(super) fn counts(&self) -> Counts {
        *self.counts.borrow()
    }

    pub(super) fn set_stopping(&self, stopping: bool) {
        self.stopping.store(stopping, Ordering::SeqCst);
    }

    fn frame_sent(&self) {
        self.counts.send_modify(|counts| counts.frames += 1);
    }

    /// Wakes waiting tests after a change that is not counted here.
    pub(super) fn announce(&self) {
        self.counts.send_modify(|_| {});
    }

    /// Waits until `holds` returns true. It is called again whenever a count changes.
    pub(super) async fn wait_until(&self, holds: impl Fn() -> bool) {
        let mut changes = self.counts.subscribe();
        while !holds() {
            changes.changed().await.expect("the sender is self");
        }
    }
}

/// A call in flight. If it is dropped before [`end`](Self::end), the client has left.
#[derive(Debug)]
pub(super) struct InFlight {
    progress: Arc<Progress>,
    streams: bool,
    ended: bool,
}

impl InFlight {
    pub(super) fn new(progress: Arc<Progress>) -> Self {
        Self { progress, streams: false, ended: false }
    }

    pub(super) fn begin_stream(&mut self) {
        self.streams = true;
        self.progress.counts.send_modify(|counts| counts.streams += 1);
    }

    pub(super) fn frame_sent(&self) {
        self.progress.frame_sent();
    }

    /// Marks the call as ended. A drop from now on does not count as a hangup.
    pub(super) fn end(&mut self) {
        self.ended = true;
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let hung_up = !self.ended && !self.progress.stopping.load(Ordering::SeqCst);
        self.progress.counts.send_modify(|counts| {
            counts.streams -= usize::from(self.streams);
            counts.hangups += usize::from(hung_up);
        });
    }
}
