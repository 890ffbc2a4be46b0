//! The process's log: what the gateway has to say about itself. One event is one line, on standard
//! error or at the end of a file; requests are logged by [`crate::telemetry::access`].

use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::filter::{EnvFilter, FilterExt, LevelFilter, filter_fn};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::registry::Registry;
use tracing_subscriber::util::SubscriberInitExt;

/// `[log]` of the configuration, for the process's log and the access log alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogSettings {
    pub format: LogFormat,
    /// Both logs are appended to it. `None`: the process's log goes to standard error and the
    /// access log to standard output.
    pub file: Option<PathBuf>,
    /// What the process's log shows, in the syntax of `tracing_subscriber`'s `EnvFilter`. The access
    /// log is always whole.
    pub level: String,
}

/// How a line is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Text on a terminal, JSON everywhere else.
    Auto,
    Json,
    Text,
}

impl LogFormat {
    /// Whether lines are JSON where this format was asked for.
    pub(crate) fn is_json(self, on_terminal: bool) -> bool {
        match self {
            Self::Auto => !on_terminal,
            Self::Json => true,
            Self::Text => false,
        }
    }
}

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    #[error("the log level cannot be understood: {0}")]
    Level(#[from] LevelFault),
    #[error("the log file {path} cannot be opened for appending: {source}", path = path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("logging was set up already")]
    Twice,
    #[error("the thread that writes the access log could not be started: {0}")]
    Thread(io::Error),
}

/// A filter that is not one, in words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct LevelFault(String);

/// Sets up the process's log, once.
///
/// # Errors
/// A level that is none, a file that cannot be opened, or a second call.
pub fn init(settings: &LogSettings) -> Result<(), LogError> {
    let terminal = settings.file.is_none() && io::stderr().is_terminal();
    let json = settings.format.is_json(terminal);
    let twice = |_| LogError::Twice;
    match &settings.file {
        Some(path) => {
            let file = Mutex::new(open(path)?);
            subscriber(&settings.level, json, false, file)?.try_init().map_err(twice)
        }
        None => subscriber(&settings.level, json, terminal, io::stderr)?.try_init().map_err(twice),
    }
}

/// Opens a log file so that every write lands whole at its end, whoever else writes to it.
pub(crate) fn open(path: &Path) -> Result<File, LogError> {
    OpenOptions::new()
        .append(true)
        .create(true)
        .open(path)
        .map_err(|source| LogError::File { path: path.to_owned(), source })
}

/// Whether `level` can be used, for the configuration's check.
///
/// # Errors
/// Words on what is wrong with it.
pub fn check_level(level: &str) -> Result<(), LevelFault> {
    filter(level).map(drop)
}

fn filter(level: &str) -> Result<EnvFilter, LevelFault> {
    // EnvFilter takes a misspelt level for a module's name and then shows nothing at all.
    for directive in level.split(',').map(str::trim) {
        let level = !directive.is_empty() && directive.parse::<LevelFilter>().is_ok();
        if !level && !directive.contains(['=', '[']) {
            return Err(LevelFault(format!("\"{directive}\" is no level")));
        }
    }
    EnvFilter::builder().parse(level).map_err(|error| LevelFault(error.to_string()))
}

fn subscriber<W>(
    level: &str,
    json: bool,
    colour: bool,
    writer: W,
) -> Result<impl Subscriber + Send + Sync + use<W>, LevelFault>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let lines = tracing_subscriber::fmt::layer::<Registry>().with_writer(writer);
    let lines = if json { lines.json().flatten_event(true).boxed() } else { lines.with_ansi(colour).boxed() };
    let shown = filter(level)?.and(filter_fn(keeps_secrets));
    Ok(tracing_subscriber::registry().with(lines.with_filter(shown)))
}

/// What no filter of the operator's can turn on: `aws-sigv4` prints whole requests when tracing, with
/// their headers, and the SDK's orchestrator whole requests, identities and answers.
pub fn keeps_secrets(event: &Metadata<'_>) -> bool {
    let target = event.target();
    if target.starts_with("aws_sigv4") {
        *event.level() <= Level::INFO
    } else if target.starts_with("aws_") {
        *event.level() <= Level::DEBUG
    } else {
        true
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn captured(level: &str, json: bool, say: impl FnOnce()) -> String {
        let (file, log) = {
            let file = tempfile::NamedTempFile::new().unwrap();
            let log = open(file.path()).unwrap();
            (file, Arc::new(log))
        };
        tracing::subscriber::with_default(subscriber(level, json, false, log).unwrap(), say);
        std::fs::read_to_string(file.path()).unwrap()
    }

    #[test]
    fn an_event_is_one_json_object_on_one_line() {
        let text = captured("info", true, || {
            tracing::info!(issuer = "okta", "keys\nloaded");
            tracing::debug!("not shown");
        });
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 1, "{text}");
        let event: serde_json::Value = serde_json::from_str(lines[0]).unwrap();
        assert_eq!(event["message"], "keys\nloaded");
        assert_eq!(event["issuer"], "okta");
        assert_eq!(event["level"], "INFO");
    }

    #[test]
    fn text_has_neither_colour_nor_escape_sequences_of_others() {
        let text = captured("info", false, || tracing::info!(agent = "\u{1b}[31mred", "hello"));
        assert!(text.contains("hello"), "{text}");
        assert!(!text.contains('\u{1b}'), "{text}");
    }

    #[test]
    fn no_level_shows_the_requests_that_the_signer_traces() {
        let say = || {
            tracing::trace!(target: "aws_sigv4::http_request::sign", "authorization");
            tracing::debug!(target: "aws_sigv4::http_request::sign", "authorization");
            tracing::trace!(target: "aws_smithy_runtime::client", "authorization");
            tracing::trace!(target: "hyper", "shown");
        };
        for level in ["trace", "trace,aws_sigv4::http_request::sign=trace,aws_smithy_runtime=trace"] {
            let text = captured(level, true, say);
            assert!(!text.contains("authorization"), "{text}");
            assert!(text.contains("shown"), "{text}");
        }
    }

    #[test]
    fn a_misspelt_level_is_not_taken_for_a_module() {
        for (level, good) in [
            ("info", true),
            ("warn,bedrock_gateway=debug", true),
            ("bedrock_gateway[request]=debug", true),
            ("inof", false),
            ("info,", false),
            ("a=b", false),
            ("", false),
        ] {
            assert_eq!(check_level(level).is_ok(), good, "{level}");
        }
    }
}
