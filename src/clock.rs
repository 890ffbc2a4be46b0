//! The only wall clock. Everything that compares with a token's, a session's or a signature's time
//! asks here, so that a reader finds every such place by one name.

use std::time::SystemTime;

/// The present moment by this machine's clock, uncorrected.
pub fn now() -> SystemTime {
    #[expect(clippy::disallowed_methods, reason = "this is the clock that the lint sends everyone to")]
    SystemTime::now()
}
