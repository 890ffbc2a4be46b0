//! The faults that a test can inject into a call.

use std::fmt;
use std::time::Duration;

use crate::bill::Call;

/// A fault for one call. It applies to a call with a valid signature, after the bill has recorded the call.
///
/// Numbers of frames are the frames that are still sent. An answer that is not a stream counts as two frames, its
/// halves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// A correct answer, but late.
    Late(Duration),
    /// 429 `ThrottlingException`.
    Throttle,
    /// 403 `AccessDeniedException`.
    Deny,
    /// Any error: status, type and message.
    Error(u16, &'static str, &'static str),
    /// 403 of this type (`ExpiredTokenException`, …): the session's credentials are no longer valid.
    /// With `in_body_only` the type is in the body's `__type` instead of `x-amzn-errortype`.
    CredentialsRefused { kind: &'static str, in_body_only: bool },
    /// The connection is reset after the call has been read.
    ResetBeforeHead,
    /// No answer, ever.
    HangBeforeHead,
    /// The connection is reset after so many frames.
    ResetMidStream(usize),
    /// The connection is reset in the middle of the frame that follows so many frames.
    ResetMidFrame(usize),
    /// A stream ends in an exception frame of this type (`throttlingException`, …). It does not affect answers
    /// that are not streams.
    ExceptionMidStream(usize, &'static str),
    /// Nothing more is sent after so many frames.
    HangMidStream(usize),
}

impl Fault {
    /// Whether an answer that is not a stream must be sent in halves for it.
    pub(super) fn breaks_whole_answers(&self) -> bool {
        matches!(self, Self::ResetMidStream(_) | Self::ResetMidFrame(_) | Self::HangMidStream(_))
    }
}

/// Chooses the fault of a call, from the call itself.
pub(super) struct Chooser(pub(super) Box<Choose>);

type Choose = dyn Fn(&Call) -> Option<Fault> + Send + Sync;

impl fmt::Debug for Chooser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chooser").finish_non_exhaustive()
    }
}
