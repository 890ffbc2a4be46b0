//! Opens every file that a configuration names, for `check`, and for `serve` before it binds: a file that does not fit
//! its purpose is a problem of the configuration, at the line that names it.

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use rustix::fs::Access;

use crate::auth::issuer::algorithm_names;
use crate::auth::{KeySetFault, check_key_set};
use crate::clock;
use crate::config::{Config, ConfigError, Diagnostic, NamedFile, deny_file};
use crate::operator::admin::read_token;
use crate::server::tls::{Certificate, Concern, TlsError, Validity};
use crate::telemetry::log::output::unfit;
use crate::trust::{self, CaError};

/// Opens the files. Returns the warnings about them.
///
/// # Errors
/// All problems at once: files that are missing, unreadable or unfit.
pub fn check(config: &Config) -> Result<Vec<Diagnostic>, ConfigError> {
    let files = &config.files;
    let mut found = Found::default();
    if let Some((certificate, key)) = &files.tls {
        found.certificate(certificate, key);
    }
    if let Some(file) = &files.admin_token {
        found.admin_token(file);
    }
    files.cas.iter().for_each(|file| found.ca(file));
    for (file, algorithms) in &files.key_sets {
        if let Some(content) = found.content(file)
            && let Err(fault) = check_key_set(&content, algorithms)
        {
            let help = match fault {
                KeySetFault::NotAKeySet => {
                    "save the document at the issuer's jwks_uri in this file".to_owned()
                }
                KeySetFault::NoKey => {
                    let names = algorithm_names(algorithms);
                    format!(
                        "copy the provider's key set into it (the document at its jwks_uri), with a public key for {names}; or remove jwks_file, and the gateway fetches the keys"
                    )
                }
            };
            found.problems.push(file.problem(format!("{}: {fault}", file.path.display()), help));
        }
    }
    if let Some(file) = &files.deny_file {
        found.deny_file(file, &config.issuer_names());
    }
    if let Some(file) = &files.log {
        found.log(file);
    }
    let Found { mut problems, warnings } = found;
    if problems.is_empty() {
        return Ok(warnings);
    }
    problems.extend(warnings);
    Err(ConfigError(problems))
}

#[derive(Default)]
struct Found {
    problems: Vec<Diagnostic>,
    warnings: Vec<Diagnostic>,
}

impl Found {
    /// The content of a file; `None` if it cannot be read, which is a problem.
    fn content(&mut self, file: &NamedFile) -> Option<Vec<u8>> {
        std::fs::read(&file.path).map_err(|error| self.problems.push(file.unreadable(&error))).ok()
    }

    fn certificate(&mut self, certificate: &NamedFile, key: &NamedFile) {
        let (Some(chain), Some(private)) = (self.content(certificate), self.content(key)) else { return };
        match Certificate::new(&chain, &private) {
            Ok(pair) => {
                let validity = pair.validity();
                self.warnings
                    .extend(validity.and_then(|valid| certificate_age(certificate, &valid, clock::now())));
            }
            Err(fault) => self.problems.push(misfit(&fault, certificate, key)),
        }
    }

    fn admin_token(&mut self, file: &NamedFile) {
        match read_token(&file.path) {
            Ok(_token) => {}
            Err(error) if error.kind() == ErrorKind::InvalidData => self.problems.push(file.problem(
                format!("{} contains no token: it is empty, or it is not text", file.full().display()),
                format!("write a random token into it: openssl rand -hex 32 > {}", file.full().display()),
            )),
            Err(error) if error.kind() == ErrorKind::NotFound => self.problems.push(file.problem(
                format!("{} cannot be read: no such file", file.full().display()),
                format!("write a random token into it: openssl rand -hex 32 > {}", file.full().display()),
            )),
            Err(error) => self.problems.push(file.unreadable(&error)),
        }
    }

    fn ca(&mut self, file: &NamedFile) {
        match trust::pem(&file.path) {
            Ok(_pem) => {}
            Err(CaError::Unreadable { cause, .. }) => self.problems.push(file.unreadable(&cause)),
            Err(CaError::Unusable { fault, .. }) => self.problems.push(file.problem(
                format!("{} is not a file of CA certificates: {fault}", file.full().display()),
                "write the path of a PEM file with the certificate of the CA (-----BEGIN CERTIFICATE-----)",
            )),
        }
    }

