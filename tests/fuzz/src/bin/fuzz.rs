//! Runs the target that `FUZZ_TARGET` names under libFuzzer.

#![no_main]

use std::sync::LazyLock;

use gateway_fuzz::{TARGETS, Target, target};

static CHOSEN: LazyLock<Target> = LazyLock::new(|| {
    let name = std::env::var("FUZZ_TARGET").unwrap_or_default();
    target(&name)
        .unwrap_or_else(|| panic!("FUZZ_TARGET is {name:?}, not one of {:?}", TARGETS.map(|(name, _)| name)))
});

libfuzzer_sys::fuzz_target!(|data: &[u8]| CHOSEN(data));
