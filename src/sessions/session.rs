//! A session as requests use it to sign, and as the operator sees it.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_credential_types::Credentials;

use http::HeaderValue;

use super::cached_session::CachedSession;
use super::callers::SessionCaller;
use super::sigv4_keys::{Scope, SigningKey};
use crate::attribution::arn::RoleArn;
use crate::attribution::session_name::SessionName;
use crate::attribution::tags::SessionTags;
use crate::authorize::Authorized;
use crate::identity::SessionIdentity;

/// A session as one request uses it.
#[derive(Clone)]
pub struct Session {
    live: Arc<CachedSession>,
    lookup: Lookup,
}

impl Session {
    pub(super) fn new(live: Arc<CachedSession>, lookup: Lookup) -> Self {
        Self { live, lookup }
    }

    /// The session token, as the value of `x-amz-security-token`.
    pub fn token(&self) -> &HeaderValue {
        self.live.token()
    }

    /// The `SigV4` key of `scope`. The first use in a scope calls `derive`, which makes the key from the credentials.
    pub fn signing_key(&self, scope: &Scope, derive: impl FnOnce(&Credentials) -> SigningKey) -> SigningKey {
        self.live.sigv4_keys().get(scope, self.live.credentials(), derive)
    }

    /// The access key id, which is not secret: it is in `CloudTrail` and in the access log.
    pub fn access_key_id(&self) -> &str {
        self.live.credentials().access_key_id()
    }

    pub fn identity(&self) -> &Arc<SessionIdentity> {
        self.live.id()
    }

    /// The principal that the bill will name.
    pub fn principal(&self) -> &str {
        self.live.principal()
    }

    pub fn expires(&self) -> SystemTime {
        self.live.expires()
    }

    pub fn lookup(&self) -> Lookup {
        self.lookup
    }

    fn note_caller(&self, call: &Authorized) {
        self.live.callers().note(call.caller().caller().verified());
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("principal", &self.principal())
            .field("access_key_id", &self.access_key_id())
            .field("expires", &self.expires())
            .field("lookup", &self.lookup)
            .finish_non_exhaustive()
    }
}

/// An authorized call and the session of its own identity. Made only by [`Sessions`](super::Sessions).
#[derive(Debug)]
pub struct Ready {
    call: Authorized,
    session: Session,
}

impl Ready {
    pub(super) fn new(call: Authorized, session: Session) -> Self {
        session.note_caller(&call);
        Self { call, session }
    }

    pub fn call(&self) -> &Authorized {
        &self.call
    }

    pub fn session(&self) -> &Session {
        &self.session
    }

    /// A call with any session, for the tests of later stages.
    #[cfg(test)]
    pub(crate) fn for_tests(call: Authorized, session: Session) -> Self {
        Self { call, session }
    }

    pub(super) fn use_instead(&mut self, session: Session) {
        session.note_caller(&self.call);
        self.session = session;
    }
}

/// Where a session was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lookup {
    /// In the cache.
    Hit,
    /// Not in the cache: the request waited for STS.
    Miss,
    /// In the cache, and its renewal is due.
    Stale,
}

impl Lookup {
    /// The word in log and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Miss => "miss",
            Self::Stale => "stale",
        }
    }
}

/// A cached session as the operator sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionRecord {
    pub principal: String,
    pub role_arn: RoleArn,
    pub name: SessionName,
    pub tags: SessionTags,
    /// The first callers that used it.
    pub callers: Vec<SessionCaller>,
    /// Whether further callers have used it.
    pub more_callers: bool,
    /// When STS granted it. A renewal is a new session.
    pub granted: SystemTime,
    pub last_used: SystemTime,
    pub expires: SystemTime,
    pub access_key_id: String,
}

impl SessionRecord {
    pub(super) fn of(live: &CachedSession) -> Self {
        Self {
            principal: live.principal().to_owned(),
            role_arn: live.id().role_arn().clone(),
            name: live.id().name().clone(),
            tags: live.id().tags().clone(),
            callers: live.callers().known().cloned().collect(),
            more_callers: live.callers().has_others(),
            granted: live.granted(),
            last_used: UNIX_EPOCH + Duration::from_nanos(live.last_used()),
            expires: live.expires(),
            access_key_id: live.credentials().access_key_id().to_owned(),
        }
    }
}

/// One page of the cached sessions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SessionPage {
    /// The sessions that were used last come first.
    pub sessions: Vec<SessionRecord>,
    /// The number of sessions that match, on this page or not.
    pub matching: usize,
}
