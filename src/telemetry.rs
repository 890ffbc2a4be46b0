//! Logs and metrics: names, formats and where they go.

pub mod access;
pub mod log;
pub mod metrics;
pub mod unfinished;
