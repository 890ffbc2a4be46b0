//! The operator's files beside the configuration: what is made of them, and what is said of bad ones.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tracing::{error, warn};

use super::StartError;
use super::file_watch::{Content, FileWatch, read};
use crate::config::{ConfigError, Tls, deny_file};
use crate::revoke::Entry;
use crate::server::tls::Certificate;

/// The listener's certificate, and where it comes from.
pub(super) struct CertificateFiles {
    files: Tls,
    pub(super) watch: FileWatch,
    pub(super) shown: Arc<Certificate>,
}

/// Why what files hold is not put into place.
pub(super) enum Refused {
    File(ConfigError),
    Other(String),
}

impl CertificateFiles {
    /// # Errors
    /// When a file cannot be read, or they are no certificate and its key.
    pub(super) async fn read(files: &Tls) -> Result<Self, StartError> {
        let content = read(&paths(files)).await;
        let (chain, key) = halves(&content).map_err(StartError::File)?;
        let shown = Arc::new(Certificate::new(chain, key)?);
        Ok(Self { files: files.clone(), watch: FileWatch::knowing(paths(files), &content), shown })
    }

    pub(super) fn show(&self, content: &Content) -> Result<(), Refused> {
        let (chain, key) = halves(content).map_err(Refused::Other)?;
        self.shown.replace(chain, key).map_err(Refused::other)
    }

    /// Shows the certificate of other files, if these are others.
    pub(super) async fn go_by(&mut self, files: &Tls) -> Result<(), Refused> {
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
        _ => Err("there is a certificate and a key".to_owned()),
    }
}

/// The deny file, and where it is.
pub(super) struct DenyFile {
    pub(super) path: PathBuf,
    pub(super) watch: FileWatch,
}

impl DenyFile {
    /// # Errors
    /// When it is not there, or anything is wrong with it.
    pub(super) async fn read(path: &Path, issuers: &[Arc<str>]) -> Result<(Self, Vec<Arc<Entry>>), Refused> {
        let mut watch = FileWatch::knowing(vec![path.to_owned()], &Ok(Vec::new()));
        let content = watch.read().await;
        let content = content.ok_or_else(|| Refused::other("the deny file is being written"))?;
        let file = Self { path: path.to_owned(), watch };
        let entries = file.entries(content, issuers).await?;
        Ok((file, entries))
    }

    /// The entries of a content, all or none.
    pub(super) async fn entries(
        &self,
        content: Content,
        issuers: &[Arc<str>],
    ) -> Result<Vec<Arc<Entry>>, Refused> {
        let content = content.map_err(Refused::Other)?.concat();
        let (path, issuers) = (self.path.clone(), issuers.to_vec());
        // Compiles expressions, which takes its time.
        let read = tokio::task::spawn_blocking(move || deny_file(&content, &path, &issuers)).await;
        let (entries, warnings) = read.map_err(Refused::other)?.map_err(Refused::File)?;
        for warning in warnings {
            warn!("{warning}");
        }
        Ok(entries)
    }
}

impl Refused {
    pub(super) fn other(error: impl std::fmt::Display) -> Self {
        Self::Other(error.to_string())
    }

    /// What is wrong with a file is wrong with what names it, which may be good without having changed.
    pub(super) fn of_another(self) -> Self {
        match self {
            Self::File(problems) => Self::other(problems),
            other @ Self::Other(_) => other,
        }
    }

    /// Every problem to the log. Returns what anybody may know, which is nothing that stands in the file.
    pub(super) fn tell(&self, what: &str) -> String {
        const KEPT: &str = "the last good one stays in use, see the log";
        match self {
            Self::File(ConfigError(problems)) => {
                for problem in problems {
                    error!("{problem}");
                }
                error!(problems = problems.len(), "{what} is refused; the last good one stays in use");
                let first = problems.first().map_or(0, |problem| problem.line);
                format!("refused for {} problems, the first in line {first}; {KEPT}", problems.len())
            }
            Self::Other(fault) => {
                error!(fault, "{what} is refused; the last good one stays in use");
                format!("refused; {KEPT}")
            }
        }
    }
}

impl From<Refused> for StartError {
    fn from(refused: Refused) -> Self {
        Self::File(match refused {
            Refused::File(problems) => problems.to_string(),
            Refused::Other(fault) => fault,
        })
    }
}
