//! The limits on concurrent requests, and on the memory of their bodies.

pub mod memory;
pub mod requests;
