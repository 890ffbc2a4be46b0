//! The files that a configuration names, each with its place in the configuration, for problems that are found when the
//! files are opened.

use std::io::{self, ErrorKind};
use std::path::PathBuf;

use jsonwebtoken::Algorithm;

use super::diagnostics::{Diagnostic, Diagnostics, Severity};
use super::issuers::Issuer;
use super::raw::{self, Text};

/// All files that a configuration names.
#[derive(Debug, Default)]
pub struct NamedFiles {
    /// The listener's certificate and its private key.
    pub tls: Option<(NamedFile, NamedFile)>,
    pub admin_token: Option<NamedFile>,
    /// CAs of endpoints and of issuers.
    pub cas: Vec<NamedFile>,
    /// Key sets of issuers, each with the algorithms that its issuer allows.
    pub key_sets: Vec<(NamedFile, Vec<Algorithm>)>,
    pub deny_file: Option<NamedFile>,
    /// The access log and the process log. The gateway creates it.
    pub log: Option<NamedFile>,
}

/// A file that a configuration names.
#[derive(Debug)]
pub struct NamedFile {
    pub path: PathBuf,
    /// The place of its name, without message and help.
    place: Diagnostic,
}

impl NamedFile {
    /// A problem of the file, at the place that names it.
    pub fn problem(&self, message: impl Into<String>, help: impl Into<String>) -> Diagnostic {
        Diagnostic { message: message.into(), help: help.into(), ..self.place.clone() }
    }

    /// The same, for a file that the gateway accepts.
    pub fn warning(&self, message: impl Into<String>, help: impl Into<String>) -> Diagnostic {
        Diagnostic { severity: Severity::Warning, ..self.problem(message, help) }
    }

    /// The full path, which shows the folder that a relative one counts from.
    pub fn full(&self) -> PathBuf {
        std::path::absolute(&self.path).unwrap_or_else(|_| self.path.clone())
    }

    /// The problem that the file cannot be read.
    pub fn unreadable(&self, error: &io::Error) -> Diagnostic {
        let message = format!("{} cannot be read: {}", self.full().display(), cause(error));
        self.problem(message, remedy(error.kind()))
    }
}

/// The files that `file` names. A path that is empty was reported, and is left out.
pub(super) fn named(file: &raw::File, issuers: &[Issuer], diagnostics: &Diagnostics<'_>) -> NamedFiles {
    let named = |text: &Text| NamedFile {
        path: diagnostics.beside(text.get_ref()),
        place: diagnostics.place(text.span()),
    };
    let listen = file.listen.get_ref();
    let aws = file.aws.get_ref();
    let endpoints =
        aws.endpoints.ca.iter().chain(aws.region_endpoints.values().filter_map(|raw| raw.ca.as_ref()));
    let issuers_cas = file.issuer.iter().filter_map(|issuer| issuer.get_ref().ca.as_ref());
    let key_sets = file.issuer.iter().zip(issuers).filter_map(|(raw, issuer)| {
        let file = raw.get_ref().jwks_file.as_ref()?;
        Some((named(file), issuer.settings.algorithms.clone()))
    });
    NamedFiles {
        tls: listen.tls.as_ref().map(|tls| (named(&tls.get_ref().cert), named(&tls.get_ref().key))),
        admin_token: listen.admin_token_file.as_ref().map(named),
        cas: endpoints.chain(issuers_cas).map(named).collect(),
        key_sets: key_sets.collect(),
        deny_file: file.revoke.as_ref().map(|revoke| named(&revoke.file)),
        log: file.log.file.as_ref().map(named),
    }
}

/// The cause of an I/O error, in words without the system's error number.
pub(super) fn cause(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::NotFound => "no such file".to_owned(),
        ErrorKind::PermissionDenied => "permission denied".to_owned(),
        ErrorKind::IsADirectory => "it is a folder".to_owned(),
        ErrorKind::NotADirectory => "a part of the path is a file, not a folder".to_owned(),
        _ => error.to_string(),
    }
}

/// The next step after an I/O error.
pub(super) fn remedy(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::NotFound => "create it, or correct the path",
        ErrorKind::PermissionDenied => "let the user of this process read the file and enter its folders",
        _ => "write the path of a file",
    }
}
