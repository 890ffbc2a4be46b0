//! What strangers send, and what must hold of it whatever it is.
//!
//! Each target is a function of some bytes that panics where something does not hold. The fuzzer calls
//! it with what it makes up (`tests/fuzz/run`), `cargo test` with the inputs in `corpus`.

mod bearer;
mod config;
mod identity;
mod route;
mod stream;
mod world;

/// A function of some bytes that panics where something does not hold.
pub type Target = fn(&[u8]);

/// By the names of their folders in `corpus`.
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