    fn deny_file(&mut self, file: &NamedFile, issuers: &[Arc<str>]) {
        match std::fs::read(&file.path) {
            Ok(content) => match deny_file(&content, &file.path, issuers) {
                Ok((_entries, warnings)) => self.warnings.extend(warnings),
                Err(ConfigError(problems)) => self.problems.extend(problems),
            },
            Err(error) if error.kind() == ErrorKind::NotFound => self.problems.push(file.problem(
                format!("the deny file {} does not exist", file.full().display()),
                "create it, also if it is empty, or remove [revoke]",
            )),
            Err(error) => self.problems.push(file.unreadable(&error)),
        }
    }

    /// The gateway creates the log's file, but not its folder.
    fn log(&mut self, file: &NamedFile) {
        let path = &file.full();
        let folder =
            path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
        let (fault, help) = if path.is_dir() {
            (format!("{} is a folder", path.display()), "write the path of a file in it")
        } else if let Some(kind) = std::fs::metadata(path).ok().as_ref().and_then(unfit) {
            (
                format!("{} is {kind}, and a log must be a regular file", path.display()),
                "write the path of a regular file; to pipe the logs to a program, remove this key: they then go to \
                 standard output and standard error",
            )
        } else if !folder.is_dir() {
            (
                format!("the folder {} does not exist", folder.display()),
                "create this folder, or correct the path",
            )
        } else if !is_writable(if path.exists() { path } else { folder }) {
            (
                format!("the user of this process may not write to {}", path.display()),
                "let this user write there, or choose another path",
            )
        } else {
            return;
        };
        self.problems.push(file.problem(fault, help));
    }
}

fn is_writable(path: &Path) -> bool {
    rustix::fs::access(path, Access::WRITE_OK).is_ok()
}

/// The problem of a certificate and a key that the listener cannot use.
fn misfit(fault: &TlsError, certificate: &NamedFile, key: &NamedFile) -> Diagnostic {
    let (chain_path, key_path) = (certificate.path.display(), key.path.display());
    match fault {
        TlsError::Swapped => certificate.problem(
            format!("cert and key are swapped: {chain_path} contains the private key, {key_path} the certificate"),
            "exchange the two paths",
        ),
        TlsError::NoCertificate => certificate.problem(
            format!("{chain_path} contains no certificate"),
            "write the path of the certificate chain in PEM (-----BEGIN CERTIFICATE-----), the listener's own first",
        ),
        TlsError::Certificate(cause) => certificate.problem(
            format!("{chain_path} is not a PEM file of certificates: {cause}"),
            "write the path of the certificate chain in PEM, the listener's own first",
        ),
        TlsError::Key => key.problem(
            format!("{key_path} contains no private key"),
            "write the path of the private key in PEM (-----BEGIN PRIVATE KEY-----), without a passphrase",
        ),
        TlsError::Pair => key.problem(
            format!("{key_path} is not the private key of {chain_path}"),
            format!(
                "write the path of the key that belongs to {chain_path}, or correct the path of the certificate; in a \
                 chain, the listener's own certificate is the first"
            ),
        ),
        TlsError::Rejected(cause) => certificate.problem(
            format!("the TLS library rejects {chain_path}: {cause}"),
            "use an X.509 certificate with an RSA, ECDSA or Ed25519 key",
        ),
    }
}

/// A warning about a certificate that is not valid at `now`, or not for long.
fn certificate_age(file: &NamedFile, valid: &Validity, now: SystemTime) -> Option<Diagnostic> {
    let path = file.path.display();
    let (begin, end) = (clock::rfc3339(valid.begin), clock::rfc3339(valid.end));
    let (message, help) = match valid.concern(now)? {
        Concern::NotYetValid => (
            format!("the certificate {path} is not valid before {begin}"),
            "check this machine's clock, or use another certificate: clients reject it",
        ),
        Concern::Expired => {
            (format!("the certificate {path} expired at {end}"), "renew it: clients reject it")
        }
        Concern::ExpiresSoon => (
            format!("the certificate {path} expires at {end}"),
            "renew it; the gateway loads a changed file by itself",
        ),
    };
    Some(file.warning(message, help))
}

#[cfg(test)]
mod tests;
