//! The gateway as callers, identity providers, STS and Bedrock meet it: over real sockets, with the AWS
//! SDK as a client and a stand-in for AWS that verifies every signature.

mod answers;
mod architecture;
mod authentication;
mod clients;
mod drain;
mod forwarding;
mod listeners;
mod process;
mod sessions;
mod streams;
mod world;
