//! Logs and metrics: names, formats and where they go.

pub mod metrics;
