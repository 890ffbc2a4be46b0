//! A reverse proxy for Amazon Bedrock. It signs every call as the person who made it, so that AWS's Cost and Usage
//! Report names that person.
//!
//! # The life of a request
//!
//! The function `answer` in [`request`] shows it. Its stages, in order; no stage knows the stages after it:
//!
//! 1. [`server`] accepts a connection: TLS or plain, HTTP/1.1 or HTTP/2.
//! 2. [`route`] finds the operation, the model and the region in the raw head.
//! 3. [`auth`] verifies the caller's token against its issuer: [`auth::Verified`].
//! 4. [`identity`] evaluates the operator's mapping over the claims: [`identity::Identified`].
//! 5. [`revoke`] checks that the caller is not revoked, for one step: [`revoke::Clearance`].
//! 6. [`authorize`] checks the role's operations, models and regions, and reads the [`body`]:
//!    [`authorize::Authorized`].
//! 7. [`sessions`] gets the session of that identity from its cache, or with `AssumeRole`:
//!    [`sessions::Ready`].
//! 8. [`mod@sign`] signs these into the only thing that can be sent: [`sign::Signed`].
//! 9. [`upstream`] sends it to an [`endpoint`]; [`relay`] passes the answer's bytes on, and [`record`] writes
//!    down how the request ended.
//!
//! Every failure becomes an answer in one table, [`error`]. [`gateway`] builds all of it from the [`config`] into
//! the [`state`] that requests share, loads the configuration again when its file changes, and drains everything
//! at the end. [`limits`] bounds how many requests are in flight. [`operator`] answers the probe and admin ports.
//!
//! # Public interface
//!
//! The program is the interface; this library is built for it. The documentation lists the modules that start a
//! gateway: [`cli`], [`config`], [`gateway`], [`telemetry`]. The other modules are public for tests and benchmarks,
//! and change without notice.

#[doc(hidden)]
pub mod attribution;
#[doc(hidden)]
pub mod auth;
#[doc(hidden)]
pub mod authorize;
#[doc(hidden)]
pub mod body;
mod causes;
pub mod cli;
#[doc(hidden)]
pub mod clock;
pub mod config;
#[doc(hidden)]
pub mod doctor;
#[doc(hidden)]
pub mod endpoint;
#[doc(hidden)]
pub mod error;
#[doc(hidden)]
pub mod expression;
pub mod gateway;
#[doc(hidden)]
pub mod headers;
#[doc(hidden)]
pub mod iam;
#[doc(hidden)]
pub mod identity;
mod jitter;
mod keep_alive;
#[doc(hidden)]
pub mod limits;
#[doc(hidden)]
pub mod operator;
#[doc(hidden)]
pub mod preflight;
#[doc(hidden)]
pub mod proxy;
#[doc(hidden)]
pub mod reason;
#[doc(hidden)]
pub mod record;
#[doc(hidden)]
pub mod relay;
#[doc(hidden)]
pub mod request;
#[doc(hidden)]
pub mod revoke;
#[doc(hidden)]
pub mod route;
#[doc(hidden)]
pub mod server;
#[doc(hidden)]
pub mod sessions;
#[doc(hidden)]
pub mod sign;
#[doc(hidden)]
pub mod spelling;
pub mod state;
#[doc(hidden)]
pub mod style;
pub mod telemetry;
mod trust;
#[doc(hidden)]
pub mod upstream;
#[doc(hidden)]
pub mod verdict;
#[doc(hidden)]
pub mod version;
mod wildcard;
#[doc(hidden)]
pub mod workers;
