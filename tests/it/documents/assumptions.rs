//! `docs/ASSUMPTIONS.md` and the comments `// Assumption A1.` in `src` name the same facts, in the same files.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

const DOCUMENT: &str = include_str!("../../../docs/ASSUMPTIONS.md");
const COMMENT: &str = "// Assumption ";

/// The files by the id of the fact that they rely on.
type Places = BTreeMap<String, BTreeSet<String>>;

fn documented() -> Places {
    let mut places = Places::new();
    for row in DOCUMENT.lines().filter(|line| line.starts_with("| A")) {
        let cells: Vec<&str> = row.split(" | ").collect();
        assert_eq!(cells.len(), 5, "{row}");
        let id = cells[0].trim_start_matches("| ").to_owned();
        let files = cells[2].split('`').skip(1).step_by(2).map(str::to_owned).collect();
        assert_eq!(places.insert(id, files), None, "two facts have one id: {row}");
    }
    places
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else {
            found.push(path);
        }
    }
}

fn commented() -> Places {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (mut places, mut found) = (Places::new(), Vec::new());
    files(&root.join("src"), &mut found);
    for path in found {
        let name = path.strip_prefix(root).unwrap().to_str().unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        for id in text.lines().filter_map(|line| line.trim_start().strip_prefix(COMMENT)) {
            places.entry(id.trim_end_matches('.').to_owned()).or_default().insert(name.to_owned());
        }
    }
    places
}

#[test]
fn assumptions_are_listed_and_marked_in_the_code() {
    let documented = documented();
    assert!(documented.len() > 20, "{documented:?}");
    assert_eq!(documented, commented());
    let numbers: BTreeSet<usize> = documented.keys().map(|id| id[1..].parse().unwrap()).collect();
    assert_eq!(numbers, (1..=documented.len()).collect(), "ids have no gap");
}
