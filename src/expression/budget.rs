//! The budget of one evaluation: the bytes of texts and lists that it may build, and the steps that it may take.
//!
//! A short expression can build a lot of data from long claims. For example, it can pair each of 500 groups with a
//! text of all groups, and do that again for each group.
//!
//! The library does not count. So every function that lengthens a text or a list, or copies into one, pays from this
//! budget. Every comprehension pays for the members that it iterates over before it begins. An evaluation runs on one
//! thread from beginning to end, so the budget is a thread-local.
//!
//! A caller on a thread that serves connections has a much smaller budget of steps for all evaluations together, see
//! [`at_once`].

use std::cell::Cell;

use cel::ExecutionError;
use cel::common::types::{CelBytes, CelList, CelMap, CelString};
use cel::common::value::Val;

/// Bytes of texts and list members that one evaluation may build. A token's claims are 24 KiB at most.
pub(super) const MOST_MADE: usize = 2 << 20;
/// Members that the comprehensions of one evaluation may iterate over.
pub(super) const MOST_STEPS: usize = 1_000_000;
/// Steps that all evaluations of [`at_once`] may take together: about a millisecond. A step is one evaluation of an
/// expression or one member of a comprehension, and another one for every 64 nodes, or KiB of text, of the claims,
/// because a step can look at all of them.
pub(super) const MOST_AT_ONCE: usize = 2_000;
/// The size of claims that counts for one step of [`at_once`].
const SIZE_OF_STEP: usize = 64;
/// The bytes that a list member counts for, in addition to its text.
const MEMBER: usize = 32;
/// The function name that marks the error of an exceeded budget.
pub(super) const SPENT: &str = "@spent";
/// The function name that marks the error of too many steps.
pub(super) const TOO_LONG: &str = "@too_long";

/// The budget of steps.
#[derive(Clone, Copy)]
struct Steps {
    /// Members that the comprehensions of this evaluation may still iterate over.
    left: usize,
    /// The steps of [`at_once`] that one member of a comprehension counts for.
    each: usize,
    /// The steps that are left of [`at_once`]; `None` outside of it.
    at_once: Option<usize>,
}

thread_local! {
    static LEFT: Cell<usize> = const { Cell::new(0) };
    static STEPS: Cell<Steps> = const { Cell::new(Steps { left: 0, each: 1, at_once: None }) };
}

/// Runs `evaluations` if they take at most 2,000 steps together; `None` if they would take more. In that
/// case they have stopped early, and their results are dropped.
pub fn at_once<T>(evaluations: impl FnOnce() -> T) -> Option<T> {
    /// Ends the limit, also when an evaluation panics.
    struct Limited;
    impl Drop for Limited {
        fn drop(&mut self) {
            STEPS.set(Steps { at_once: None, ..STEPS.get() });
        }
    }
    STEPS.set(Steps { at_once: Some(MOST_AT_ONCE), ..STEPS.get() });
    let _limited = Limited;
    let results = evaluations();
    (STEPS.get().at_once > Some(0)).then_some(results)
}

/// Runs one `evaluation` over claims of this size with a full budget.
///
/// # Errors
/// Those of the evaluation, and `exhausted` when no step of [`at_once`] is left.
pub(super) fn whole<T, E>(
    size: usize,
    exhausted: impl FnOnce() -> E,
    evaluation: impl FnOnce() -> Result<T, E>,
) -> Result<T, E> {
    LEFT.set(MOST_MADE);
    STEPS.set(Steps { left: MOST_STEPS, each: 1 + size / SIZE_OF_STEP, ..STEPS.get() });
    step(1).map_err(|_| exhausted())?;
    evaluation()
}

/// Takes the steps for `members` of a comprehension from the budget.
///
/// # Errors
/// When the budget does not suffice.
pub(super) fn step(members: usize) -> Result<(), ExecutionError> {
    let steps = STEPS.get();
    let left = steps.left.checked_sub(members);
    let at_once = steps.at_once.map(|left| left.saturating_sub(members.saturating_mul(steps.each)));
    STEPS.set(Steps { left: left.unwrap_or_default(), at_once, ..steps });
    if left.is_some() && at_once != Some(0) {
        Ok(())
    } else {
        Err(ExecutionError::function_error(TOO_LONG, "too many steps"))
    }
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
