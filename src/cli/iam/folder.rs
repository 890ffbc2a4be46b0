//! A folder of files that is written as a whole: everything that can fail is tried before the folder changes.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Writes the files into `folder`, which is created if it is missing. The files are first written into a new folder
/// beside it.
///
/// # Errors
/// When `folder` holds other files, or a file cannot be written: what is wrong, and the remedy.
pub(super) fn write(folder: &Path, files: &BTreeMap<String, String>) -> Result<(), String> {
    let cannot = |error: &io::Error| format!("{} cannot be written: {error}", folder.display());
    if folder.is_file() {
        return Err(format!("{} is a file; pass a folder", folder.display()));
    }
    if let Some(other) = other_file(folder, folder, files).map_err(|error| cannot(&error))? {
        return Err(format!(
            "{} holds a file that this command does not write: {}; pass an empty folder, or remove the file if it is of \
             an earlier configuration",
            folder.display(),
            other.display()
        ));
    }
    let new = beside(folder);
    make(&new).map_err(|error| cannot(&error))?;
    let written = fill(&new, files).and_then(|()| replace(folder, &new, files));
    if let Err(error) = written {
        // The error of the removal would hide the one that matters.
        drop(fs::remove_dir_all(&new));
        return Err(cannot(&error));
    }
    Ok(())
}

/// A file below `folder` that is not one of `files`.
fn other_file(root: &Path, folder: &Path, files: &BTreeMap<String, String>) -> io::Result<Option<PathBuf>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let path = entry?.path();
        // A link could lead out of the folder.
        if path.is_dir() && !path.is_symlink() {
            if let Some(other) = other_file(root, &path, files)? {
                return Ok(Some(other));
            }
            continue;
        }
        let relative = path.strip_prefix(root).ok().and_then(Path::to_str).unwrap_or_default();
        if path.is_symlink() || !files.contains_key(relative) {
            return Ok(Some(path));
        }
    }
    Ok(None)
}

/// A name in the same folder, so that a rename does not cross file systems.
fn beside(folder: &Path) -> PathBuf {
    let absolute = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    let mut name = OsString::from(".");
    name.push(absolute.file_name().unwrap_or_default());
    name.push(format!(".{}", std::process::id()));
    absolute.with_file_name(name)
}

/// Makes the folder. Fails if it exists: another user may have made it, with links to other places.
fn make(new: &Path) -> io::Result<()> {
    if let Some(parent) = new.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::create_dir(new)
}

fn fill(new: &Path, files: &BTreeMap<String, String>) -> io::Result<()> {
    for (path, text) in files {
        let path = new.join(path);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(path, text)?;
    }
    Ok(())
}

/// Moves the new files to their place: the whole folder if it is not there yet, otherwise each file.
fn replace(folder: &Path, new: &Path, files: &BTreeMap<String, String>) -> io::Result<()> {
    let is_there = folder.exists();
    if !is_there || fs::remove_dir(folder).is_ok() {
        return fs::rename(new, folder);
    }
    for path in files.keys() {
        let place = folder.join(path);
        if let Some(parent) = place.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::rename(new.join(path), place)?;
    }
    fs::remove_dir_all(new)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(of: &[(&str, &str)]) -> BTreeMap<String, String> {
        of.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect()
    }

    #[test]
    fn a_folder_is_written_and_written_again() {
        let room = tempfile::tempdir().unwrap();
        let out = room.path().join("deep/iam");
        write(&out, &files(&[("1/a/x.json", "1"), ("1/steps.md", "s")])).unwrap();
        write(&out, &files(&[("1/a/x.json", "2"), ("1/steps.md", "s"), ("2/y.json", "3")])).unwrap();
        assert_eq!(fs::read_to_string(out.join("1/a/x.json")).unwrap(), "2");
        assert_eq!(fs::read_to_string(out.join("2/y.json")).unwrap(), "3");
        assert_eq!(fs::read_dir(room.path().join("deep")).unwrap().count(), 1);
    }

    #[test]
    fn a_folder_with_other_files_stays_as_it_is() {
        let room = tempfile::tempdir().unwrap();
        fs::create_dir(room.path().join("1")).unwrap();
        fs::write(room.path().join("1/notes.txt"), "mine").unwrap();
        let error = write(room.path(), &files(&[("1/x.json", "1")])).unwrap_err();
        assert!(error.contains("notes.txt") && error.contains("empty folder"), "{error}");
        assert_eq!(fs::read_dir(room.path().join("1")).unwrap().count(), 1);
    }

    #[test]
    fn nothing_is_left_of_a_failed_attempt() {
        let room = tempfile::tempdir().unwrap();
        // The second path needs the first one to be a folder.
        let error = write(&room.path().join("out"), &files(&[("a", "1"), ("a/b", "2")])).unwrap_err();
        assert!(error.contains("cannot be written"), "{error}");
        assert_eq!(fs::read_dir(room.path()).unwrap().count(), 0);
    }
}
