//! Where a log's lines go: a file, which the gateway opens again when it was rotated or fails, or a standard stream.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use rustix::fs::OFlags;

use super::LogError;

/// The time between two attempts to write a log that cannot be written.
pub(crate) const RETRY: Duration = Duration::from_secs(1);

/// The permissions of a log file that the gateway creates: the lines name callers.
const MODE: u32 = 0o600;

/// Whether a log can be written, and how many of its lines are lost.
#[derive(Debug, Default)]
pub struct LogHealth {
    failure: Mutex<Option<String>>,
    lost: AtomicU64,
    /// The lost lines that the process log knows of.
    reported: AtomicU64,
    /// The operator has rotated the file.
    rotated: AtomicBool,
}

impl LogHealth {
    /// Why the last attempt to write failed. `None`: it succeeded.
    pub fn failure(&self) -> Option<String> {
        self.failure.lock().clone()
    }

    /// Lines that were lost since the start.
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Lines that were lost since the last call, once the log can be written.
    pub fn newly_lost(&self) -> u64 {
        if self.failure.lock().is_some() {
            return 0;
        }
        let lost = self.lost();
        lost.saturating_sub(self.reported.fetch_max(lost, Ordering::Relaxed))
    }

    pub(crate) fn lose(&self, lines: u64) {
        self.lost.fetch_add(lines, Ordering::Relaxed);
    }

    /// The next write opens the file again.
    pub(crate) fn rotate(&self) {
        self.rotated.store(true, Ordering::Relaxed);
    }
}

/// The output of one log.
pub(crate) struct Output {
    target: Box<dyn Write + Send>,
    /// The file; `None` for a standard stream.
    path: Option<PathBuf>,
    torn: Torn,
    health: Arc<LogHealth>,
}

/// Whether the last line of a file was written in part. Two logs in one file share it, and only one of them writes at
/// a time, so that neither adds to a torn line of the other.
pub(crate) type Torn = Arc<Mutex<bool>>;

impl Output {
    /// The end of a file. The other log in this file, if there is one, has the same `torn`.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub(crate) fn file(path: &Path, torn: Torn) -> Result<Self, LogError> {
        let file = open(path).map_err(|source| LogError::File { path: path.to_owned(), source })?;
        Ok(Self { path: Some(path.to_owned()), torn, ..Self::stream(Box::new(file)) })
    }

    pub(crate) fn stream(target: Box<dyn Write + Send>) -> Self {
        Self { target, path: None, torn: Torn::default(), health: Arc::default() }
    }

    pub(crate) fn health(&self) -> &Arc<LogHealth> {
        &self.health
    }

    /// Writes whole lines, and removes from `lines` those that were written. Those that remain are for the next call.
    /// A line that was written in part is lost. Returns whether the log can be written.
    pub(crate) fn write(&mut self, lines: &mut Vec<u8>) -> bool {
        let failing = self.health.failure.lock().is_some();
        let rotated = self.health.rotated.swap(false, Ordering::Relaxed);
        let opened = if failing || rotated { self.open_again() } else { Ok(()) };
        // If the file cannot be opened again, the lines still go to the one that is open.
        let written = self.append(lines);
        match opened.and(written) {
            Ok(()) => {
                if failing {
                    self.settle(None);
                }
                true
            }
            Err(error) => {
                self.settle(Some(&error));
                false
            }
        }
    }

    fn open_again(&mut self) -> io::Result<()> {
        if let Some(path) = &self.path {
            self.target = Box::new(open(path)?);
        }
        Ok(())
    }

    fn append(&mut self, lines: &mut Vec<u8>) -> io::Result<()> {
        let mut torn = self.torn.lock();
        if *torn {
            self.target.write_all(b"\n")?;
            *torn = false;
        }
        let mut written = 0;
        let outcome = loop {
            if written == lines.len() {
                break self.target.flush();
            }
            match self.target.write(&lines[written..]) {
                Ok(0) => break Err(ErrorKind::WriteZero.into()),
                Ok(bytes) => written += bytes,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => break Err(error),
            }
        };
        if written > 0 && written < lines.len() && lines[written - 1] != b'\n' {
            *torn = true;
            self.health.lose(1);
            let rest = lines[written..].iter().position(|byte| *byte == b'\n');
            written = rest.map_or(lines.len(), |rest| written + rest + 1);
        }
        lines.drain(..written);
        outcome
    }

    /// Notes the outcome. If the log is a file, the begin and the end of a failure are also on standard error: the file
    /// may be the process log's.
    fn settle(&self, error: Option<&io::Error>) {
        let place = self.path.as_ref().map(|path| path.display().to_string());
        let news = error.map(|error| {
            let place = place.as_deref().unwrap_or("the standard stream");
            format!("cannot write to {place}: {error}")
        });
        let mut failure = self.health.failure.lock();
        let line = match (&*failure, &news, place) {
            (None, Some(news), Some(_)) => format!("bedrock-gateway: log: {news}; retrying every second\n"),
            (Some(_), None, Some(path)) => format!("bedrock-gateway: log: {path} is written again\n"),
            _ => String::new(),
        };
        *failure = news;
        drop(failure);
        // Without a reader of standard error, `/readyz` and the metric still report it.
        let _no_reader = io::stderr().write_all(line.as_bytes()).is_err();
    }
}

/// Each write lands whole at the file's end, even if other processes write to it. The call never waits for another
/// program.
fn open(path: &Path) -> io::Result<File> {
    // Before the file is opened: the reader of a named pipe would notice that.
    if let Ok(found) = std::fs::metadata(path) {
        check_kind(&found)?;
    }
    let flag = OFlags::NONBLOCK.bits().cast_signed();
    let file = OpenOptions::new().append(true).create(true).mode(MODE).custom_flags(flag).open(path)?;
    // Another file may have taken its place in the meantime.
    check_kind(&file.metadata()?)?;
    // Only the opening must not wait. Without the flag, a busy terminal or pipe does not lose lines.
    rustix::fs::fcntl_setfl(&file, OFlags::APPEND)?;
    Ok(file)
}

fn check_kind(file: &Metadata) -> io::Result<()> {
    match unfit(file) {
        Some(kind) => {
            Err(io::Error::new(ErrorKind::InvalidInput, format!("it is {kind}, and not a regular file")))
        }
        None => Ok(()),
    }
}

/// The kind of a file that cannot be a log, for example `a named pipe`. `None`: a regular file, a character device, for
/// example `/dev/null` or a terminal, or a pipe that is a standard stream of this process, as `/dev/stdout` may be.
///
/// A named pipe is unfit because the gateway would wait for its reader, and because the lines that the reader has not
/// read are lost when it ends.
pub fn unfit(file: &Metadata) -> Option<&'static str> {
    let kind = file.file_type();
    if kind.is_file() || kind.is_char_device() {
        None
    } else if kind.is_fifo() {
        let is_stream = is_opened_as(file, io::stdout()) || is_opened_as(file, io::stderr());
        (!is_stream).then_some("a named pipe")
    } else if kind.is_dir() {
        Some("a folder")
    } else if kind.is_socket() {
        Some("a socket")
    } else {
        Some("a block device")
    }
}

/// Whether `stream` is this file.
fn is_opened_as(file: &Metadata, stream: impl AsFd) -> bool {
    let opened = stream.as_fd().try_clone_to_owned().and_then(|owned| File::from(owned).metadata());
    opened.is_ok_and(|opened| (opened.dev(), opened.ino()) == (file.dev(), file.ino()))
}

#[cfg(test)]
mod tests;
