//! Request bodies as the gateway holds them.

pub mod digest;

/// Most bytes of a body that one poll of a task reads, hashes or copies. With more, the task would keep the other tasks
/// of its worker waiting.
pub const STEP: usize = 256 * 1024;
