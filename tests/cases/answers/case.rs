//! The form of the cases in this folder, for the tests of the table and for those over a socket.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

/// The answer that a failure is to have; see the folder's README.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Case {
    pub(super) status: u16,
    pub(super) reason: String,
    pub(super) words: String,
    #[serde(default)]
    pub(super) headers: BTreeMap<String, String>,
    pub(super) aws: String,
    pub(super) openai: String,
    pub(super) anthropic: String,
}

/// The cases of all stages, by `STAGE/NAME`.
pub(super) fn cases() -> BTreeMap<String, Case> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/answers");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut cases = BTreeMap::new();
    for file in files.filter(|file| file.extension().is_some_and(|extension| extension == "toml")) {
        let stage = file.file_stem().unwrap().to_str().unwrap();
        let of_stage: BTreeMap<String, Case> =
            toml::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
        cases.extend(of_stage.into_iter().map(|(name, case)| (format!("{stage}/{name}"), case)));
    }
    cases
}
