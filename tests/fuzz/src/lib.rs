//! Fuzz targets: properties that must hold for any input from an untrusted client.
//!
//! A target is a function of bytes that panics if a property does not hold. The fuzzer (`tests/fuzz/run`) calls it with
//! generated inputs, `cargo test` with the inputs in `corpus`.

mod bearer;
mod config;
mod identity;
mod route;
mod stream;
mod world;

/// A function of bytes that panics if a property does not hold.
pub type Target = fn(&[u8]);

/// The targets by the names of their folders in `corpus`.
pub const TARGETS: [(&str, Target); 5] = [
    ("bearer", bearer::check),
    ("config", config::check),
    ("identity", identity::check),
    ("route", route::check),
    ("stream", stream::check),
];

/// The target of this name.
pub fn target(name: &str) -> Option<Target> {
    TARGETS.iter().find(|(known, _)| *known == name).map(|(_, target)| *target)
}
