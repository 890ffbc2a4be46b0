//! The process log: lines about the gateway itself. One event is one line, on standard error or at the end of a
//! file. [`crate::telemetry::access`] logs the requests.

use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};

use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::filter::{EnvFilter, LevelFilter, filter_fn};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::registry::Registry;
use tracing_subscriber::util::SubscriberInitExt;

use crate::telemetry::log::limit::{Limit, is_within};

mod limit;

/// Libraries of which only errors are shown. The first five speak with peers: any client can make them log, for
/// example a line for every frame. `aws_config` prints a whole answer of a metadata service, in debug form, at every
/// attempt to fetch credentials; the gateway logs the same failure as one sentence.
const QUIET: [&str; 6] = ["h2", "hyper", "hyper_util", "rustls", "tokio_rustls", "aws_config"];

/// `[log]` of the configuration, for the process log and the access log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogSettings {
    pub format: LogFormat,
    /// The file that both logs are appended to. `None`: the process log goes to standard error, the access log to
    /// standard output.
    pub file: Option<PathBuf>,
    /// The filter of the process log, in the syntax of `tracing_subscriber`'s `EnvFilter`. It does not apply to the
    /// access log.
    pub level: String,
}

/// The format of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Text on a terminal, JSON everywhere else.
    Auto,
    Json,
    Text,
}

impl LogFormat {
    /// Whether this format writes JSON.
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
    #[error("[log] level is invalid: {0}")]
    Level(#[from] LevelFault),
    #[error("cannot open the log file {path} for appending: {source}", path = path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("the process log is already set up")]
    Twice,
    #[error("cannot start the thread that writes the access log: {0}")]
    Thread(io::Error),
}

/// Why a filter is invalid, in words for the operator.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct LevelFault(String);

/// Sets up the process log, once.
///
/// # Errors
/// When the level is invalid, the file cannot be opened, or the log is already set up.
pub fn init(settings: &LogSettings) -> Result<(), LogError> {
    let terminal = settings.file.is_none() && io::stderr().is_terminal();
    let json = settings.format.is_json(terminal);
    let twice = |_| LogError::Twice;
    match &settings.file {
        Some(path) => {
            #[expect(clippy::disallowed_types, reason = "tracing-subscriber writes through no other")]
            let file = std::sync::Mutex::new(open(path)?);
            subscriber(&settings.level, json, false, Limit::new(), file)?.try_init().map_err(twice)
        }
        None => {
            subscriber(&settings.level, json, terminal, Limit::new(), io::stderr)?.try_init().map_err(twice)
        }
    }
}

/// Opens a log file for appending: each write lands whole at its end, even if other processes write to it.
pub(crate) fn open(path: &Path) -> Result<File, LogError> {
    OpenOptions::new()
        .append(true)
        .create(true)
        .open(path)
        .map_err(|source| LogError::File { path: path.to_owned(), source })
}

/// Checks `level`, a filter of the configuration.
///
/// # Errors
/// Says in words what is wrong with it.
pub fn check_level(level: &str) -> Result<(), LevelFault> {
    filter(level).map(drop)
}

fn filter(level: &str) -> Result<EnvFilter, LevelFault> {
    // EnvFilter reads a misspelt level as a module's name, and then shows nothing at all.
    for directive in level.split(',').map(str::trim) {
        let level = !directive.is_empty() && directive.parse::<LevelFilter>().is_ok();
        if !level && !directive.contains(['=', '[']) {
            return Err(LevelFault(format!(
                "\"{directive}\" is not a level; use error, warn, info, debug, trace or off"
            )));
        }
    }
    EnvFilter::builder().parse(level).map_err(|error| LevelFault(error.to_string()))
}

fn subscriber<W>(
    level: &str,
    json: bool,
    colour: bool,
    limit: Limit,
    writer: W,
) -> Result<impl Subscriber + Send + Sync + use<W>, LevelFault>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let lines = tracing_subscriber::fmt::layer::<Registry>().with_writer(writer);
    let lines = if json {
        lines.json().flatten_event(true).map_event_format(|format| limit.reporting(format)).boxed()
    } else {
        lines.with_ansi(colour).map_event_format(|format| limit.reporting(format)).boxed()
    };
    // These are filters of the whole subscriber, not of one layer. A layer's filter that drops a single event also
    // loses the next one of the same thread, unless every callsite asks the filter each time.
    Ok(tracing_subscriber::registry()
        .with(lines)
        .with(limit)
        .with(filter_fn(keeps_secrets))
        .with(filter_fn(quiet_libraries(level)))
        .with(filter(level)?))
}

