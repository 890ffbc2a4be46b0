//! Whether files have changed, told by what they hold.
//!
//! They are read every second and compared. The kernel could tell of changes instead, but it tells nothing of
//! network file systems, loses track of files that are renamed over or reached by a link that is turned
//! (`..data` of a Kubernetes volume), and what it tells has to be looked at in the same way. A few small
//! files a second cost nothing.

use std::path::PathBuf;
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

/// What some files hold, in their order, or why one cannot be read.
pub(super) type Content = Result<Vec<Vec<u8>>, String>;

/// How long a file system may take.
const READING: Duration = Duration::from_secs(5);
/// Between two readings that have to be the same, where somebody waits for them.
const MOMENT: Duration = Duration::from_millis(50);

/// Files that belong together.
#[derive(Debug)]
pub(super) struct FileWatch {
    paths: Vec<PathBuf>,
    /// A file system that does not answer is not asked again before it has.
    reading: Option<JoinHandle<Content>>,
    /// What was last made use of, or refused.
    known: Mark,
    /// What was last read, where that is something else.
    seen: Option<Mark>,
}

/// SHA-256 of a content: nothing of it is kept, one of the files is a private key.
type Mark = [u8; 32];

impl FileWatch {
    /// `content` is what the files held when they were read and made use of.
    pub(super) fn knowing(paths: Vec<PathBuf>, content: &Content) -> Self {
        Self { paths, reading: None, known: mark(content), seen: None }
    }

    /// What the files hold, from now on known; `None` while somebody writes them.
    pub(super) async fn read(&mut self) -> Option<Content> {
        let first = mark(&self.fetch().await);
        sleep(MOMENT).await;
        let content = self.fetch().await;
        let mark = mark(&content);
        if mark != first {
            self.seen = Some(mark);
            return None;
        }
        (self.known, self.seen) = (mark, None);
        Some(content)
    }

    /// What the files hold if that is new, and the same as when this was last asked: half of a file may be as
    /// good as a whole one, with the last role missing.
    pub(super) async fn changed(&mut self) -> Option<Content> {
        let content = self.fetch().await;
        let mark = mark(&content);
        if mark == self.known {
            self.seen = None;
            return None;
        }
        if self.seen.replace(mark) != Some(mark) {
            return None;
        }
        (self.known, self.seen) = (mark, None);
        Some(content)
    }

    /// What the files hold if that is still what is known.
    pub(super) async fn still(&mut self) -> Option<Content> {
        let content = self.fetch().await;
        (mark(&content) == self.known).then_some(content)
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
                Err(format!("{} cannot be read: nothing within 5 s", names.join(", ")))
            }
        }
    }
}

/// What these files hold now.
pub(super) async fn read(paths: &[PathBuf]) -> Content {
    FileWatch::knowing(paths.to_vec(), &Ok(Vec::new())).fetch().await
}

fn read_now(paths: &[PathBuf]) -> Content {
    let read = |path: &PathBuf| {
        std::fs::read(path).map_err(|error| format!("{} cannot be read: {error}", path.display()))
    };
    paths.iter().map(read).collect()
}

fn mark(content: &Content) -> Mark {
    let mut hash = Sha256::new();
    match content {
        Ok(files) => {
            for file in files {
                hash.update(file.len().to_be_bytes());
                hash.update(file);
            }
        }
        Err(fault) => hash.update(fault),
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_change_counts_once_it_has_stayed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, "one").unwrap();
        let mut watch = FileWatch::knowing(vec![path.clone()], &Ok(vec![b"one".to_vec()]));
        assert_eq!(watch.changed().await, None);

        std::fs::write(&path, "half").unwrap();
        assert_eq!(watch.changed().await, None, "it may be half");
        std::fs::write(&path, "half and whole").unwrap();
        assert_eq!(watch.changed().await, None, "it is another again");
        assert_eq!(watch.changed().await, Some(Ok(vec![b"half and whole".to_vec()])));
        assert_eq!(watch.changed().await, None);

        std::fs::remove_file(&path).unwrap();
        assert_eq!(watch.changed().await, None);
        assert!(watch.changed().await.unwrap().unwrap_err().contains("file cannot be read"));
        assert_eq!(watch.changed().await, None, "told once");
        assert!(watch.still().await.is_some(), "but by request");
        std::fs::write(&path, "half").unwrap();
        assert_eq!(watch.still().await, None, "this may be half");
    }

    #[tokio::test]
    async fn half_a_file_does_not_count_for_those_who_ask_either() {
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

    /// A pipe that nobody writes to is like a file system that does not answer.
    #[tokio::test(start_paused = true)]
    async fn what_does_not_answer_is_given_up_and_not_asked_twice() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&path).status().unwrap();
        assert!(made.success());
        let mut watch = FileWatch::knowing(vec![path.clone()], &Ok(Vec::new()));
        for _ in 0..2 {
            // The clock stands still while the pipe is read, and goes on once that is waited for.
            let passing = async {
                tokio::task::yield_now().await;
                tokio::time::advance(READING).await;
            };
            let (read, ()) = tokio::join!(watch.fetch(), passing);
            assert!(read.unwrap_err().contains("nothing within 5 s"));
        }
        // One reading is waiting for it, and not two.
        std::fs::write(&path, "there").unwrap();
        assert_eq!(watch.fetch().await, Ok(vec![b"there".to_vec()]));
    }

    #[tokio::test]
    async fn a_link_that_is_turned_is_a_change() {
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
