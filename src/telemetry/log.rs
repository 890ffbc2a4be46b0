//! The process log: lines about the gateway itself. One event is one line, on standard error or at the end of a
//! file. [`crate::telemetry::access`] logs the requests.

use std::io::{self, IsTerminal};
use std::path::PathBuf;

use tracing::Subscriber;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::registry::Registry;
use tracing_subscriber::util::SubscriberInitExt;

use crate::style;
use crate::telemetry::access::one_line::Stamp;
use crate::telemetry::log::limit::Limit;
use crate::telemetry::log::process_log::ProcessLog;
use crate::telemetry::log::text::Text;

mod level;
mod limit;
pub mod output;
pub mod process_log;
mod text;

pub use level::{LevelFault, check_level, keeps_secrets};

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
    #[error("the environment variable RUST_LOG, which replaces [log] level, is invalid: {0}")]
    Variable(LevelFault),
    #[error("cannot open the log file {path} for appending: {source}", path = path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("the process log is already set up")]
    Twice,
    #[error("cannot start the thread that writes the access log: {0}")]
    Thread(io::Error),
}

/// Sets up the process log, once. `RUST_LOG` in the environment replaces the level of the configuration.
/// Returns the log if it goes to a file.
///
/// # Errors
/// When the level is invalid, the file cannot be opened, or the log is already set up.
pub fn init(settings: &LogSettings) -> Result<Option<ProcessLog>, LogError> {
    let variable = level::of_environment(std::env::var(level::VARIABLE)).map_err(LogError::Variable)?;
    let shown = variable.as_deref().unwrap_or(&settings.level);
    let terminal = settings.file.is_none() && io::stderr().is_terminal();
    let form = if settings.format.is_json(terminal) {
        Form::Json
    } else {
        let colour = settings.file.is_none() && style::stderr_has_colour();
        Form::Text(Text { stamp: Stamp::on(terminal), colour })
    };
    let twice = |_| LogError::Twice;
    let file = settings.file.as_deref().map(ProcessLog::open).transpose()?;
    match &file {
        Some(file) => subscriber(shown, form, Limit::new(), file.clone())?.try_init().map_err(twice)?,
        None => subscriber(shown, form, Limit::new(), io::stderr)?.try_init().map_err(twice)?,
    }
    if let Some(level) = variable {
        tracing::info!(level, "RUST_LOG replaces [log] level");
    }
    Ok(file)
}

/// The form of a line.
#[derive(Debug, Clone, Copy)]
enum Form {
    Json,
    Text(Text),
}

fn subscriber<W>(
    level: &str,
    form: Form,
    limit: Limit,
    writer: W,
) -> Result<impl Subscriber + Send + Sync + use<W>, LevelFault>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let lines = tracing_subscriber::fmt::layer::<Registry>().with_writer(writer);
    let lines = match form {
        Form::Json => {
            lines.json().flatten_event(true).map_event_format(|format| limit.reporting(format)).boxed()
        }
        Form::Text(text) => lines.event_format(limit.reporting(text)).boxed(),
    };
    // These are filters of the whole subscriber, not of one layer. A layer's filter that drops a single event also
    // loses the next one of the same thread, unless every callsite asks the filter each time.
    Ok(tracing_subscriber::registry()
        .with(lines)
        .with(limit)
        .with(filter_fn(keeps_secrets))
        .with(filter_fn(level::quiet_libraries(level)))
        .with(level::filter(level)?))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use tracing_core::callsite::{DefaultCallsite, Identifier};
    use tracing_core::field::FieldSet;
    use tracing_core::{Kind, Metadata};

    use tracing::Level;
    use tracing_subscriber::filter::LevelFilter;

    use super::*;

    const TEXT: Text = Text { stamp: Stamp::Time, colour: false };

    fn captured(level: &str, json: bool, say: impl FnOnce()) -> String {
        captured_by(Limit::new(), level, json, say)
    }

    fn captured_by(limit: Limit, level: &str, json: bool, say: impl FnOnce()) -> String {
        let (file, log) = {
            let file = tempfile::NamedTempFile::new().unwrap();
            let log = ProcessLog::open(file.path()).unwrap();
            (file, log)
        };
        let form = if json { Form::Json } else { Form::Text(TEXT) };
        tracing::subscriber::with_default(subscriber(level, form, limit, log).unwrap(), say);
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
            for part in ["WARN", "h2::proto::ping_pong", "99990"] {
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
        let shown = |level| subscriber(level, Form::Json, Limit::new(), io::sink).unwrap();
        assert!(shown("info").register_callsite(&WARNING).is_never());
        assert!(shown("info,h2=warn").register_callsite(&WARNING).is_always());
        assert!(shown("info").register_callsite(&OWN_WARNING).is_always());
        assert!(shown("error").register_callsite(&OWN_WARNING).is_never());
        assert_eq!(shown("info").max_level_hint(), Some(LevelFilter::INFO));
        assert_eq!(shown("debug").max_level_hint(), Some(LevelFilter::DEBUG));
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
    fn text_has_the_message_first_and_nothing_that_a_terminal_acts_on() {
        let text = captured("info", false, || {
            tracing::info!(agent = "\u{1b}[31mred", count = 2, left = None::<u64>, "hello\nworld");
            tracing::warn!(target: "tower", error = %io::Error::other("no \"way\""), "of a library");
        });
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 2, "{text}");
        let (time, rest) = lines[0].split_once(' ').unwrap();
        assert!(time.len() == "11:49:19Z".len() && time.ends_with('Z'), "{text}");
        assert_eq!(rest, r"INFO  hello\nworld agent=\u{1b}[31mred count=2");
        assert!(lines[1].ends_with(r#" WARN  tower: of a library error="no "way"""#), "{text}");
    }

    #[test]
    fn colour_is_around_the_parts_and_not_in_them() {
        let log = Arc::new(tempfile::tempfile().unwrap());
        let form = Form::Text(Text { colour: true, ..TEXT });
        let shown = subscriber("info", form, Limit::new(), Arc::clone(&log)).unwrap();
        tracing::subscriber::with_default(shown, || tracing::error!(issuer = "okta", "failed"));
        let mut text = String::new();
        io::Seek::rewind(&mut &*log).unwrap();
        io::Read::read_to_string(&mut &*log, &mut text).unwrap();
        assert!(text.contains("\u{1b}[31mERROR\u{1b}[0m failed "), "{text:?}");
        let plain = anstream::adapter::strip_str(&text).to_string();
        assert!(plain.ends_with(" ERROR failed issuer=okta\n"), "{plain}");
    }

    #[test]
    fn debug_alone_shows_the_gateways_lines_and_no_librarys() {
        let text = captured("debug", true, || {
            tracing::debug!("of the gateway");
            tracing::debug!(target: "tower", "of a library");
            tracing::info!(target: "tower", "important");
        });
        assert!(text.contains("of the gateway") && text.contains("important"), "{text}");
        assert!(!text.contains("of a library"), "{text}");
        let named = captured("debug,tower=debug", true, || tracing::debug!(target: "tower", "of a library"));
        assert!(named.contains("of a library"), "{named}");
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
}
