//! What a peer can do to make the gateway grow, done to the real binary in a process of its own, whose memory
//! is read from the system: under each abuse it stays below a ceiling that is printed, its log grows by 64 KiB at
//! most, and an honest client is served throughout.
//!
//! A ceiling is for what memory grows by. It is chosen so that the limits that hold leave room below it and
//! what would be, without them, lies far above it; both are printed. The amounts are such that the whole takes
//! about a minute. `ABUSE=full` sends them as large as they are in the real world, and `ABUSE_GATEWAY` names
//! another binary than the one under test, such as a release build.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::string_slice,
    reason = "a test that cannot go on has failed"
)]

#[cfg(target_os = "linux")]
mod connections;
#[cfg(target_os = "linux")]
mod frames;
#[cfg(target_os = "linux")]
mod gate;
#[cfg(target_os = "linux")]
mod heads;
#[cfg(target_os = "linux")]
mod http2;
#[cfg(target_os = "linux")]
mod tokens;
