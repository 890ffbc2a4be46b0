//! The memory limit for request bodies: one for the gateway, and a smaller one for each principal.

use std::sync::Arc;

use foldhash::HashMap;
use parking_lot::{Mutex, MutexGuard};

/// The most bytes of request bodies that this process holds in memory at once.
pub const MEMORY_BYTES: usize = 512 * 1024 * 1024;
/// The most bytes of them for one principal. A caller who sends slowly cannot take the memory of all others.
pub const PRINCIPAL_BYTES: usize = MEMORY_BYTES / 4;

/// The memory of request bodies that is in use, and its limit.
#[derive(Debug)]
pub struct BodyMemory {
    all: usize,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    principals: HashMap<Arc<str>, usize>,
}

/// The memory of one body. Dropping it returns the memory.
#[derive(Debug)]
pub struct MemorySlot {
    memory: Arc<BodyMemory>,
    principal: Arc<str>,
    each: usize,
    bytes: usize,
}

/// The limit that is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OutOfMemory {
    #[error("the request bodies in memory have reached the gateway's limit")]
    Gateway,
    #[error("the request bodies in memory have reached the limit of one caller")]
    Caller,
}

impl BodyMemory {
    /// The memory for all bodies, `all` bytes at most.
    pub fn new(all: usize) -> Arc<Self> {
        Arc::new(Self { all, taken: Mutex::default() })
    }

    /// An empty slot for a body of `principal`. All bodies of one principal may take `each` bytes together.
    pub fn slot(self: &Arc<Self>, principal: &Arc<str>, each: usize) -> MemorySlot {
        MemorySlot { memory: Arc::clone(self), principal: Arc::clone(principal), each, bytes: 0 }
    }

    /// The bytes in use, and the number of principals that use them.
    #[cfg(test)]
    pub(crate) fn in_use(&self) -> (usize, usize) {
        let taken = self.taken();
        (taken.all, taken.principals.len())
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock()
    }
}

impl MemorySlot {
    /// Reserves more memory, so that this slot has `bytes` in all.
    ///
    /// # Errors
    /// When a limit is reached.
    pub fn grow_to(&mut self, bytes: usize) -> Result<(), OutOfMemory> {
        let more = bytes.saturating_sub(self.bytes);
        let mut taken = self.memory.taken();
        if taken.all + more > self.memory.all {
            return Err(OutOfMemory::Gateway);
        }
        let of_caller = taken.principals.entry(Arc::clone(&self.principal)).or_default();
        if *of_caller + more > self.each {
            return Err(OutOfMemory::Caller);
        }
        *of_caller += more;
        taken.all += more;
        drop(taken);
        self.bytes += more;
        Ok(())
    }
}

impl Drop for MemorySlot {
    fn drop(&mut self) {
        let mut taken = self.memory.taken();
        taken.all -= self.bytes;
        if let Some(of_caller) = taken.principals.get_mut(&self.principal) {
            *of_caller -= self.bytes;
            if *of_caller == 0 {
                taken.principals.remove(&self.principal);
            }
        }
    }
}
