//! Every input that is kept, on every target of its name: what was found once is not found again.

use std::fs;
use std::path::Path;

use gateway_fuzz::TARGETS;

fn replay(name: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name);
    let target = gateway_fuzz::target(name).unwrap();
    let mut inputs = 0;
    for input in fs::read_dir(folder).unwrap() {
        let input = input.unwrap().path();
        println!("{}", input.display());
        target(&fs::read(input).unwrap());
        inputs += 1;
    }
    assert!(inputs > 0, "{name} has no corpus");
}

#[test]
fn bearer() {
    replay("bearer");
}

#[test]
fn config() {
    replay("config");
}

#[test]
fn identity() {
    replay("identity");
}

#[test]
fn route() {
    replay("route");
}

#[test]
fn stream() {
    replay("stream");
}

#[test]
fn every_folder_is_a_targets_and_every_target_has_one() {
    let folders = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus")).unwrap();
    let mut folders: Vec<String> =
        folders.map(|folder| folder.unwrap().file_name().into_string().unwrap()).collect();
    folders.sort();
    assert_eq!(folders, TARGETS.map(|(name, _)| name));
}
