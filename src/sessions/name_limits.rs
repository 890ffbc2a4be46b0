//! The limit on the sessions of one role and session name. A caller with changing tags can neither fill the cache nor
//! use up the rate of `AssumeRole` calls.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::cached_session::CachedSession;
use crate::attribution::arn::RoleArn;
use crate::attribution::session_name::SessionName;
use crate::identity::SessionIdentity;

const MINUTE: Duration = Duration::from_mins(1);
/// The number of names from which the gateway begins to drop those without sessions.
const FEW: usize = 1024;

/// The sessions of every name.
pub(super) struct NameLimits {
    per_name: usize,
    known: Mutex<Known>,
}

struct Known {
    names: HashMap<(RoleArn, SessionName), Name>,
    /// The number of names at which those without sessions are dropped next.
    sweep_at: usize,
}

#[derive(Default)]
struct Name {
    /// Weak: the cache alone decides how long a session is kept.
    live: Vec<Weak<CachedSession>>,
    /// The sessions that the gateway requested from STS within the last minute. Each session counts once: the gateway
    /// requests a refused session again every few seconds.
    asked: Vec<(Arc<SessionIdentity>, Instant)>,
}

/// An error: the name has reached its limit of new sessions within a minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TooMany;

impl NameLimits {
    /// A limit of `per_name` live sessions of a name, at least one.
    pub(super) fn new(per_name: usize) -> Self {
        let known = Known { names: HashMap::new(), sweep_at: FEW };
        Self { per_name: per_name.max(1), known: Mutex::new(known) }
    }

    /// Counts a session that the gateway is about to request from STS because it has none.
    pub(super) fn admit(&self, id: &Arc<SessionIdentity>) -> Result<(), TooMany> {
        let now = Instant::now();
        let mut known = self.known.lock();
        known.sweep(now);
        let name = known.name(id);
        name.asked.retain(|(_, at)| now.duration_since(*at) < MINUTE);
        if name.asked.iter().any(|(asked, _)| asked == id) {
            return Ok(());
        }
        if name.asked.len() >= self.per_name {
            return Err(TooMany);
        }
        name.asked.push((Arc::clone(id), now));
        Ok(())
    }

    /// Undoes the count of [`NameLimits::admit`], because the gateway did not call STS.
    pub(super) fn withdraw(&self, id: &Arc<SessionIdentity>) {
        let mut known = self.known.lock();
        let key = (id.role_arn().clone(), id.name().clone());
        if let Some(name) = known.names.get_mut(&key) {
            name.asked.retain(|(asked, _)| asked != id);
            if name.asked.is_empty() && name.live.is_empty() {
                known.names.remove(&key);
            }
        }
    }

    /// Counts a session that was granted or renewed. If the name now has too many, removes the least recently used one
    /// from the count, and returns it.
    pub(super) fn granted(&self, session: &Arc<CachedSession>) -> Option<Arc<CachedSession>> {
        let mut known = self.known.lock();
        let live = &mut known.name(session.id()).live;
        live.retain(|other| other.upgrade().is_some_and(|other| other.id() != session.id()));
        let surplus = if live.len() < self.per_name { None } else { take_least_recently_used(live) };
        live.push(Arc::downgrade(session));
        surplus
    }
}

fn take_least_recently_used(live: &mut Vec<Weak<CachedSession>>) -> Option<Arc<CachedSession>> {
    let last_used = |session: &Weak<CachedSession>| session.upgrade().map(|session| session.last_used());
    let (index, _) = live.iter().enumerate().min_by_key(|(_, session)| last_used(session))?;
    live.swap_remove(index).upgrade()
}

impl Known {
    fn name(&mut self, id: &SessionIdentity) -> &mut Name {
        self.names.entry((id.role_arn().clone(), id.name().clone())).or_default()
    }

    /// Drops names without a session, when there are twice as many names as after the last time.
    fn sweep(&mut self, now: Instant) {
        if self.names.len() < self.sweep_at {
            return;
        }
        self.names.retain(|_, name| {
            name.live.iter().any(|session| session.strong_count() > 0)
                || name.asked.iter().any(|(_, at)| now.duration_since(*at) < MINUTE)
        });
        self.sweep_at = FEW.max(2 * self.names.len());
    }
}
