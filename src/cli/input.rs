//! Files that the command line names.

use std::io::Read as _;
use std::path::Path;

/// Larger ones are no token and no claims.
const LARGEST: u64 = 1024 * 1024;

/// The text of a file, or of standard input where it is `-`.
///
/// # Errors
/// Says what cannot be read, and why.
pub(super) fn read(path: &Path) -> Result<String, String> {
    let mut text = String::new();
    let read = if path == Path::new("-") {
        std::io::stdin().lock().take(LARGEST).read_to_string(&mut text)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(LARGEST).read_to_string(&mut text))
    };
    match read {
        Ok(_) => Ok(text),
        Err(error) => Err(format!("{} cannot be read: {error}", path.display())),
    }
}
