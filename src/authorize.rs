//! Authorization: checks a call against the operations, models, regions and projects of the caller's role. The first
//! check uses the request's head ([`Permit`]), the second one its body ([`Authorized`]).
//!
//! Only `when` selects the role. If that role refuses the call, the gateway does not try the next one.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;
use http_body::Body;

use crate::authorize::body::{Bodies, BodyError};
use crate::authorize::inspect::{InspectError, Members};
use crate::authorize::unread::Unread;
use crate::body::WholeBody;
use crate::endpoint::{Endpoint, Endpoints, NoEndpoint};
use crate::headers::Forwarded;
use crate::identity::{Identified, Identity};
use crate::revoke::Clearance;
use crate::route::{Call, ModelId, ModelIn, Operation};

pub use crate::authorize::decision::{Asked, Forbidden, RoleRefusal};

use crate::authorize::decision::{allows, check_model, check_projects};

pub mod body;
mod decision;
pub mod inspect;
pub mod unread;

/// Why a call is refused although its head was permitted.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    #[error(transparent)]
    Endpoint(#[from] NoEndpoint),
    #[error(transparent)]
    Body(#[from] BodyError),
    #[error("the request body is rejected: {0}")]
    Inspect(#[from] InspectError),
    #[error(transparent)]
    Forbidden(#[from] RoleRefusal),
}

/// A call that the role allows, as far as the request's head shows.
#[derive(Debug)]
pub struct Permit {
    caller: Identified,
    call: Call,
    region: Arc<str>,
}

/// A call that the role allows, with all data for the decision and the signature. Only this type can be signed, and only
/// with a session of the same identity.
pub struct Authorized {
    caller: Identified,
    call: Call,
    region: Arc<str>,
    endpoint: Arc<Endpoint>,
    model: Option<ModelId>,
    headers: Forwarded,
    body: Arc<WholeBody>,
}

impl fmt::Debug for Authorized {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authorized")
            .field("principal", &self.identity().principal())
            .field("call", &self.call)
            .field("region", &self.region)
            .field("body_bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// Checks `call` against the role of the cleared caller. `home` is the region of a call that names none. `headers` are
/// the headers of the request.
///
/// # Errors
/// [`RoleRefusal`] names the part that the role refuses.
pub fn authorize(
    cleared: Clearance,
    call: Call,
    home: &Arc<str>,
    headers: &HeaderMap,
) -> Result<Permit, RoleRefusal> {
    let identity = cleared.caller().identity();
    let region = Arc::clone(call.region().unwrap_or(home));
    let model = match call.model_in() {
        ModelIn::Path(model) => Some(model),
        ModelIn::Body(_) | ModelIn::None => None,
    };
    let asked = Asked { operation: Some(call.operation()), model, region: Some(&*region) };
    let checked = asked.check(identity.role()).and_then(|()| check_projects(identity.role(), headers));
    checked.map_err(|forbidden| RoleRefusal::new(forbidden, identity, model))?;
    Ok(Permit { caller: cleared.into_caller(), call, region })
}

impl Permit {
    /// The region of the call.
    pub fn region(&self) -> &Arc<str> {
        &self.region
    }

    /// Finds the endpoint of the call and reads the whole body within the limits of `bodies`, because `SigV4` signs the
    /// hash of the body. If the body names the model, this also completes the decision. `headers` are sent to Bedrock.
    ///
    /// The headers as received, which include the token, cannot be sent:
    ///
    /// ```
    /// # use bedrock_gateway::authorize::{Permit, body::Bodies, unread::Unread};
    /// # use bedrock_gateway::{endpoint::Endpoints, headers::Forwarded};
    /// # type Body = Unread<http_body_util::Full<bytes::Bytes>>;
    /// # type Received = http::HeaderMap;
    /// async fn no_token(permit: Permit, to: &Endpoints, received: Received, body: Body, bodies: &Bodies) {
    ///     let Ok(headers) = Forwarded::of(&received) else { return };
    ///     let _call = permit.read_body(to, headers, body, bodies).await;
    /// }
    /// ```
    /// ```compile_fail,E0308
    /// # use bedrock_gateway::authorize::{Permit, body::Bodies, unread::Unread};
    /// # use bedrock_gateway::{endpoint::Endpoints, headers::Forwarded};
    /// # type Body = Unread<http_body_util::Full<bytes::Bytes>>;
    /// # type Received = http::HeaderMap;
    /// async fn no_token(permit: Permit, to: &Endpoints, received: Received, body: Body, bodies: &Bodies) {
    ///     let Ok(headers) = Forwarded::of(&received) else { return };
    ///     let _call = permit.read_body(to, received, body, bodies).await;
    /// }
    /// ```
    ///
    /// # Errors
    /// * The region lacks the service. This is found before the body is read.
    /// * The body is larger or slower than the limits, or there is no memory for it.
    /// * The body does not name the model unambiguously.
    /// * The role refuses the model, or a reference to a stored object, in the body.
    pub async fn read_body<B>(
        self,
        endpoints: &Endpoints,
        headers: Forwarded,
        mut body: Unread<B>,
        bodies: &Bodies,
    ) -> Result<Authorized, Refused>
    where
        B: Body<Data = Bytes> + Unpin,
        B::Error: std::error::Error + Send + Sync + 'static,
    {
        let endpoint = Arc::clone(endpoints.find(&self.region, self.call.service())?);
        let mut body = bodies.read(self.caller.identity().principal(), &mut body).await?;
        let model = match self.call.model_in() {
            ModelIn::Path(model) => Some(model.clone()),
            ModelIn::Body(member) => {
                inspect::check_headers(headers.as_map())?;
                let (scanned, members) = bodies.scans().read(body, member).await?;
                body = scanned;
                Some(self.decide(members)?)
            }
            ModelIn::None => None,
        };
        let Self { caller, call, region } = self;
        Ok(Authorized { caller, call, region, endpoint, model, headers, body: Arc::new(body) })
    }

    /// Checks the members of the body, and returns the model.
    fn decide(&self, members: Members) -> Result<ModelId, RoleRefusal> {
        let identity = self.caller.identity();
        let refused = |forbidden| RoleRefusal::new(forbidden, identity, Some(&members.model));
        check_model(identity.role(), &members.model).map_err(refused)?;
        if members.refers_to_stored && !allows(identity.role(), Operation::ResponsesStored) {
            return Err(refused(Forbidden::Stored));
        }
        Ok(members.model)
    }
}

impl Authorized {
    /// The caller of the call.
    pub fn caller(&self) -> &Identified {
        &self.caller
    }

    pub fn identity(&self) -> &Arc<Identity> {
        self.caller.identity()
    }

    pub fn call(&self) -> &Call {
        &self.call
    }

    /// The model of the call, if it has one.
    pub fn model(&self) -> Option<&ModelId> {
        self.model.as_ref()
    }

    /// The region of the call.
    pub fn region(&self) -> &Arc<str> {
        &self.region
    }

    /// The endpoint for the region and service of the call.
    pub fn endpoint(&self) -> &Arc<Endpoint> {
        &self.endpoint
    }

    /// The headers to send, without those of the signature.
    pub fn headers(&self) -> &HeaderMap {
        self.headers.as_map()
    }

    /// The body, byte for byte as received.
    pub fn body(&self) -> &Arc<WholeBody> {
        &self.body
    }
}

#[cfg(test)]
mod tests;
