//! What can happen to a call.

use std::fmt;
use std::time::Duration;

use crate::bill::Call;

/// Trouble on command, suffered by a call whose signature was good and that stands among the bill's
/// calls.
///
/// Numbers of frames are those that still get through. Answers in one piece count as two halves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// Answered, but late.
    Late(Duration),
    /// 429 `ThrottlingException`.
    Throttle,
    /// 403 `AccessDeniedException`.
    Deny,
    /// Any error: status, type and message.
    Error(u16, &'static str, &'static str),
    /// 403 of this type (`ExpiredTokenException`, …): the session's credentials are no longer good.
    /// With `in_body_only` the type is not in `x-amzn-errortype` but in the body's `__type`.
    CredentialsRefused { kind: &'static str, in_body_only: bool },
    /// The connection is reset when the call has been read.
    ResetBeforeHead,
    /// No answer, ever.
    HangBeforeHead,
    /// The connection is reset after so many frames.
    ResetMidStream(usize),
    /// … in the middle of the frame that follows.
    ResetMidFrame(usize),
    /// A stream ends in an exception frame of this type (`throttlingException`, …). Answers in one
    /// piece do not suffer it.
    ExceptionMidStream(usize, &'static str),
    /// Silence after so many frames.
    HangMidStream(usize),
}

impl Fault {
    /// Whether an answer in one piece has to be cut in two for it.
    pub(super) fn breaks_whole_answers(&self) -> bool {
        matches!(self, Self::ResetMidStream(_) | Self::ResetMidFrame(_) | Self::HangMidStream(_))
    }
}

/// Says what a call is to suffer, by the call itself.
pub(super) struct Chooser(pub(super) Box<Choose>);

type Choose = dyn Fn(&Call) -> Option<Fault> + Send + Sync;

impl fmt::Debug for Chooser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chooser").finish_non_exhaustive()
    }
}
