//! What operators ask of the gateway: the probe listener and the admin listener.

pub mod admin;
mod answer;
pub mod probe;
