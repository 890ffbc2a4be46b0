//! The memory limit for request bodies: one for the gateway, and a smaller one for each principal.

use std::fmt;
use std::sync::Arc;

use foldhash::HashMap;
use parking_lot::{Mutex, MutexGuard};

use crate::limits::Level;

/// The default of `limits.body_memory`: the most bytes of request bodies that this process holds in memory at once.
pub const MEMORY_BYTES: usize = 512 * 1024 * 1024;
/// The default of `limits.body_memory_per_principal`: the most bytes of them for one principal. A caller who sends
/// slowly cannot take the memory of all others.
pub const PRINCIPAL_BYTES: usize = MEMORY_BYTES / 4;

/// The configured limits, bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryLimits {
    /// For all bodies together.
    pub all: usize,
    /// For the bodies of one principal.
    pub per_principal: usize,
}

impl Default for MemoryLimits {
    fn default() -> Self {
        Self { all: MEMORY_BYTES, per_principal: PRINCIPAL_BYTES }
    }
}

/// A number of bytes. It is shown in the largest unit of which it is a whole number: `512 MiB`, `100 bytes`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bytes(pub usize);

impl Bytes {
    /// The same number as a value of the configuration has it: `512MiB`, `100B`.
    pub fn in_configuration(self) -> String {
        let (number, unit) = self.quantity();
        format!("{number}{}", unit.unwrap_or("B"))
    }

    /// The number and its unit. `None`: the unit is the byte.
    fn quantity(self) -> (usize, Option<&'static str>) {
        let units = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
        let fits = |size: usize| self.0 >= size && self.0.is_multiple_of(size);
        let found = units.into_iter().find(|(size, _)| fits(*size));
        found.map_or((self.0, None), |(size, unit)| (self.0 / size, Some(unit)))
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (number, unit) = self.quantity();
        write!(f, "{number} {}", unit.unwrap_or("bytes"))
    }
}

/// The memory of request bodies that is in use.
#[derive(Debug, Default)]
pub struct BodyMemory {
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
    limits: MemoryLimits,
    bytes: usize,
}

/// The limit that is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutOfMemory {
    Gateway,
    Caller,
}

impl BodyMemory {
    /// An empty slot for a body of `principal`.
    pub fn slot(self: &Arc<Self>, principal: &Arc<str>, limits: MemoryLimits) -> MemorySlot {
        MemorySlot { memory: Arc::clone(self), principal: Arc::clone(principal), limits, bytes: 0 }
    }

    /// The use of both limits: of all bodies, and of the principal with the most bytes.
    pub fn levels(&self, limits: MemoryLimits) -> (Level, Level) {
        let taken = self.taken();
        let most = taken.principals.values().copied().max().unwrap_or_default();
        let level = |used, limit| Level { used, limit };
        (level(taken.all, limits.all), level(most, limits.per_principal))
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
        if taken.all + more > self.limits.all {
            return Err(OutOfMemory::Gateway);
        }
        let of_caller = taken.principals.entry(Arc::clone(&self.principal)).or_default();
        if *of_caller + more > self.limits.per_principal {
            return Err(OutOfMemory::Caller);
        }
        *of_caller += more;
        taken.all += more;
        drop(taken);
        self.bytes += more;
        Ok(())
    }

    /// Moves the memory to another slot. This one is empty then.
    pub fn take(&mut self) -> Self {
        let (memory, principal) = (Arc::clone(&self.memory), Arc::clone(&self.principal));
        Self { memory, principal, limits: self.limits, bytes: std::mem::take(&mut self.bytes) }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_in_the_largest_unit_that_fits() {
        let sizes = [0, 100, 1 << 10, 1536, 512 << 20, 1 << 30].map(Bytes);
        let shown = sizes.map(|size| size.to_string());
        assert_eq!(shown, ["0 bytes", "100 bytes", "1 KiB", "1536 bytes", "512 MiB", "1 GiB"]);
        let written = sizes.map(Bytes::in_configuration);
        assert_eq!(written, ["0B", "100B", "1KiB", "1536B", "512MiB", "1GiB"]);
    }

    #[test]
    fn the_levels_are_those_of_all_and_of_the_principal_with_the_most() {
        let memory = Arc::new(BodyMemory::default());
        let limits = MemoryLimits { all: 100, per_principal: 50 };
        let (mut alice, mut bob) = (memory.slot(&"alice".into(), limits), memory.slot(&"bob".into(), limits));
        alice.grow_to(30).unwrap();
        bob.grow_to(20).unwrap();
        let level = |used, limit| Level { used, limit };
        assert_eq!(memory.levels(limits), (level(50, 100), level(30, 50)));
        drop((alice, bob));
        assert_eq!(memory.levels(limits), (level(0, 100), level(0, 50)));
    }
}
