//! The session of claims that an operator supplies, so that `doctor` can try it.
//!
//! The claims need not be verified. A session of a request needs an [`Identity`](super::Identity), which only a verified
//! caller has, so no sample can sign the call of a caller.

use std::sync::Arc;

use http::HeaderMap;
use serde_json::{Map, Value};

use super::role::Role;
use super::{IdentityError, Mapping, SessionIdentity, evaluate};

/// The session and the role rule that the mapping gives an operator's claims.
#[derive(Debug, Clone)]
pub struct SampleSession {
    pub session: Arc<SessionIdentity>,
    /// The index of the role rule that matched.
    pub rule: usize,
    pub role: Arc<Role>,
}

impl Mapping {
    /// Evaluates the claims of a caller of `issuer`, as serving does for a request without further headers.
    ///
    /// # Errors
    /// [`IdentityError`]: the gateway would refuse this caller.
    pub fn sample(&self, issuer: &str, claims: &Map<String, Value>) -> Result<SampleSession, IdentityError> {
        let mapping = self.issuers.iter().find(|mapping| *mapping.issuer == *issuer);
        let mapping = mapping.ok_or_else(Self::no_mapping)?;
        let headers = evaluate::listed(&mapping.request_headers, &HeaderMap::new())?;
        let evaluated = self.evaluate(mapping, claims, &headers).map_err(|refusal| refusal.error)?;
        Ok(SampleSession { session: Arc::new(evaluated.session), rule: evaluated.rule, role: evaluated.role })
    }
}
