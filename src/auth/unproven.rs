//! A token taken apart and not verified: for its holder to read, never for a decision.

use std::time::SystemTime;

use serde_json::Value;

use crate::auth::verify::Parsed;
use crate::auth::{AuthError, InvalidReason, bearer};

/// What a token says of itself.
pub struct Unproven<'a>(Parsed<'a>);

impl std::fmt::Debug for Unproven<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Unproven").finish_non_exhaustive()
    }
}

impl<'a> Unproven<'a> {
    /// # Errors
    /// When `token` is no JWT, or longer than any that is taken.
    pub fn read(token: &'a str) -> Result<Self, AuthError> {
        if !bearer::is_shaped_like_a_jwt(token) {
            return Err(AuthError::invalid(InvalidReason::Malformed, None));
        }
        bearer::check_length(token)?;
        Parsed::of(token).map(Self)
    }

    pub fn algorithm(&self) -> &str {
        &self.0.header.alg
    }

    pub fn key_id(&self) -> Option<&str> {
        self.0.header.kid.as_deref()
    }

    /// The header's `typ`.
    pub fn kind(&self) -> Option<&str> {
        self.0.header.typ.as_deref()
    }

    pub fn claim(&self, name: &str) -> Option<&Value> {
        self.0.claims.get(name)
    }

    /// The end of the token's life.
    ///
    /// # Errors
    /// When `exp` is no time.
    pub fn expires(&self) -> Result<Option<SystemTime>, AuthError> {
        self.0.time("exp")
    }
}
