//! The suffix of replaced values: `==` and 16 characters of a hash of the exact original.
//!
//! 16 base32 characters are 80 bits. That is enough to rule out that two users of one company get the same suffix
//! by chance, or that a user finds a value with the suffix of another user. The format never changes, since years of
//! bills contain it.

use sha2::{Digest as _, Sha256};

const MARK: &str = "==";
/// Hash characters after the mark.
const HASH: usize = 16;
/// Characters of the whole suffix.
pub(super) const LENGTH: usize = MARK.len() + HASH;
/// RFC 4648's base32, in lower case.
const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// The suffix of the value that replaces `value`.
pub(super) fn of(value: &str) -> String {
    let digest = Sha256::digest(value.as_bytes());
    let bits = digest.iter().take(10).fold(0_u128, |bits, byte| bits << 8 | u128::from(*byte));
    let mut suffix = String::with_capacity(LENGTH);
    suffix.push_str(MARK);
    for position in (0..HASH).rev() {
        let index = usize::try_from(bits >> (5 * position) & 31).unwrap_or_default();
        suffix.push(char::from(ALPHABET[index]));
    }
    suffix
}

/// Whether `value` ends in the shape of a suffix. The gateway replaces such a value too. Otherwise a user could
/// choose a value that equals the replaced value of another user.
pub(super) fn ends(value: &str) -> bool {
    let bytes = value.as_bytes();
    let Some(tail) = bytes.len().checked_sub(LENGTH).and_then(|start| bytes.get(start..)) else {
        return false;
    };
    let (mark, hash) = tail.split_at(MARK.len());
    mark == MARK.as_bytes() && hash.iter().all(|byte| ALPHABET.contains(byte))
}
