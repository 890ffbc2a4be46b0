//! Attacks by which a client tries to make the gateway use more memory. Each runs against the real binary in its own
//! process, whose memory the test reads from the system. During each attack the memory stays below a ceiling, the log
//! grows by at most 64 KiB, and an honest client is served all the time.
//!
//! A ceiling limits the growth of memory. It is above the growth that the gateway's limits allow, and far below the
//! growth without them. The test prints the ceiling and the growth without limits. By default, all attacks together take
//! about a minute. `ABUSE=full` sends realistic amounts. `ABUSE_GATEWAY` names another binary to test, for example a
//! release build.

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
