//! The budget of one evaluation: the bytes of texts and lists that it may build.
//!
//! A short expression can build a lot of data from long claims. For example, it can pair each of 500 groups with a
//! text of all groups, and do that again for each group.
//!
//! The library does not count. So every function that lengthens a text or a list, or copies into one, pays from this
//! budget. An evaluation runs on one thread from beginning to end, so the budget is a thread-local.

use std::cell::Cell;

use cel::ExecutionError;
use cel::common::types::{CelBytes, CelList, CelMap, CelString};
use cel::common::value::Val;

/// Bytes of texts and list members that one evaluation may build. A token's claims are 24 KiB at most.
pub(super) const MOST_MADE: usize = 2 << 20;
/// The bytes that a list member counts for, in addition to its text.
const MEMBER: usize = 32;
/// The function name that marks the error of an exceeded budget.
pub(super) const SPENT: &str = "@spent";

thread_local! {
    static LEFT: Cell<usize> = const { Cell::new(0) };
}

/// Runs `evaluation` with a full budget.
pub(super) fn whole<T>(evaluation: impl FnOnce() -> T) -> T {
    LEFT.set(MOST_MADE);
    evaluation()
}

/// Takes `bytes` from the budget. The caller builds the value afterwards.
///
/// # Errors
/// When the budget does not suffice.
pub(super) fn pay(bytes: usize) -> Result<(), ExecutionError> {
    let left = LEFT.get().checked_sub(bytes);
    LEFT.set(left.unwrap_or_default());
    left.map(|_| ()).ok_or_else(|| ExecutionError::function_error(SPENT, "the budget is exceeded"))
}

/// The approximate size of a copy of `value`, in bytes.
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
