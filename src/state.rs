//! The state that all requests share. While the gateway runs, a reload replaces only the configuration.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwap;

use crate::auth::Authenticator;
use crate::authorize::body::Bodies;
use crate::endpoint::Endpoints;
use crate::identity::{Identity, IdentityMemo, Mapping};
use crate::limits::Level;
use crate::limits::requests::{Limits, RequestLimits};
use crate::revoke::Revocations;
use crate::server::connections::Connections;
use crate::sessions::Sessions;
use crate::telemetry::access::AccessLog;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::unfinished::Unfinished;
use crate::upstream::Upstream;
use crate::upstream::skew::Skew;

/// The state that all requests share.
#[derive(Debug)]
pub struct Gateway {
    /// The active configuration. A reload replaces it as a whole. A request uses to its end the one that was active
    /// when it arrived.
    pub config: ArcSwap<ActiveConfig>,
    /// The open connections of callers.
    pub connections: Arc<Connections>,
    pub limits: Limits,
    pub revocations: Revocations,
    pub sessions: Arc<Sessions>,
    pub upstream: Upstream,
    pub skew: Skew,
    pub log: Arc<AccessLog>,
    pub metrics: Arc<Metrics>,
    pub unfinished: Unfinished,
}

/// The part of a configuration that requests use.
#[derive(Debug)]
pub struct ActiveConfig {
    pub auth: Authenticator<IdentityMemo>,
    pub mapping: Arc<Mapping>,
    pub bodies: Bodies,
    pub requests: RequestLimits,
    /// The region of a request whose path names none.
    pub home: Arc<str>,
    /// The further regions that a path may name.
    pub regions: Vec<Arc<str>>,
    pub endpoints: Endpoints,
    /// Whether the access log has the messages of Bedrock's errors.
    pub upstream_messages: bool,
    /// When this configuration became the active one.
    pub since: SystemTime,
}

impl ActiveConfig {
    /// The most concurrent requests of the principal of `identity`.
    pub fn concurrency(&self, identity: &Identity) -> usize {
        identity.role().concurrency.unwrap_or(self.requests.per_principal)
    }
}

impl Gateway {
    /// The use of each key of `[limits]`: of all, or of the fullest principal or connection.
    pub fn levels(&self) -> [(&'static str, Level); 6] {
        let config = self.config.load_full();
        let limits = self.connections.limits();
        let level = |used, limit| Level { used, limit };
        let (memory, memory_of_one) = config.bodies.levels();
        let streams = usize::try_from(limits.streams).unwrap_or(usize::MAX);
        let idle = level(0, config.requests.per_principal);
        [
            ("connections", level(self.connections.open(), limits.connections)),
            ("streams_per_connection", level(self.connections.most_streams(), streams)),
            ("requests", level(self.limits.in_flight(), config.requests.all)),
            ("requests_per_principal", self.limits.fullest_principal().unwrap_or(idle)),
            ("body_memory", memory),
            ("body_memory_per_principal", memory_of_one),
        ]
    }

    /// Frees the memory of sessions and tokens that have expired. It looks at all of them, which takes too long for a
    /// thread that serves requests.
    pub fn sweep(&self) {
        self.sessions.sweep();
        self.config.load_full().auth.sweep();
    }

    /// Drops the cached sessions of all revoked callers, and returns their number. It checks every caller in the token
    /// cache, which takes too long for a thread that serves requests.
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
