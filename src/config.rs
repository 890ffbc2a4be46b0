//! The configuration: reads a file, checks it whole, and gives each stage its own settings. Mistakes that would fail
//! requests later are rejected here. Nothing here uses the network, credentials, or any file except the configuration
//! and the deny file: `preflight` opens the files that a configuration names.

mod address;
mod aws;
mod deny;
mod diagnostics;
mod expand;
mod files;
mod issuers;
mod limits;
mod listen;
mod pitfalls;
mod plain_text;
mod raw;
mod regions;
mod role_arn;
mod role_names;
mod roles;
mod schema;
mod session_names;
mod shape;
mod units;
mod values;

use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

pub use aws::{Aws, EndpointUrls};
pub use deny::{deny_file, read_deny_file};
pub use diagnostics::{ConfigError, Diagnostic, Severity, SourceLine, counted};
pub use expand::Environment;
pub use files::{NamedFile, NamedFiles};
pub use limits::Limits;
pub use listen::{Listen, Tls};
pub use regions::partition;
pub use schema::{json_schema, schema_document};

use crate::auth;
use crate::identity::Mapping;
use crate::sessions;
use crate::spelling::similar;
use crate::telemetry::log::{LogFormat, LogSettings, check_level};
use diagnostics::Diagnostics;

/// Limits of a session's lifetime at STS (API reference, `AssumeRole`, `DurationSeconds`).
// Assumption A12.
const SHORTEST_SESSION: Duration = Duration::from_mins(15);
const LONGEST_SESSION: Duration = Duration::from_hours(12);

/// One hour: the longest that STS grants a gateway whose own credentials are those of a role.
const SESSION: Duration = Duration::from_hours(1);
/// Long enough that callers do not notice when STS is unavailable for a few minutes.
const REFRESH_BEFORE: Duration = Duration::from_mins(10);
/// The cache then takes some hundred megabytes at most.
const CAPACITY: u64 = 100_000;
/// Well below the limit of STS per account, which other programs share.
// Assumption A13.
const MAX_STS_RATE: u32 = 100;
/// Enough for one caller on several projects, but not for tags that change with every request.
const PER_NAME: usize = 8;

/// A valid configuration.
#[derive(Debug)]
pub struct Config {
    pub listen: Listen,
    pub aws: Aws,
    pub limits: Limits,
    pub sessions: sessions::SessionSettings,
    /// In the order of the file, which is also that of `mapping.issuers`.
    pub issuers: Vec<auth::issuer::IssuerSettings>,
    /// Its generation is 1; the reloader counts up.
    pub mapping: Mapping,
    pub log: LogSettings,
    /// Whether the access log has the messages of Bedrock's errors.
    pub upstream_messages: bool,
    /// The deny file.
    pub revoke: Option<PathBuf>,
    /// The files that it names. [`Config::parse`] opens none of them.
    pub files: NamedFiles,
    /// Values that are valid but probably a mistake.
    pub warnings: Vec<Diagnostic>,
}

impl Config {
    /// Parses a configuration. Messages call it `file_name`.
    ///
    /// # Errors
    /// All problems at once, by line. If the text is not TOML, only where it is not.
    pub fn parse(text: &str, file_name: &str, environment: &Environment<'_>) -> Result<Self, ConfigError> {
        let mut diagnostics = Diagnostics::new(file_name, text);
        let file = shape::read::<raw::File>(text, &mut diagnostics, |tree, diagnostics| {
            expand::expand(tree, environment, diagnostics);
        });
        let Some(file) = file else {
            return Err(diagnostics.conclude().map_or_else(|problems| problems, ConfigError));
        };
        let listen = listen::listen(&file.listen, &mut diagnostics);
        let max_body = file.listen.get_ref().max_body.as_ref();
        let limits = limits::limits(&file.limits, (&listen, max_body), &mut diagnostics);
        let aws = aws::aws(&file.aws, &mut diagnostics);
        let default_duration =
            roles::session_duration(file.sessions.duration.as_ref(), &mut diagnostics).unwrap_or(SESSION);
        let sessions = sessions(&file.sessions, default_duration, &mut diagnostics);
        let issuers = issuers::issuers(&file.issuer, &mut diagnostics);
        let roles = roles::roles(&file.role, &issuers, &aws, &mut diagnostics);
        let no_role_tell = values::tell(file.no_role.tell.as_ref(), &mut diagnostics);
        limits::check_roles(&file.role, &limits, &mut diagnostics);
        let log = log(&file.log, &mut diagnostics);
        let revoke = file.revoke.as_ref().map(|revoke| values::path(&revoke.file, &mut diagnostics));
        pitfalls::check(&issuers, &roles, &mut diagnostics);
        let files = files::named(&file, &issuers, &diagnostics);

        let warnings = diagnostics.conclude()?;
        let (issuers, mappings): (Vec<_>, Vec<_>) =
            issuers.into_iter().map(|issuer| (issuer.settings, issuer.mapping)).unzip();
        let mapping = Mapping {
            // Every issuer has a mapping, otherwise a problem was reported.
            issuers: mappings.into_iter().flatten().collect(),
            roles: roles.into_iter().map(|placed| Arc::new(placed.role)).collect(),
            no_role_tell,
            default_duration,
            generation: 1,
        };
        let upstream_messages = file.log.upstream_messages.unwrap_or(true);
        Ok(Self {
            listen,
            aws,
            limits,
            sessions,
            issuers,
            mapping,
            log,
            upstream_messages,
            revoke,
            files,
            warnings,
        })
    }

