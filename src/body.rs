//! A request's body in the gateway's memory. It arrives in pieces, is hashed on the way, and is sent from there.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;
use tokio::runtime::Handle;

use crate::body::digest::BodyDigest;
use crate::limits::memory::MemorySlot;

pub(crate) mod arriving;
pub mod digest;
pub(crate) mod paced;
pub(crate) mod sent;

/// Most bytes of a body that one poll of a task hashes, copies or sends. With more, the task would keep the other tasks
/// of its worker waiting.
pub const STEP: usize = 256 * 1024;
/// The size of the largest pieces that the gateway allocates, and that it sends at once.
pub const PIECE: usize = STEP / 2;
/// The size of the largest body that is freed in place, bytes. The kernel takes 50 µs for each MiB.
const FREED_IN_PLACE: usize = 1024 * 1024;

/// A request's body, complete, and byte for byte as received.
pub struct WholeBody {
    pieces: Pieces,
    digest: BodyDigest,
}

impl fmt::Debug for WholeBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WholeBody").field("bytes", &self.len()).finish_non_exhaustive()
    }
}

impl WholeBody {
    /// The number of bytes.
    pub fn len(&self) -> usize {
        self.pieces.length
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn digest(&self) -> &BodyDigest {
        &self.digest
    }

    /// All bytes. It copies them if they are in several pieces.
    pub fn bytes(&self) -> Cow<'_, [u8]> {
        if self.pieces.more.is_empty() {
            return Cow::Borrowed(&self.pieces.first);
        }
        let mut bytes = Vec::with_capacity(self.len());
        self.pieces.iter().for_each(|piece| bytes.extend_from_slice(piece));
        Cow::Owned(bytes)
    }

    /// The same body in one piece. Each piece is freed as soon as it is copied, so that the memory does not hold the body
    /// twice.
    #[must_use]
    pub(crate) fn in_one_piece(mut self) -> Self {
        let pieces = &mut self.pieces;
        if !pieces.more.is_empty() {
            let mut bytes = Vec::with_capacity(pieces.length);
            bytes.extend_from_slice(&std::mem::take(&mut pieces.first));
            pieces.more.drain(..).for_each(|piece| bytes.extend_from_slice(&piece));
            pieces.first = bytes.into();
        }
        self
    }

    #[cfg(test)]
    pub(crate) fn for_tests(pieces: &[&[u8]]) -> Self {
        let mut pieces = pieces.iter().map(|piece| Bytes::copy_from_slice(piece));
        let memory = std::sync::Arc::<crate::limits::memory::BodyMemory>::default();
        let mut held =
            Pieces::new(memory.slot(&"test".into(), crate::limits::memory::MemoryLimits::default()));
        held.first = pieces.next().unwrap_or_default();
        held.more = pieces.collect();
        held.length = held.iter().map(Bytes::len).sum();
        let digest = BodyDigest::of(&held.iter().flatten().copied().collect::<Vec<u8>>());
        Self { pieces: held, digest }
    }
}

/// The pieces of a body, and the memory that they are charged to. The first one is as received, and the further ones
/// are the gateway's own.
struct Pieces {
    first: Bytes,
    more: Vec<Bytes>,
    length: usize,
    memory: MemorySlot,
}

impl Pieces {
    fn new(memory: MemorySlot) -> Self {
        Self { first: Bytes::new(), more: Vec::new(), length: 0, memory }
    }

    fn iter(&self) -> impl Iterator<Item = &Bytes> {
        std::iter::once(&self.first).chain(&self.more)
    }

    fn get(&self, index: usize) -> Option<&Bytes> {
        index.checked_sub(1).map_or(Some(&self.first), |further| self.more.get(further))
    }
}

impl Drop for Pieces {
    /// Frees a large body on a thread for blocking work.
    fn drop(&mut self) {
        if self.length > FREED_IN_PLACE
            && let Ok(runtime) = Handle::try_current()
        {
            let pieces =
                (std::mem::take(&mut self.first), std::mem::take(&mut self.more), self.memory.take());
            runtime.spawn_blocking(move || drop(pieces));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_in_one_piece_has_the_same_bytes() {
        let in_pieces: [&[&[u8]]; 4] = [&[], &[b"abc"], &[b"ab", b"c"], &[b"a", b"", b"bc"]];
        for pieces in in_pieces {
            let body = WholeBody::for_tests(pieces);
            let (bytes, digest) = (body.bytes().into_owned(), *body.digest());
            let joined = body.in_one_piece();
            assert!(matches!(joined.bytes(), Cow::Borrowed(same) if same == bytes));
            assert_eq!((joined.len(), *joined.digest()), (bytes.len(), digest));
        }
    }

    #[test]
    fn a_large_body_is_freed_on_another_thread() {
        /// Reports the thread that frees it.
        struct Tracked(std::sync::mpsc::Sender<std::thread::ThreadId>, Vec<u8>);
        impl AsRef<[u8]> for Tracked {
            fn as_ref(&self) -> &[u8] {
                &self.1
            }
        }
        impl Drop for Tracked {
            fn drop(&mut self) {
                self.0.send(std::thread::current().id()).unwrap();
            }
        }
        let worker = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let _context = worker.enter();
        let (freed, threads) = std::sync::mpsc::channel();
        for (length, in_place) in [(FREED_IN_PLACE, true), (FREED_IN_PLACE + 1, false)] {
            let mut body = WholeBody::for_tests(&[]);
            body.pieces.first = Bytes::from_owner(Tracked(freed.clone(), vec![0; length]));
            body.pieces.length = length;
            drop(body);
            assert_eq!(threads.recv().unwrap() == std::thread::current().id(), in_place);
        }
    }
}
