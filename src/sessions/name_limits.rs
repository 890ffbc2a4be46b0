//! The limit on the sessions of one role and session name. A caller with changing tags can neither fill the cache nor
//! use up the rate of `AssumeRole` calls.

use std::hash::BuildHasher as _;
use std::sync::{Arc, Weak};
use std::time::Duration;

use foldhash::HashMap;
use foldhash::quality::RandomState;
use parking_lot::{Mutex, MutexGuard};
use tokio::time::Instant;

use super::cached_session::CachedSession;
use crate::attribution::arn::RoleArn;
use crate::attribution::session_name::SessionName;
use crate::identity::SessionIdentity;

const MINUTE: Duration = Duration::from_mins(1);
/// The parts of the names. A sweep holds the lock of one part at a time: some 400 names of 100,000.
const PARTS: usize = 256;

/// The sessions of every name.
pub(super) struct NameLimits {
    per_name: usize,
    /// By the hash of the name.
    parts: [Mutex<Names>; PARTS],
    hasher: RandomState,
}

type Names = HashMap<(RoleArn, SessionName), Name>;

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
        let parts = std::array::from_fn(|_| Mutex::default());
        Self { per_name: per_name.max(1), parts, hasher: RandomState::default() }
    }

    /// Counts a session that the gateway is about to request from STS because it has none.
    pub(super) fn admit(&self, id: &Arc<SessionIdentity>) -> Result<(), TooMany> {
        let (key, now) = (key(id), Instant::now());
        let mut names = self.part(&key);
        let name = names.entry(key).or_default();
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
        let key = key(id);
        let mut names = self.part(&key);
        if let Some(name) = names.get_mut(&key) {
            name.asked.retain(|(asked, _)| asked != id);
            if name.asked.is_empty() && name.live.is_empty() {
                names.remove(&key);
            }
        }
    }

    /// Counts a session that was granted or renewed. If the name now has too many, removes the least recently used one
    /// from the count, and returns it.
    pub(super) fn granted(&self, session: &Arc<CachedSession>) -> Option<Arc<CachedSession>> {
        let key = key(session.id());
        let mut names = self.part(&key);
        let live = &mut names.entry(key).or_default().live;
        live.retain(|other| other.upgrade().is_some_and(|other| other.id() != session.id()));
        let surplus = if live.len() < self.per_name { None } else { take_least_recently_used(live) };
        live.push(Arc::downgrade(session));
        surplus
    }

    /// Drops the names without sessions. It looks at all names, which takes too long for a thread that serves requests;
    /// other threads wait for one part at most.
    pub(super) fn sweep(&self) {
        let now = Instant::now();
        for part in &self.parts {
            part.lock().retain(|_, name| {
                name.live.iter().any(|session| session.strong_count() > 0)
                    || name.asked.iter().any(|(_, at)| now.duration_since(*at) < MINUTE)
            });
        }
    }

    fn part(&self, key: &(RoleArn, SessionName)) -> MutexGuard<'_, Names> {
        let hash = usize::try_from(self.hasher.hash_one(key)).unwrap_or_default();
        self.parts[hash % PARTS].lock()
    }
}

fn key(id: &SessionIdentity) -> (RoleArn, SessionName) {
    (id.role_arn().clone(), id.name().clone())
}

fn take_least_recently_used(live: &mut Vec<Weak<CachedSession>>) -> Option<Arc<CachedSession>> {
    let last_used = |session: &Weak<CachedSession>| session.upgrade().map(|session| session.last_used());
    let (index, _) = live.iter().enumerate().min_by_key(|(_, session)| last_used(session))?;
    live.swap_remove(index).upgrade()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes(limits: &NameLimits) -> Vec<usize> {
        limits.parts.iter().map(|part| part.lock().len()).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_sweep_drops_names_without_sessions_and_a_lock_covers_few_of_them() {
        const MANY: usize = 20_000;
        let limits = NameLimits::new(1);
        for n in 0..MANY {
            let role = "arn:aws:iam::123456789012:role/BedrockUser";
            let id = SessionIdentity::for_tests(role, &format!("user-{n}"), &[], 60 * MINUTE);
            limits.admit(&Arc::new(id)).unwrap();
        }
        let largest = sizes(&limits).into_iter().max();
        assert!(largest <= Some(2 * MANY / PARTS), "{largest:?}");
        limits.sweep();
        assert_eq!(sizes(&limits).iter().sum::<usize>(), MANY);
        tokio::time::advance(MINUTE).await;
        limits.sweep();
        assert_eq!(sizes(&limits).iter().sum::<usize>(), 0);
    }
}
