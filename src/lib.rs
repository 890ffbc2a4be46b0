//! A reverse proxy for Amazon Bedrock that signs every call as the person who made it, so that AWS's
//! Cost and Usage Report names them.
//!
//! # The life of a request
//!
//! One function shows it: `answer` in [`request`]. These are its stages, in order. No stage uses anything of a later
//! one:
//!
//! 1. [`server`] accepts a connection: TLS or plain, HTTP/1.1 or HTTP/2.
//! 2. [`route`] finds the operation, the model and the region in the raw head.
//! 3. [`auth`] verifies the caller's token against its issuer: [`auth::Verified`].
//! 4. [`identity`] evaluates the operator's mapping over its claims: [`identity::Identified`].
//! 5. [`revoke`] checks that the caller's access is not revoked, for one step: [`revoke::Clearance`].
//! 6. [`authorize`] checks the role's operations, models and regions, and reads the body:
//!    [`authorize::Authorized`].
//! 7. [`sessions`] gets the session of that identity from its cache, or with `AssumeRole`:
//!    [`sessions::Ready`].
//! 8. [`mod@sign`] signs the call. Only the result can be sent: [`sign::Signed`].
//! 9. [`upstream`] sends it to an [`endpoint`], [`relay`] passes on the bytes of the answer, and [`record`] writes the
//!    line of the access log.
//!
//! One table, [`error`], turns every failure into an answer. [`gateway`] builds the [`state`] that requests share from
//! the [`config`], reloads the configuration when its file changes, and drains the gateway at the end. [`limits`] limits
//! the requests in flight. [`operator`] answers on the probe port and the admin port.

pub mod attribution;
pub mod auth;
pub mod authorize;
mod causes;
pub mod cli;
pub mod clock;
pub mod config;
pub mod endpoint;
pub mod error;
pub mod expression;
pub mod gateway;
pub mod headers;
pub mod identity;
mod jitter;
pub mod limits;
pub mod operator;
pub mod reason;
pub mod record;
pub mod relay;
pub mod request;
pub mod revoke;
pub mod route;
pub mod server;
pub mod sessions;
pub mod sign;
pub mod state;
pub mod telemetry;
mod trust;
pub mod upstream;
pub mod verdict;
