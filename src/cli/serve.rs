//! `serve`: runs the gateway until a signal arrives, then drains it. On SIGHUP the gateway reloads its files.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use tokio::signal::unix::{SignalKind, signal};
use tracing::{debug, error, info, warn};

use crate::cli::{EXIT_CONFIG, EXIT_USAGE, problems};
use crate::config::{Config, ConfigError, File, STANDARD_INPUT};
use crate::gateway::{GatewayHandle, StartError};
use crate::preflight;
use crate::style::listed;
use crate::telemetry::log;
use crate::telemetry::log::process_log::ProcessLog;
use crate::version;

/// The names that the line `serving` lists at most, of issuers and of roles.
const MOST_NAMES: usize = 5;

pub(super) fn run(path: &Path) -> ExitCode {
    // Libraries that ask for the process's default provider get the one that is used everywhere. An error only
    // means that it is installed already.
    let _already = rustls::crypto::aws_lc_rs::default_provider().install_default().is_err();
    if path == Path::new(STANDARD_INPUT) {
        eprintln!("error: serve reads its configuration again when it changes; pass the path of a file");
        return ExitCode::from(EXIT_USAGE);
    }
    let (config, file) = match read(path) {
        Ok(loaded) => loaded,
        Err(rejected) => {
            problems::print_rejected(&rejected.0);
            return ExitCode::from(EXIT_CONFIG);
        }
    };
    let process_log = match log::init(&config.log) {
        Ok(file) => file,
        Err(error) => {
            eprintln!("cannot set up the log: {error}");
            return ExitCode::from(EXIT_CONFIG);
        }
    };
    for warning in &config.warnings {
        warn!("{warning}");
    }
    let served = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(StartError::from)
        .and_then(|runtime| runtime.block_on(serve(config, file, process_log)));
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error!(%error, "startup failed");
            ExitCode::FAILURE
        }
    }
}

/// The configuration and its file. The files that it names were opened, and their warnings are among its own.
fn read(path: &Path) -> Result<(Config, File), ConfigError> {
    let file = File::read(path)?;
    let mut config = file.parse()?;
    let warnings = preflight::check(&config)?;
    config.warnings.extend(warnings);
    Ok((config, file))
}

async fn serve(config: Config, file: File, process_log: Option<ProcessLog>) -> Result<(), StartError> {
    let mut signals = Signals::listen()?;
    let mut hang_up = signal(SignalKind::hangup())?;
    let (region, path) = (config.aws.region.clone(), absolute(&file.path));
    let issuers: Vec<_> = config.mapping.issuers.iter().map(|mapping| Arc::clone(&mapping.issuer)).collect();
    let roles: BTreeSet<_> = config.mapping.roles.iter().map(|role| role.arn.as_str().to_owned()).collect();
    let rules = config.mapping.roles.len();
    let mut running = GatewayHandle::start(config, file, process_log).await?;
    let addresses = running.addresses();
    let shown = |address: Option<std::net::SocketAddr>| address.map(tracing::field::display);
    info!(
        https = shown(addresses.https),
        http = shown(addresses.http),
        probe = shown(addresses.probe),
        admin = shown(addresses.admin),
        version = version::VERSION_AND_COMMIT,
        config = %path.display(),
        region,
        issuers = listed(issuers.iter().map(|issuer| &**issuer), MOST_NAMES),
        roles = rules,
        role_arns = listed(roles.iter().map(String::as_str), MOST_NAMES),
        "serving"
    );
    for arn in roles {
        debug!(arn, "callers can get sessions of this role");
    }
    loop {
        tokio::select! {
            () = signals.next() => break,
            _ = hang_up.recv() => running.reload(),
        }
    }
    running.drain();
    loop {
        tokio::select! {
            _aborted = running.stopped() => return Ok(()),
            () = signals.next() => break,
            _ = hang_up.recv() => running.reload(),
        }
    }
    warn!("second signal: stopping at once");
    running.stop_now();
    running.stopped().await;
    Ok(())
}

/// The path with the working directory before it, so that the log says which file it is.
fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// SIGTERM and SIGINT.
struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl Signals {
    fn listen() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
