//! A reverse proxy for Amazon Bedrock that signs every call as the person who made it, so that AWS's
//! Cost and Usage Report names them.
//!
//! # The life of a request
//!
//! One function shows it: [`request::Gateway`]'s `answer`. Its stages, in order, each of which knows
//! nothing of those after it:
//!
//! 1. [`server`] accepts a connection: TLS or plain, HTTP/1.1 or HTTP/2.
//! 2. [`route`] names the operation, the model and the region from the raw path.
//! 3. [`auth`] verifies the caller's token against its issuer: [`auth::Verified`].
//! 4. [`identity`] evaluates the operator's mapping over its claims: role, session name, tags.
//! 5. [`authorize`] checks the role's operations, models and regions, and reads the body:
//!    [`authorize::Authorized`].
//! 6. [`sessions`] has the credentials of that identity cached, or takes them by `AssumeRole`.
//! 7. [`mod@sign`] signs call and session into the only thing that can be sent: [`sign::Signed`].
//! 8. [`upstream`] sends it; [`meter`] passes the answer's bytes on and writes the request's record.
//!
//! Whatever fails becomes an answer in one table, [`error`]. [`gateway`] builds all of it from the
//! [`config`], loads that again when its file changes, and drains everything in the end; [`limits`]
//! bounds how much is under way.

pub mod auth;
pub mod authorize;
pub mod cli;
pub mod clock;
pub mod config;
pub mod error;
pub mod gateway;
pub mod identity;
pub mod limits;
pub mod meter;
pub mod request;
pub mod revoke;
pub mod route;
pub mod server;
pub mod sessions;
pub mod sign;
pub mod telemetry;
pub mod upstream;
