//! The limits on concurrent requests, and on the memory of their bodies.

use std::cmp::Ordering;

pub mod memory;
pub mod requests;

/// How much of a limit is in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Level {
    pub used: usize,
    pub limit: usize,
}

impl Level {
    /// Compares the shares of the limits that are in use.
    pub fn by_share(&self, other: &Self) -> Ordering {
        let product = |used: usize, limit: usize| used as u128 * limit as u128;
        product(self.used, other.limit).cmp(&product(other.used, self.limit))
    }
}
