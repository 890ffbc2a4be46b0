//! The certificate and the deny file: how they are read, and how an invalid file is reported.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tracing::warn;

use super::StartError;
use super::file_watch::{Content, FileWatch, read};
use crate::config::{ConfigError, Tls, counted, deny_file};
use crate::revoke::Entry;
use crate::server::tls::Certificate;

/// The certificate that the HTTPS listener presents, and its files.
pub(super) struct CertificateFiles {
    files: Tls,
    pub(super) watch: FileWatch,
    pub(super) shown: Arc<Certificate>,
}

/// The cause for which the content of a file is rejected.
pub(super) enum Rejected {
    /// The file has these problems.
    File(ConfigError),
    /// The cause is outside the file, for example another file that it names.
    Other(String),
    /// AWS refuses what the file says. `short` has neither ARNs nor words of AWS; `details` are for the process log.
    ByAws { short: String, details: Vec<String> },
}

impl CertificateFiles {
    /// # Errors
    /// When a file cannot be read, or the files are not a certificate and its private key.
    pub(super) async fn read(files: &Tls) -> Result<Self, StartError> {
        let content = read(&paths(files)).await;
        let (chain, key) = halves(&content).map_err(StartError::File)?;
        let shown = Arc::new(Certificate::new(chain, key)?);
        Ok(Self { files: files.clone(), watch: FileWatch::knowing(paths(files), &content), shown })
    }

    /// Presents this certificate to new connections.
    pub(super) fn show(&self, content: &Content) -> Result<(), Rejected> {
        let (chain, key) = halves(content).map_err(Rejected::Other)?;
        self.shown.replace(chain, key).map_err(Rejected::other)
    }

    /// Changes to the certificate in `files`, if these are not the present files.
    pub(super) async fn use_files(&mut self, files: &Tls) -> Result<(), Rejected> {
        if self.files == *files {
            return Ok(());
        }
        let content = read(&paths(files)).await;
        self.show(&content)?;
        self.watch = FileWatch::knowing(paths(files), &content);
        self.files = files.clone();
        Ok(())
    }
}

fn paths(files: &Tls) -> Vec<PathBuf> {
    vec![files.cert.clone(), files.key.clone()]
}

fn halves(content: &Content) -> Result<(&[u8], &[u8]), String> {
    match content.as_ref().map_err(Clone::clone)?.as_slice() {
        [chain, key] => Ok((chain, key)),
        _ => Err("a certificate and a key are required".to_owned()),
    }
}

/// The deny file: its path and its watch.
pub(super) struct DenyFile {
    pub(super) path: PathBuf,
    pub(super) watch: FileWatch,
}

impl DenyFile {
    /// Reads the file and its entries.
    ///
    /// # Errors
    /// When the file does not exist, cannot be read or has a problem.
    pub(super) async fn read(path: &Path, issuers: &[Arc<str>]) -> Result<(Self, Vec<Arc<Entry>>), Rejected> {
        let mut watch = FileWatch::knowing(vec![path.to_owned()], &Ok(Vec::new()));
        let content = watch.read().await;
        let content =
            content.ok_or_else(|| Rejected::other("the deny file changed while the gateway read it"))?;
        let file = Self { path: path.to_owned(), watch };
        let entries = file.entries(content, issuers).await?;
        Ok((file, entries))
    }

    /// Parses all entries. One invalid entry rejects the whole file.
    pub(super) async fn entries(
        &self,
        content: Content,
        issuers: &[Arc<str>],
    ) -> Result<Vec<Arc<Entry>>, Rejected> {
        let content = content.map_err(Rejected::Other)?.concat();
        let (path, issuers) = (self.path.clone(), issuers.to_vec());
        // In a thread of its own: it compiles expressions, which is slow.
        let read = tokio::task::spawn_blocking(move || deny_file(&content, &path, &issuers)).await;
        let (entries, warnings) = read.map_err(Rejected::other)?.map_err(Rejected::File)?;
        for warning in warnings {
            warn!("{warning}");
        }
        Ok(entries)
    }
}

impl Rejected {
    pub(super) fn other(error: impl std::fmt::Display) -> Self {
        Self::Other(error.to_string())
    }

    /// The problems of a file that another file names. The other file becomes valid once these are fixed, without a
    /// change of its own, so this is a cause outside it.
    pub(super) fn of_another(self) -> Self {
        match self {
            Self::File(problems) => Self::other(problems),
            other @ (Self::Other(_) | Self::ByAws { .. }) => other,
        }
    }

    /// Whether the file can become valid without a change of its own.
    pub(super) fn is_outside(&self) -> bool {
        matches!(self, Self::Other(_) | Self::ByAws { .. })
    }

    /// Each problem, for the process log.
    pub(super) fn details(&self) -> Vec<String> {
        match self {
            Self::File(rejected) => rejected.errors().map(ToString::to_string).collect(),
            Self::Other(error) => vec![error.clone()],
            Self::ByAws { details, .. } => details.clone(),
        }
    }

    /// The message for `/readyz`. It quotes nothing of the file, because clients of the probe port are not
    /// authenticated.
    pub(super) fn message(&self, kind: &str) -> String {
        const KEPT: &str = "the last valid version stays in use; the process log has each problem";
        match self {
            Self::File(rejected) => {
                let problems: Vec<_> = rejected.errors().collect();
                let count = counted(problems.len(), "problem");
                let line = problems.first().map_or(0, |problem| problem.line);
                format!("{kind} rejected: {count}, the first in line {line}; {KEPT}")
            }
            Self::Other(_) => format!("{kind} rejected; {KEPT}"),
            Self::ByAws { short, .. } => format!("{kind} rejected: {short}; {KEPT}"),
        }
    }
}

impl From<Rejected> for StartError {
    fn from(rejected: Rejected) -> Self {
        Self::File(match rejected {
            Rejected::File(problems) => problems.to_string(),
            Rejected::Other(fault) | Rejected::ByAws { short: fault, .. } => fault,
        })
    }
}
