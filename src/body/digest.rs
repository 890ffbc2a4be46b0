//! The digest of a request's body, which the signature covers.

/// The SHA-256 digest of a request's body. The gateway computes it while the body arrives, and once for all attempts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BodyDigest(pub(super) [u8; 32]);

impl BodyDigest {
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    #[cfg(test)]
    pub(crate) fn of(body: &[u8]) -> Self {
        Self(<sha2::Sha256 as sha2::Digest>::digest(body).into())
    }
}
