//! Tests of the whole gateway over real sockets: the AWS SDK is the client, and a stand-in for AWS verifies every
//! signature.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::string_slice,
    reason = "a test that cannot go on has failed"
)]
#![allow(clippy::disallowed_types, reason = "a test whose lock is poisoned has failed")]

mod answers;
mod architecture;
mod authentication;
mod balancers;
mod bodies;
mod check;
mod claims;
mod clients;
mod cookbook;
mod credentials;
mod debug_text;
mod dialects;
mod doctor;
mod documents;
mod drain;
mod explain;
mod forward_proxy;
mod forwarding;
mod health;
mod iam;
mod iam_table;
mod init;
mod keep_alive;
mod limits;
mod listeners;
mod mapping;
mod metrics;
mod mistakes;
mod operations;
mod probe;
mod process;
mod proxy;
mod reasons;
mod refusals;
mod reload;
mod reload_canary;
mod revoke;
mod roles;
mod rolling;
mod rotation;
mod sessions;
mod set_up;
mod smuggling;
mod streams;
mod terminal;
mod why;
mod workers;
mod world;
