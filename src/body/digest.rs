//! The digest of a request's body, which the signature covers. The gateway hashes the body while it arrives, and once
//! for all attempts.

use sha2::{Digest as _, Sha256};

use crate::body::STEP;

/// The SHA-256 digest of a request's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BodyDigest([u8; 32]);

impl BodyDigest {
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    #[cfg(test)]
    pub(crate) fn of(body: &[u8]) -> Self {
        Self(Sha256::digest(body).into())
    }
}

/// The digest of a body that is still arriving.
pub(crate) struct Hashing {
    sha256: Sha256,
    /// The bytes that this poll may still hash.
    left: usize,
}

impl Hashing {
    pub(crate) fn new() -> Self {
        Self { sha256: Sha256::new(), left: STEP }
    }

    /// Adds a piece of the body. It yields to the other tasks after each [`STEP`] bytes.
    pub(crate) async fn update(&mut self, mut piece: &[u8]) {
        while !piece.is_empty() {
            if self.left == 0 {
                tokio::task::yield_now().await;
                self.left = STEP;
            }
            let (now, later) = piece.split_at(piece.len().min(self.left));
            self.sha256.update(now);
            self.left -= now.len();
            piece = later;
        }
    }

    pub(crate) fn finish(self) -> BodyDigest {
        BodyDigest(self.sha256.finalize().into())
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Waker};

    use super::*;

    #[tokio::test]
    async fn the_digest_does_not_depend_on_the_pieces() {
        let body: Vec<u8> = (0..=255).cycle().take(STEP + 3).collect();
        for size in [1000, STEP, STEP + 3] {
            let mut hashing = Hashing::new();
            for piece in body.chunks(size) {
                hashing.update(piece).await;
            }
            assert_eq!(hashing.finish(), BodyDigest::of(&body));
        }
        assert_eq!(Hashing::new().finish(), BodyDigest::of(b""));
    }

    #[test]
    fn one_poll_hashes_at_most_a_step() {
        // With pieces of any size, the number of polls is the number of steps.
        for size in [STEP / 3, 5 * STEP] {
            let body = vec![7; 5 * STEP];
            let mut hashing = Hashing::new();
            let mut hashed = pin!(async {
                for piece in body.chunks(size) {
                    hashing.update(piece).await;
                }
            });
            let mut cx = Context::from_waker(Waker::noop());
            let polls = 1 + (0..100).take_while(|_| hashed.as_mut().poll(&mut cx).is_pending()).count();
            assert_eq!(polls, 5);
        }
    }
}
