//! Detects changed files by their content.
//!
//! The gateway reads the files every second and compares them. The kernel could report changes instead (inotify). But
//! it reports none on network file systems. It also loses files that are replaced by a rename, or that are reached
//! over a symbolic link that changes (`..data` of a Kubernetes volume). And each report would need the same
//! comparison. Reading a few small files every second costs nothing.

use std::path::PathBuf;
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

/// The content of some files, in their order, or the cause for which one cannot be read.
pub(super) type Content = Result<Vec<Vec<u8>>, String>;

/// The timeout of one reading.
const READING: Duration = Duration::from_secs(5);
/// The time between the two readings of [`FileWatch::read`], which must be the same.
const MOMENT: Duration = Duration::from_millis(50);

/// Watches files that are used together, for example a certificate and its key.
#[derive(Debug)]
pub(super) struct FileWatch {
    paths: Vec<PathBuf>,
    /// The reading in progress. If the file system hangs, no second reading starts.
    reading: Option<JoinHandle<Content>>,
    /// The content that was last used or rejected.
    known: Hash,
    /// The content that was last read, if it differs from `known`.
    seen: Option<Hash>,
}

/// SHA-256 of a content. The content itself is not kept, because one of the files is a private key.
type Hash = [u8; 32];

impl FileWatch {
    /// Watches `paths`, whose content at the last use was `content`.
    pub(super) fn knowing(paths: Vec<PathBuf>, content: &Content) -> Self {
        Self { paths, reading: None, known: hash(content), seen: None }
    }

    /// The present content, which counts as used from now on; `None` while another program is writing the files.
    pub(super) async fn read(&mut self) -> Option<Content> {
        let first = hash(&self.fetch().await);
        sleep(MOMENT).await;
        let content = self.fetch().await;
        let hash = hash(&content);
        if hash != first {
            self.seen = Some(hash);
            return None;
        }
        (self.known, self.seen) = (hash, None);
        Some(content)
    }

    /// The present content if it has changed since the last use, but not since the last call. The second condition
    /// skips files that are half written: half a file can be valid, with the last role missing.
    pub(super) async fn changed(&mut self) -> Option<Content> {
        let content = self.fetch().await;
        let hash = hash(&content);
        if hash == self.known {
            self.seen = None;
            return None;
        }
        if self.seen.replace(hash) != Some(hash) {
            return None;
        }
        (self.known, self.seen) = (hash, None);
        Some(content)
    }

    /// The present content if it has not changed since the last use.
    pub(super) async fn still(&mut self) -> Option<Content> {
        let content = self.fetch().await;
        (hash(&content) == self.known).then_some(content)
    }

    async fn fetch(&mut self) -> Content {
        let paths = &self.paths;
        let reading = self.reading.get_or_insert_with(|| {
            let paths = paths.clone();
            tokio::task::spawn_blocking(move || read_now(&paths))
        });
        match timeout(READING, reading).await {
            Ok(read) => {
                self.reading = None;
                read.unwrap_or_else(|error| Err(error.to_string()))
            }
            Err(_elapsed) => {
                let names: Vec<_> = self.paths.iter().map(|path| path.display().to_string()).collect();
                Err(format!("{} cannot be read: the file system did not answer within 5 s", names.join(", ")))
            }
        }
    }
}

/// The present content of these files.
pub(super) async fn read(paths: &[PathBuf]) -> Content {
    FileWatch::knowing(paths.to_vec(), &Ok(Vec::new())).fetch().await
}

fn read_now(paths: &[PathBuf]) -> Content {
    let read = |path: &PathBuf| {
        std::fs::read(path).map_err(|error| format!("{} cannot be read: {error}", path.display()))
    };
    paths.iter().map(read).collect()
}

fn hash(content: &Content) -> Hash {
    let mut hash = Sha256::new();
    match content {
        Ok(files) => {
            for file in files {
                hash.update(file.len().to_be_bytes());
                hash.update(file);
            }
        }
        Err(error) => hash.update(error),
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_change_is_reported_once_two_readings_agree() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, "one").unwrap();
        let mut watch = FileWatch::knowing(vec![path.clone()], &Ok(vec![b"one".to_vec()]));
        assert_eq!(watch.changed().await, None);

        std::fs::write(&path, "half").unwrap();
        assert_eq!(watch.changed().await, None, "the file may be half written");
        std::fs::write(&path, "half and whole").unwrap();
        assert_eq!(watch.changed().await, None, "the content changed between two readings");
        assert_eq!(watch.changed().await, Some(Ok(vec![b"half and whole".to_vec()])));
        assert_eq!(watch.changed().await, None);

        std::fs::remove_file(&path).unwrap();
        assert_eq!(watch.changed().await, None);
        assert!(watch.changed().await.unwrap().unwrap_err().contains("file cannot be read"));
        assert_eq!(watch.changed().await, None, "reported once");
        assert!(watch.still().await.is_some(), "except on request");
        std::fs::write(&path, "half").unwrap();
        assert_eq!(watch.still().await, None, "the file may be half written");
    }

    #[tokio::test]
    async fn half_a_file_is_not_reported_on_request_either() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, "half").unwrap();
        let mut watch = FileWatch::knowing(vec![path.clone()], &Ok(vec![b"one".to_vec()]));
        let writing = async {
            sleep(MOMENT / 2).await;
            std::fs::write(&path, "half and whole").unwrap();
        };
        let (read, ()) = tokio::join!(watch.read(), writing);
        assert_eq!(read, None);
        let whole = Ok(vec![b"half and whole".to_vec()]);
        assert_eq!(watch.changed().await, Some(whole.clone()), "the second time it is the same");
        assert_eq!(watch.read().await, Some(whole));
    }

    /// Reading a pipe without a writer hangs, as a file system does that does not answer.
    #[tokio::test(start_paused = true)]
    async fn a_reading_that_hangs_times_out_and_is_not_started_twice() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&path).status().unwrap();
        assert!(made.success());
        let mut watch = FileWatch::knowing(vec![path.clone()], &Ok(Vec::new()));
        for _ in 0..2 {
            // The paused clock stops while the pipe is read, and advances once the reading is awaited.
            let passing = async {
                tokio::task::yield_now().await;
                tokio::time::advance(READING).await;
            };
            let (read, ()) = tokio::join!(watch.fetch(), passing);
            assert!(read.unwrap_err().contains("did not answer within 5 s"));
        }
        // Only one reading waits for the pipe.
        std::fs::write(&path, "there").unwrap();
        assert_eq!(watch.fetch().await, Ok(vec![b"there".to_vec()]));
    }

    #[tokio::test]
    async fn a_symbolic_link_to_another_folder_is_a_change() {
        let folder = tempfile::tempdir().unwrap();
        for version in ["1", "2"] {
            std::fs::create_dir(folder.path().join(version)).unwrap();
            std::fs::write(folder.path().join(version).join("file"), version).unwrap();
        }
        let turn = |to: &str| {
            std::os::unix::fs::symlink(to, folder.path().join("..new")).unwrap();
            std::fs::rename(folder.path().join("..new"), folder.path().join("..data")).unwrap();
        };
        turn("1");
        std::os::unix::fs::symlink("..data/file", folder.path().join("file")).unwrap();
        let paths = vec![folder.path().join("file")];
        let mut watch = FileWatch::knowing(paths.clone(), &read(&paths).await);
        turn("2");
        assert_eq!(watch.changed().await, None);
        assert_eq!(watch.changed().await, Some(Ok(vec![b"2".to_vec()])));
    }
}
