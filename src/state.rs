//! The state that all requests share. Only the configuration is replaced while the gateway runs.

use std::collections::HashSet;
use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::auth::Authenticator;
use crate::authorize::body::Bodies;
use crate::endpoint::Endpoints;
use crate::identity::{IdentityMemo, Mapping};
use crate::limits::requests::Limits;
use crate::revoke::Revocations;
use crate::sessions::Sessions;
use crate::telemetry::access::AccessLog;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::unfinished::Unfinished;
use crate::upstream::Upstream;
use crate::upstream::skew::Skew;

/// What requests need.
#[derive(Debug)]
pub struct Gateway {
    /// Replaced whole when the configuration is loaded again. A request goes by the one that was active when it
    /// came, to its end.
    pub config: ArcSwap<ActiveConfig>,
    pub limits: Limits,
    pub revocations: Revocations,
    pub sessions: Arc<Sessions>,
    pub upstream: Upstream,
    pub skew: Skew,
    pub log: Arc<AccessLog>,
    pub metrics: Arc<Metrics>,
    pub unfinished: Unfinished,
}

/// What one configuration says of requests.
#[derive(Debug)]
pub struct ActiveConfig {
    pub auth: Authenticator<IdentityMemo>,
    pub mapping: Mapping,
    pub bodies: Bodies,
    /// The region of a path that names none.
    pub home: Arc<str>,
    /// Those that a path may name.
    pub regions: Vec<Arc<str>>,
    pub endpoints: Endpoints,
}

impl Gateway {
    /// Drops the cached sessions of all revoked callers, and returns how many. It looks at every caller whom the
    /// token cache remembers, which takes its time: not for a thread that serves.
    pub fn drop_revoked(&self) -> usize {
        let revocations = &self.revocations;
        let mut principals: HashSet<Arc<str>> = revocations.principals().into_iter().collect();
        self.config.load_full().auth.for_each_remembered(|caller, memo| {
            for identity in memo.identities() {
                if revocations.is_revoked(caller, &identity) {
                    principals.insert(Arc::clone(identity.principal()));
                }
            }
        });
        if principals.is_empty() {
            0
        } else {
            self.sessions.forget(|principal| principals.contains(principal))
        }
    }
}
