//! The memory that request bodies take: one budget for all, of which each principal has a share.

use std::sync::Arc;

use foldhash::HashMap;
use parking_lot::{Mutex, MutexGuard};

/// Request bodies held in memory at once by this process, bytes.
pub const MEMORY_BYTES: usize = 512 * 1024 * 1024;
/// … of which one principal's take this at most: nobody shuts the others out by sending slowly.
pub const PRINCIPAL_BYTES: usize = MEMORY_BYTES / 4;

/// The budget.
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

/// Memory for one body; given back on drop.
#[derive(Debug)]
pub struct MemorySlot {
    memory: Arc<BodyMemory>,
    principal: Arc<str>,
    each: usize,
    bytes: usize,
}

/// Whose share of the memory is used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OutOfMemory {
    #[error("too many request bodies at once")]
    Gateway,
    #[error("too many request bodies of one caller at once")]
    Caller,
}

impl BodyMemory {
    /// `all`: bytes that all bodies may take together.
    pub fn new(all: usize) -> Arc<Self> {
        Arc::new(Self { all, taken: Mutex::default() })
    }

    /// An empty slot for a body of `principal`, whose bodies may take `each` bytes together.
    pub fn slot(self: &Arc<Self>, principal: &Arc<str>, each: usize) -> MemorySlot {
        MemorySlot { memory: Arc::clone(self), principal: Arc::clone(principal), each, bytes: 0 }
    }

    /// Bytes that are taken, and by how many principals.
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
    /// Takes as many bytes more as make `bytes` in all.
    ///
    /// # Errors
    /// When the gateway or the principal has none left.
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
