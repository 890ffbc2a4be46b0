//! The endpoints for operators: the probe port and the admin port.

pub mod admin;
mod answer;
pub mod probe;
pub mod problem;
pub mod problem_log;
