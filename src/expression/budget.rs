//! What one evaluation may put together: bounded, since a short expression can make much of long claims
//! (each of 500 groups with all of them joined, and that for each again).
//!
//! The library counts nothing, so whatever makes a text or a list longer, or copies into one, pays from
//! here. An evaluation runs on one thread from its beginning to its end.

use std::cell::Cell;

use cel::ExecutionError;
use cel::common::types::{CelBytes, CelList, CelMap, CelString};
use cel::common::value::Val;

/// Bytes of texts and list members that one evaluation may make; a token's claims are 24 KiB.
pub(super) const MOST_MADE: usize = 2 << 20;
/// What a member of a list is taken for beside its text, bytes.
const MEMBER: usize = 32;
/// The name in the error, by which it is told from others.
pub(super) const SPENT: &str = "@spent";

thread_local! {
    static LEFT: Cell<usize> = const { Cell::new(0) };
}

/// Runs `evaluation` with a whole budget.
pub(super) fn whole<T>(evaluation: impl FnOnce() -> T) -> T {
    LEFT.set(MOST_MADE);
    evaluation()
}

/// Pays for something of so many bytes before it is made.
///
/// # Errors
/// When the evaluation has made too much.
pub(super) fn pay(bytes: usize) -> Result<(), ExecutionError> {
    let left = LEFT.get().checked_sub(bytes);
    LEFT.set(left.unwrap_or_default());
    left.map(|_| ()).ok_or_else(|| ExecutionError::function_error(SPENT, "it puts too much together"))
}

/// About what a copy of `value` takes, bytes.
pub(super) fn size(value: &dyn Val) -> usize {
    let held = if let Some(text) = value.downcast_ref::<CelString<'_>>() {
        text.inner().len()
    } else if let Some(bytes) = value.downcast_ref::<CelBytes<'_>>() {
        bytes.inner().len()
    } else if let Some(list) = value.downcast_ref::<CelList<'_>>() {
        list.inner().iter().map(|member| size(&**member)).sum()
    } else if let Some(map) = value.downcast_ref::<CelMap<'_>>() {
        map.inner().iter().map(|(key, member)| size(key.inner()) + size(&**member)).sum()
    } else {
        0
    };
    MEMBER + held
}