    /// The names of the issuers, by which entries of the deny file select callers.
    pub fn issuer_names(&self) -> Vec<Arc<str>> {
        self.issuers.iter().map(|issuer| Arc::clone(&issuer.name)).collect()
    }
}

/// The configuration file that commands read by default, from the working directory.
pub const DEFAULT_PATH: &str = "config/gateway.toml";
/// The path that means standard input.
pub const STANDARD_INPUT: &str = "-";

/// A configuration file and its content when it was read.
#[derive(Debug, Clone)]
pub struct File {
    pub path: PathBuf,
    pub content: Vec<u8>,
}

impl File {
    /// Reads the file, or standard input if the path is [`STANDARD_INPUT`]; messages then call it `<stdin>`.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let read = if path == Path::new(STANDARD_INPUT) {
            let mut content = Vec::new();
            std::io::stdin().lock().read_to_end(&mut content).map(|_| (PathBuf::from("<stdin>"), content))
        } else {
            std::fs::read(path).map(|content| (path.to_owned(), content))
        };
        match read {
            Ok((path, content)) => Ok(Self { path, content }),
            Err(error) => {
                let (cause, help) = unreadable(path, &error);
                Err(ConfigError::of_file(
                    path,
                    format!("the configuration file cannot be read: {cause}"),
                    &help,
                ))
            }
        }
    }

    /// Parses the content, with the process's environment.
    ///
    /// # Errors
    /// The same as for [`Config::parse`], or that the file is not UTF-8.
    pub fn parse(&self) -> Result<Config, ConfigError> {
        let text = std::str::from_utf8(&self.content).map_err(|_| {
            ConfigError::of_file(&self.path, "the file is not UTF-8".to_owned(), "save it as UTF-8")
        })?;
        let name = self.path.display().to_string();
        Config::parse(text, &name, &|variable| std::env::var(variable).ok())
    }
}

/// The cause for which the configuration file cannot be read, and the next step.
fn unreadable(path: &Path, error: &std::io::Error) -> (String, String) {
    let help = match error.kind() {
        ErrorKind::NotFound if path == Path::new(DEFAULT_PATH) => {
            "this is the default path, from the working directory; pass -c FILE for another".to_owned()
        }
        ErrorKind::IsADirectory => {
            format!("pass a file, for example -c {}", path.join("gateway.toml").display())
        }
        _ => files::remedy(error.kind()).to_owned(),
    };
    (files::cause(error), help)
}

/// Loads the configuration file at `path`, with the process's environment.
///
/// # Errors
/// The same as for [`File::read`] and [`File::parse`].
pub fn load(path: &Path) -> Result<Config, ConfigError> {
    File::read(path)?.parse()
}

fn sessions(
    raw: &raw::Sessions,
    duration: Duration,
    diagnostics: &mut Diagnostics<'_>,
) -> sessions::SessionSettings {
    let refresh_before = diagnostics.duration(raw.refresh_before.as_ref(), Duration::from_secs(1)..=duration);
    sessions::SessionSettings {
        refresh_before: refresh_before.unwrap_or(REFRESH_BEFORE),
        capacity: at_least_one(raw.capacity.as_ref(), diagnostics).unwrap_or(CAPACITY),
        max_sts_rate: at_least_one(raw.max_sts_rate.as_ref(), diagnostics).unwrap_or(MAX_STS_RATE),
        per_name: at_least_one(raw.per_name.as_ref(), diagnostics).unwrap_or(PER_NAME),
    }
}

fn at_least_one<N: Copy + Default + PartialEq>(
    number: Option<&raw::Spanned<N>>,
    diagnostics: &mut Diagnostics<'_>,
) -> Option<N> {
    let number = number?;
    if *number.get_ref() == N::default() {
        diagnostics.error(number.span(), "it is 0, so no caller could get a session", "set at least 1");
    }
    Some(*number.get_ref())
}

/// The level of a word that other programs use for it.
fn likely_level(word: &str) -> &'static str {
    match word.to_lowercase().as_str() {
        "verbose" | "fine" | "all" => "debug",
        "warning" => "warn",
        "fatal" | "critical" | "err" => "error",
        "none" => "off",
        other => similar(other, ["error", "warn", "info", "debug", "trace", "off"]).unwrap_or("info"),
    }
}

fn log(raw: &raw::Log, diagnostics: &mut Diagnostics<'_>) -> LogSettings {
    if let Some(level) = &raw.level
        && let Err(message) = check_level(level.get_ref())
    {
        let likely = likely_level(level.get_ref());
        let help = format!(
            "write, for example, level = \"{likely}\", or \"info,bedrock_gateway=debug\" for another level of one module"
        );
        diagnostics.error(level.span(), message.to_string(), help);
    }
    LogSettings {
        format: match raw.format {
            raw::LogFormat::Auto => LogFormat::Auto,
            raw::LogFormat::Json => LogFormat::Json,
            raw::LogFormat::Text => LogFormat::Text,
        },
        file: raw.file.as_ref().map(|file| values::path(file, diagnostics)),
        level: raw.level.as_ref().map_or_else(|| "info".to_owned(), |level| level.get_ref().clone()),
    }
}

#[cfg(test)]
mod tests;