/// Shows only errors of the [`QUIET`] libraries, except of one that the operator's filter names.
fn quiet_libraries(level: &str) -> impl Fn(&Metadata<'_>) -> bool + use<> {
    let is_quiet = |target: &str| QUIET.iter().any(|library| is_within(target, library));
    let named: Vec<String> = level
        .split(',')
        .filter_map(|directive| directive.trim().split(['[', '=']).next())
        .filter(|target| is_quiet(target))
        .map(str::to_owned)
        .collect();
    move |event| {
        let target = event.target();
        *event.level() == Level::ERROR
            || !is_quiet(target)
            // EnvFilter also compares only the beginning.
            || named.iter().any(|named| target.starts_with(named))
    }
}

/// Drops events that would show secrets, at every level that the operator sets: `aws-sigv4` traces whole requests
/// with their headers, and the SDK's orchestrator traces whole requests, identities and answers.
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
    use std::sync::atomic::{AtomicU64, Ordering};

    use tracing_core::callsite::{DefaultCallsite, Identifier};
    use tracing_core::field::FieldSet;
    use tracing_core::{Kind, Metadata};

    use super::*;

    fn captured(level: &str, json: bool, say: impl FnOnce()) -> String {
        captured_by(Limit::new(), level, json, say)
    }

    fn captured_by(limit: Limit, level: &str, json: bool, say: impl FnOnce()) -> String {
        let (file, log) = {
            let file = tempfile::NamedTempFile::new().unwrap();
            let log = open(file.path()).unwrap();
            (file, Arc::new(log))
        };
        tracing::subscriber::with_default(subscriber(level, json, false, limit, log).unwrap(), say);
        std::fs::read_to_string(file.path()).unwrap()
    }

    /// Logs as the HTTP library does when a peer acknowledges PINGs that were never sent.
    fn flood() {
        for _ in 0..100_000 {
            tracing::warn!(target: "h2::proto::ping_pong", "recv PING ack that we never sent");
        }
    }

    #[test]
    fn a_client_cannot_make_libraries_that_speak_with_peers_log() {
        for level in ["info", "trace", "trace,bedrock_gateway=info", "warn,hyper_of_others=debug"] {
            let text = captured(level, true, || {
                flood();
                tracing::warn!(target: "rustls::conn", "by a peer");
                tracing::error!(target: "h2::proto", "a fault");
                tracing::warn!(target: "h2o", "of another library");
                tracing::warn!(target: "aws_config::meta", "an answer in debug form");
            });
            assert!(!text.contains("never sent") && !text.contains("by a peer"), "{level}");
            assert!(!text.contains("debug form"), "{level}: {text}");
            assert!(text.contains("a fault") && text.contains("of another library"), "{level}: {text}");
        }
        let text = captured("off", true, || tracing::error!(target: "h2::proto", "a fault"));
        assert!(text.is_empty(), "{text}");
    }

    #[test]
    fn an_operator_who_names_a_library_sees_some_lines_of_it_and_their_number() {
        for (level, json) in
            [("info,h2=warn", true), ("info,h2::proto=trace", false), ("error,h2[x]=warn,h2=warn", true)]
        {
            let hand = Arc::new(AtomicU64::new(0));
            let clock = Arc::clone(&hand);
            let text = captured_by(Limit::by(move || clock.load(Ordering::Relaxed)), level, json, || {
                flood();
                hand.store(1, Ordering::Relaxed);
                tracing::error!(target: "tokio_rustls", "the next line");
            });
            assert!(text.len() < 64 * 1024, "{level}: {} bytes", text.len());
            assert_eq!(text.matches("never sent").count(), 10, "{level}");
            let report = text.lines().find(|line| line.contains("left out")).expect("a line says so");
            for part in ["WARN", "bedrock_gateway::telemetry::log", "h2::proto::ping_pong", "99990"] {
                assert!(report.contains(part), "{level}: {report}");
            }
        }
    }

    #[test]
    fn an_event_of_the_gateway_says_how_many_lines_were_left_out() {
        let hand = Arc::new(AtomicU64::new(0));
        let clock = Arc::clone(&hand);
        let text =
            captured_by(Limit::by(move || clock.load(Ordering::Relaxed)), "error,h2=warn", true, || {
                flood();
                hand.store(1, Ordering::Relaxed);
                tracing::error!("the next line");
                tracing::error!("one more");
            });
        let events: Vec<serde_json::Value> =
            text.lines().skip(10).map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(events.len(), 3);
        assert_eq!(events[0]["level"], "WARN");
        assert_eq!(events[0]["target"], "bedrock_gateway::telemetry::log::limit");
        assert_eq!(events[0]["library"], "h2::proto::ping_pong");
        assert_eq!(events[0]["lines"], 99_990);
        assert_eq!(events[1]["message"], "the next line");
    }

    #[test]
    fn every_other_library_has_a_limit_too_and_the_gateway_none() {
        let text = captured("info", true, || {
            for _ in 0..1_000 {
                tracing::warn!(target: "aws_runtime", "of a library");
                tracing::info!("of the gateway");
            }
        });
        assert_eq!(text.matches("of the gateway").count(), 1_000);
        // A second may pass while they are written.
        assert!((10..200).contains(&text.matches("of a library").count()));
    }

    static WARNING: Metadata<'static> = metadata("h2::proto::ping_pong", &WARNED);
    static WARNED: DefaultCallsite = DefaultCallsite::new(&WARNING);
    static OWN_WARNING: Metadata<'static> = metadata("bedrock_gateway::server", &OWN_WARNED);
    static OWN_WARNED: DefaultCallsite = DefaultCallsite::new(&OWN_WARNING);

    const fn metadata(target: &'static str, callsite: &'static DefaultCallsite) -> Metadata<'static> {
        let fields = FieldSet::new(&["message"], Identifier(callsite));
        Metadata::new("event", target, Level::WARN, None, None, None, fields, Kind::EVENT)
    }

    #[test]
    fn an_event_that_is_not_shown_costs_one_look_at_its_callsite() {
        let shown = |level| subscriber(level, true, false, Limit::new(), io::sink).unwrap();
        assert!(shown("info").register_callsite(&WARNING).is_never());
        assert!(shown("info,h2=warn").register_callsite(&WARNING).is_always());
        assert!(shown("info").register_callsite(&OWN_WARNING).is_always());
        assert!(shown("error").register_callsite(&OWN_WARNING).is_never());
        assert_eq!(shown("info").max_level_hint(), Some(LevelFilter::INFO));
        assert_eq!(shown("info,h2=trace").max_level_hint(), Some(LevelFilter::TRACE));
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
    fn text_has_neither_colour_nor_escape_sequences_of_a_caller() {
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
            tracing::trace!(target: "tower", "shown");
        };
        for level in ["trace", "trace,aws_sigv4::http_request::sign=trace,aws_smithy_runtime=trace"] {
            let text = captured(level, true, say);
            assert!(!text.contains("authorization"), "{text}");
            assert!(text.contains("shown"), "{text}");
        }
    }

    #[test]
    fn a_misspelt_level_is_rejected_rather_than_read_as_a_module() {
        for (level, valid) in [
            ("info", true),
            ("warn,bedrock_gateway=debug", true),
            ("bedrock_gateway[request]=debug", true),
            ("inof", false),
            ("info,", false),
            ("a=b", false),
            ("", false),
        ] {
            assert_eq!(check_level(level).is_ok(), valid, "{level}");
        }
    }
}
