//! The process log, the access log and the metrics: names, formats and destinations.

pub mod access;
pub mod log;
pub mod metrics;
pub mod unfinished;
