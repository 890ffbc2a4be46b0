//! Which lines the process log shows: the operator's level, and what no level shows.

use std::env::VarError;

use tracing::{Level, Metadata};
use tracing_subscriber::filter::{EnvFilter, LevelFilter};

use super::limit::{OWN, is_within};
use crate::spelling::similar;

/// The environment variable that replaces `[log] level`. Most Rust programs read it.
pub(super) const VARIABLE: &str = "RUST_LOG";

/// Libraries of which only errors are shown. The first five speak with peers: any client can make them log, for
/// example a line for every frame. `aws_config` prints a whole answer of a metadata service, in debug form, at every
/// attempt to fetch credentials; the gateway logs the same failure as one sentence.
const QUIET: [&str; 6] = ["h2", "hyper", "hyper_util", "rustls", "tokio_rustls", "aws_config"];

const LEVELS: [&str; 6] = ["error", "warn", "info", "debug", "trace", "off"];

/// Whether a target is one of the gateway or of a library in [`QUIET`].
fn is_known(target: &str) -> bool {
    is_within(target, OWN) || QUIET.iter().any(|library| is_within(target, library))
}

/// Why a filter is invalid, in words for the operator.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct LevelFault(String);

/// Checks `level`, a filter of the configuration.
///
/// # Errors
/// Says in words what is wrong with it.
pub fn check_level(level: &str) -> Result<(), LevelFault> {
    filter(level).map(drop)
}

/// The value of [`VARIABLE`] if it is set to something.
pub(super) fn of_environment(value: Result<String, VarError>) -> Result<Option<String>, LevelFault> {
    match value {
        Ok(level) if level.trim().is_empty() => Ok(None),
        Ok(level) => check_level(&level).map(|()| Some(level)),
        Err(VarError::NotPresent) => Ok(None),
        Err(VarError::NotUnicode(_)) => Err(LevelFault("it is not UTF-8".to_owned())),
    }
}

pub(super) fn filter(level: &str) -> Result<EnvFilter, LevelFault> {
    let directives = || level.split(',').map(str::trim);
    let is_level = |directive: &str| !directive.is_empty() && directive.parse::<LevelFilter>().is_ok();
    let is_bare = |directive: &str| !is_level(directive) && !directive.contains(['=', '[']);
    // A bare target means all of its lines. EnvFilter reads a misspelt level as one too, and then shows nothing at all.
    let others = directives().any(|directive| !is_bare(directive));
    for word in directives().filter(|directive| is_bare(directive)) {
        let is_target = is_known(word) || others && !word.is_empty() && similar(word, LEVELS).is_none();
        if !is_target {
            return Err(LevelFault(format!(
                "\"{word}\" is not a log level; the levels are error, warn, info, debug, trace and off"
            )));
        }
    }
    EnvFilter::builder().parse(for_libraries(level)).map_err(|error| LevelFault(error.to_string()))
}

/// The filter with `debug` alone read as the gateway's own level: its lines would be lost among those of the
/// libraries, which stay at `info` unless the operator names them. `trace` is for everything.
fn for_libraries(level: &str) -> String {
    let is_debug =
        |directive: &str| directive.parse::<LevelFilter>().is_ok_and(|level| level == LevelFilter::DEBUG);
    let directives = level.split(',').map(str::trim);
    // First, so that what the operator says of the gateway itself or of one of its modules decides.
    let own = directives.clone().any(is_debug).then(|| format!("{OWN}=debug"));
    let all = directives.map(|directive| if is_debug(directive) { "info" } else { directive });
    own.iter().map(String::as_str).chain(all).collect::<Vec<_>>().join(",")
}

/// Shows only errors of the [`QUIET`] libraries, except of one that the operator's filter names.
pub(super) fn quiet_libraries(level: &str) -> impl Fn(&Metadata<'_>) -> bool + use<> {
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
    use super::*;

    #[test]
    fn a_misspelt_level_is_rejected_rather_than_read_as_a_module() {
        for (level, valid) in [
            ("info", true),
            ("warn,bedrock_gateway=debug", true),
            ("bedrock_gateway[request]=debug", true),
            ("warn,hyper", true),
            ("hyper", true),
            ("bedrock_gateway", true),
            ("bedrock_gateway::sessions,warn", true),
            ("warn,tower", true),
            ("inof", false),
            ("tower", false),
            ("warn,inof", false),
            ("h2=debug,dbug", false),
            ("info,", false),
            ("a=b", false),
            ("", false),
        ] {
            assert_eq!(check_level(level).is_ok(), valid, "{level}");
        }
    }

    #[test]
    fn debug_alone_is_the_gateways_own_level() {
        for (level, read) in [
            ("info", "info"),
            ("trace", "trace"),
            ("debug", "bedrock_gateway=debug,info"),
            ("DEBUG,h2=debug", "bedrock_gateway=debug,info,h2=debug"),
            ("bedrock_gateway=warn,debug", "bedrock_gateway=debug,bedrock_gateway=warn,info"),
        ] {
            assert_eq!(for_libraries(level), read);
        }
    }

    #[test]
    fn an_unset_or_empty_variable_changes_nothing_and_an_invalid_one_is_an_error() {
        assert_eq!(of_environment(Err(VarError::NotPresent)), Ok(None));
        assert_eq!(of_environment(Ok(" ".to_owned())), Ok(None));
        assert_eq!(of_environment(Ok("warn".to_owned())), Ok(Some("warn".to_owned())));
        assert!(of_environment(Ok("loud".to_owned())).is_err());
        assert!(of_environment(Err(VarError::NotUnicode("x".into()))).is_err());
    }
}
