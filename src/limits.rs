//! How much may be under way at once: requests, and the memory that their bodies take.

pub mod memory;
pub mod requests;
