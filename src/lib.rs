//! A reverse proxy for Amazon Bedrock that signs every call as the person who made it, so that AWS's
//! Cost and Usage Report names them.
//!
//! # The life of a request
//!
//! One function shows it: `answer` in [`request`]. Its stages, in order, each of which knows nothing of those
//! after it:
//!
//! 1. [`server`] accepts a connection: TLS or plain, HTTP/1.1 or HTTP/2.
//! 2. [`route`] names the operation, the model and the region from the raw head.
//! 3. [`auth`] verifies the caller's token against its issuer: [`auth::Verified`].
//! 4. [`identity`] evaluates the operator's mapping over its claims: [`identity::Identified`].
//! 5. [`revoke`] clears the caller for one step: [`revoke::Clearance`].
//! 6. [`authorize`] checks the role's operations, models and regions, and reads the body:
//!    [`authorize::Authorized`].
//! 7. [`sessions`] gets the credentials of that identity from its cache, or by `AssumeRole`:
//!    [`sessions::Ready`].
//! 8. [`mod@sign`] signs that into the only thing that can be sent: [`sign::Signed`].
//! 9. [`upstream`] sends it to an [`endpoint`]; [`relay`] passes the answer's bytes on, and [`record`] writes
//!    down what became of the request.
//!
//! Every failure becomes an answer in one table, [`error`]. [`gateway`] builds all of it from the [`config`] into
//! the [`state`] that requests share, loads the configuration again when its file changes, and drains everything
//! in the end. [`limits`] bounds how many requests are open. [`operator`] answers the probe and admin listeners.

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
