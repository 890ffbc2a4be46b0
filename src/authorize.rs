//! Whether they may: the role's operations, models and regions against the call, first from the
//! request's head ([`Permit`]), then with its body read ([`Authorized`]).
//!
//! `when` alone selects the role: a role that refuses here does not fall through to the next.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;
use http_body::Body;

use crate::authorize::body::{Bodies, BodyError, Held};
use crate::identity::Identity;
use crate::route::Call;

pub mod body;

/// What the caller's role refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Forbidden {
    #[error("this operation is not allowed for you")]
    Operation,
    #[error("this model is not allowed for you")]
    Model,
    #[error("this region is not allowed for you")]
    Region,
}

/// A call that its caller may make, as far as the head tells.
#[derive(Debug)]
pub struct Permit {
    identity: Arc<Identity>,
    call: Call,
    region: String,
}

/// A call that its caller may make, with everything that the decision and the signature need.
/// Only this can be signed, and only by a session of its own identity.
pub struct Authorized {
    identity: Arc<Identity>,
    call: Call,
    region: String,
    headers: HeaderMap,
    body: Bytes,
    _held: Held,
}

impl fmt::Debug for Authorized {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authorized")
            .field("principal", &self.identity.principal())
            .field("call", &self.call)
            .field("region", &self.region)
            .field("body_bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// Checks `call` against the role of `identity`. `home` is the region of a call that names none.
///
/// # Errors
/// [`Forbidden`] names what the role refuses; nothing of the role is in it.
pub fn authorize(identity: Arc<Identity>, call: Call, home: &str) -> Result<Permit, Forbidden> {
    let role = identity.role();
    let region = call.region().unwrap_or(home).to_owned();
    if role.operations.as_ref().is_some_and(|allowed| !allowed.contains(&call.operation())) {
        return Err(Forbidden::Operation);
    }
    if role
        .models
        .as_ref()
        .is_some_and(|allowed| !allowed.iter().any(|pattern| pattern.matches(call.model())))
    {
        return Err(Forbidden::Model);
    }
    if role.regions.as_ref().is_some_and(|allowed| !allowed.contains(&region)) {
        return Err(Forbidden::Region);
    }
    Ok(Permit { identity, call, region })
}

impl Permit {
    /// Reads the whole body within `bodies`' bounds; `SigV4` signs its hash. `headers` are those that
    /// will be sent.
    ///
    /// # Errors
    /// When the body is larger, slower or later than the bounds, or memory for it is used up.
    pub async fn read_body<B>(
        self,
        headers: HeaderMap,
        body: &mut B,
        bodies: &Bodies,
    ) -> Result<Authorized, BodyError>
    where
        B: Body<Data = Bytes> + Unpin,
        B::Error: std::error::Error + Send + Sync + 'static,
    {
        let (body, held) = bodies.read(self.identity.principal(), body).await?;
        Ok(Authorized {
            identity: self.identity,
            call: self.call,
            region: self.region,
            headers,
            body,
            _held: held,
        })
    }
}

impl Authorized {
    pub fn identity(&self) -> &Arc<Identity> {
        &self.identity
    }

    pub fn call(&self) -> &Call {
        &self.call
    }

    /// The region whose Bedrock is called.
    pub fn region(&self) -> &str {
        &self.region
    }

    /// The headers to send, less those of the signature.
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// The body, byte for byte as received.
    pub fn body(&self) -> &Bytes {
        &self.body
    }
}
