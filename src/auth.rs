//! Who asks: a token from the request's headers, verified against its issuer.

use std::sync::Arc;
use std::time::SystemTime;

use serde_json::{Map, Value};

/// A caller whose token was verified. Made only by this module.
pub struct Verified {
    issuer: Arc<str>,
    claims: Map<String, Value>,
    expires: SystemTime,
}

impl Verified {
    /// The configured name of the issuer that signed the token.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Every claim of the token, as the issuer wrote them.
    pub fn claims(&self) -> &Map<String, Value> {
        &self.claims
    }

    /// The end of the token's life (`exp`).
    pub fn expires(&self) -> SystemTime {
        self.expires
    }
}
