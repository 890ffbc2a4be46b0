//! A request's body while it arrives.

use std::future::poll_fn;

use bytes::{Bytes, BytesMut};
use sha2::{Digest as _, Sha256};

use crate::body::digest::BodyDigest;
use crate::body::paced::Turn;
use crate::body::{PIECE, Pieces, STEP, WholeBody};
use crate::limits::memory::{MemorySlot, OutOfMemory};

/// The least that a frame counts for, bytes: many short ones take as long as one long one.
const LEAST: usize = 256;

/// A body of which more may arrive.
///
/// If it arrives in one piece, this piece is the body. Otherwise the gateway copies all further pieces into its own:
/// a short piece that hyper read can hold a buffer of 128 KiB in memory. The own ones never grow, because growing would
/// copy them again. Each is as large as what arrived before it, up to [`PIECE`].
pub(crate) struct Arriving {
    pieces: Pieces,
    /// The piece that is filled.
    last: BytesMut,
    /// The capacity of all pieces, bytes.
    reserved: usize,
    /// The length that the client announced, or less.
    announced: usize,
    /// The limit of the length.
    max: usize,
    sha256: Sha256,
    turn: Turn<STEP>,
}

impl Arriving {
    /// An empty body, whose memory is charged to `memory`. `announced` is the length that the client announced, or less;
    /// `max` is the largest length.
    pub(crate) fn new(memory: MemorySlot, announced: usize, max: usize) -> Self {
        let pieces = Pieces::new(memory);
        let (last, sha256) = (BytesMut::new(), Sha256::new());
        Self { pieces, last, reserved: 0, announced, max, sha256, turn: Turn::new() }
    }

    /// The number of bytes that arrived.
    pub(crate) fn len(&self) -> usize {
        self.pieces.length
    }

    /// Adds a piece, with which the body must not become longer than its limit. It yields to the other tasks after each
    /// [`STEP`] bytes.
    ///
    /// # Errors
    /// When a memory limit is reached.
    pub(crate) async fn push(&mut self, piece: Bytes) -> Result<(), OutOfMemory> {
        let is_first = self.len() == 0;
        if is_first {
            self.reserve(piece.len())?;
        }
        let mut rest = &piece[..];
        while !rest.is_empty() {
            let left = poll_fn(|cx| self.turn.poll(cx)).await;
            let (now, later) = rest.split_at(rest.len().min(left));
            self.turn.spend(now.len().max(LEAST));
            self.sha256.update(now);
            if !is_first {
                self.copy(now)?;
            }
            rest = later;
        }
        if is_first {
            self.pieces.length = piece.len();
            self.pieces.first = piece;
        }
        Ok(())
    }

    fn copy(&mut self, mut bytes: &[u8]) -> Result<(), OutOfMemory> {
        while !bytes.is_empty() {
            if self.last.len() == self.last.capacity() {
                self.begin_piece(bytes.len())?;
            }
            let (now, later) = bytes.split_at(bytes.len().min(self.last.capacity() - self.last.len()));
            self.last.extend_from_slice(now);
            self.pieces.length += now.len();
            bytes = later;
        }
        Ok(())
    }

    /// Begins a piece, for `bytes` or more.
    fn begin_piece(&mut self, bytes: usize) -> Result<(), OutOfMemory> {
        self.keep_last();
        let length = self.len();
        let end = if self.announced > length { self.announced } else { self.max };
        let capacity = bytes.max(length).min(PIECE).min(end.saturating_sub(length)).max(1);
        self.reserve(capacity)?;
        self.last = BytesMut::with_capacity(capacity);
        Ok(())
    }

    fn keep_last(&mut self) {
        if !self.last.is_empty() {
            self.pieces.more.push(std::mem::take(&mut self.last).freeze());
        }
    }

    fn reserve(&mut self, bytes: usize) -> Result<(), OutOfMemory> {
        self.reserved += bytes;
        self.pieces.memory.grow_to(self.reserved)
    }

    pub(crate) fn finish(mut self) -> WholeBody {
        self.keep_last();
        WholeBody { pieces: self.pieces, digest: BodyDigest(self.sha256.finalize().into()) }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::sync::Arc;
    use std::task::{Context, Waker};

    use proptest::prelude::*;

    use super::*;
    use crate::limits::memory::{BodyMemory, MemoryLimits};

    fn arriving(memory: &Arc<BodyMemory>, announced: usize, max: usize) -> Arriving {
        Arriving::new(memory.slot(&"alice".into(), MemoryLimits::default()), announced, max)
    }

    #[test]
    fn one_poll_hashes_and_copies_at_most_a_step() {
        let memory = Arc::default();
        let large = Bytes::from(vec![7; 5 * STEP]);
        let at_once = vec![large.clone()];
        let copied = vec![large.slice(..1), large.slice(1..)];
        let small = (0..50).map(|tenth| large.slice(tenth * STEP / 10..(tenth + 1) * STEP / 10)).collect();
        for pieces in [at_once, copied, small] {
            let length = pieces.iter().map(Bytes::len).sum::<usize>();
            let mut body = arriving(&memory, 0, length);
            let mut hashed = 0;
            let mut pushed = pin!(async {
                for piece in pieces {
                    body.push(piece).await.unwrap();
                }
            });
            let mut cx = Context::from_waker(Waker::noop());
            // Each poll but the last one uses up its step.
            while pushed.as_mut().poll(&mut cx).is_pending() {
                hashed += STEP;
            }
            let counted = length + LEAST;
            assert!(hashed < counted && length <= hashed + STEP, "{hashed} of {length} before the last poll");
        }
    }

    #[test]
    fn one_poll_takes_a_bounded_number_of_short_frames() {
        let memory = Arc::default();
        let mut body = arriving(&memory, 0, 5_000);
        let mut pushed = pin!(async {
            for _ in 0..5_000 {
                body.push(Bytes::from_static(b"x")).await.unwrap();
            }
        });
        let mut polls = 1;
        while pushed.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending() {
            polls += 1;
        }
        assert_eq!(polls, (5_000 * LEAST).div_ceil(STEP));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn the_body_and_its_memory_do_not_depend_on_the_pieces(
            lengths in prop::collection::vec(prop_oneof![0..9_usize, 0..3 * PIECE], 0..8),
            announces in prop::bool::ANY,
        ) {
            let sent: Vec<u8> = (0..=255).cycle().take(lengths.iter().sum()).collect();
            let memory = Arc::<BodyMemory>::default();
            let mut body = arriving(&memory, if announces { sent.len() } else { 0 }, sent.len() + PIECE);
            let mut rest = Bytes::from(sent.clone());
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            for length in lengths.into_iter().filter(|length| *length > 0) {
                runtime.block_on(body.push(rest.split_to(length))).unwrap();
                // What is not filled yet is at most as much as arrived, and at most a piece.
                let slack = memory.in_use().0 - body.len();
                prop_assert!(slack <= body.len().min(PIECE), "{slack} of {}", body.len());
            }
            let body = body.finish();
            prop_assert_eq!(&body.bytes()[..], &sent[..]);
            prop_assert_eq!(*body.digest(), BodyDigest::of(&sent));
            let capacity = body.pieces.iter().map(Bytes::len).sum::<usize>();
            prop_assert!(body.pieces.more.iter().all(|piece| piece.len() <= PIECE));
            prop_assert!(!announces || memory.in_use().0 == capacity);
            drop(body);
        }
    }
}
